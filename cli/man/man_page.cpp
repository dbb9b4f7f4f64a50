#include "cli/man/man_page.hpp"

#include <cctype>
#include <stdexcept>
#include <vector>

#include "cli/help.hpp"
#include "cli/mergerfs_options.hpp"

namespace bough::cli {
namespace {

constexpr std::string_view kEllipsis = "…";

std::string bold(std::string_view text) {
  return "\\fB" + roff_text(text) + "\\fP";
}

/// The form of a value; a list of words may be broken behind each bar.
std::string value_form(std::string_view form) {
  std::string roff;
  for (const char c : roff_text(form)) {
    roff += c;
    if (c == '|') roff += "\\:";
  }
  return "\\fI" + roff + "\\fP";
}

std::string option_row(const proto::Setting& row) {
  std::string text = ".TP\n" + bold(row.name);
  if (!row.form.empty()) {
    const std::string value = bold("=") + value_form(row.form);
    text += row.bare.empty() ? value : "[" + value + "]";
  }
  text += "\n";
  std::string sentence = row.help;
  if (!sentence.empty()) {
    sentence[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(sentence[0])));
  }
  text += roff_text(sentence) + ".\n";
  if (!row.fallback.empty()) text += "Default: " + bold(row.fallback) + ".\n";
  if (!row.aliases.empty()) {
    text += "Also:";
    const char* before = " ";
    for (const std::string& alias : row.aliases) {
      text += before + bold(alias);
      before = ", ";
    }
    text += ".\n";
  }
  if (row.when != proto::Setting::When::kMount) {
    text += "May be changed while the pool is mounted";
    text +=
        row.when == proto::Setting::When::kNextOpen ? ", for files opened from then on.\n" : ".\n";
  }
  return text;
}

std::string option_groups(const OptionTable& table) {
  std::string text;
  for (const std::string_view group : groups_of(table)) {
    text += ".SS " + roff_text(group) + "\n";
    for (const proto::Setting& row : table.rows()) {
      if (row.group == group) text += option_row(row);
    }
  }
  return text;
}

std::string list_of(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ",\n") + bold(word);
  return text + ".\n";
}

void put(std::string& text, std::string_view marker, std::string_view what) {
  std::size_t at = text.find(marker);
  if (at == std::string::npos) {
    throw std::runtime_error("the text of the manual page lacks " + std::string(marker));
  }
  for (; at != std::string::npos; at = text.find(marker, at + what.size())) {
    text.replace(at, marker.size(), what);
  }
}

}  // namespace

std::string roff_text(std::string_view text) {
  std::string roff;
  if (text.starts_with('.')) roff += "\\&";
  while (!text.empty()) {
    if (text.starts_with(kEllipsis)) {
      roff += "...";
      text.remove_prefix(kEllipsis.size());
      continue;
    }
    // Unescaped, roff prints the typographer's form of these.
    switch (text.front()) {
      case '\\':
        roff += "\\e";
        break;
      case '-':
        roff += "\\-";
        break;
      case '\'':
        roff += "\\(aq";
        break;
      case '`':
        roff += "\\(ga";
        break;
      case '^':
        roff += "\\(ha";
        break;
      case '~':
        roff += "\\(ti";
        break;
      default:
        roff += text.front();
    }
    text.remove_prefix(1);
  }
  return roff;
}

std::string man_page(std::string text, const OptionTable& table) {
  const GenericWords words = generic_words();
  std::string version = version_text();
  version.pop_back();
  put(text, "@VERSION@", roff_text(version));
  put(text, "@OPTIONS@\n", option_groups(table));
  put(text, "@WORDS_IN_FORCE@\n", list_of(words.in_force));
  put(text, "@WORDS_ACCEPTED@\n", list_of(words.accepted));
  const auto wishes = rows_that_may_keep_default();
  put(text, "@PASSED_OVER@\n", list_of({wishes.begin(), wishes.end()}));
  const auto left = text.find('@');
  if (left != std::string::npos) {
    throw std::runtime_error("the text of the manual page has a marker that nothing replaces: " +
                             text.substr(left, text.find('\n', left) - left));
  }
  return text;
}

}  // namespace bough::cli
