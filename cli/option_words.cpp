#include "cli/option_words.hpp"

#include <algorithm>

#include "cli/exit_status.hpp"

namespace bough::cli {
namespace {

bool is_octal(char c) {
  return c >= '0' && c <= '7';
}

OptionWord to_word(std::string element) {
  const auto equals = element.find('=');
  if (equals == std::string::npos) return {std::move(element), std::nullopt};
  return {element.substr(0, equals), element.substr(equals + 1)};
}

}  // namespace

std::vector<OptionWord> split_options(std::string_view text) {
  std::vector<OptionWord> words;
  std::string element;
  const auto finish = [&] {
    if (!element.empty()) words.push_back(to_word(std::move(element)));
    element.clear();
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ',') {
      finish();
      continue;
    }
    if (c != '\\') {
      element += c;
      continue;
    }
    const std::string_view rest = text.substr(i + 1);
    if (rest.empty()) {
      throw StartError(ExitStatus::kUsage,
                       "-o " + std::string(text) + " ends in a backslash: write \\\\ for one");
    }
    if (rest.size() >= 3 && rest[0] <= '3' &&
        std::all_of(rest.begin(), rest.begin() + 3, is_octal)) {
      const int byte = (rest[0] - '0') * 64 + (rest[1] - '0') * 8 + (rest[2] - '0');
      if (byte == 0) {
        throw StartError(ExitStatus::kUsage,
                         "-o " + std::string(text) + " holds \\000: no value can hold a zero byte");
      }
      element += static_cast<char>(byte);
      i += 3;
    } else {
      element += rest[0];
      i += 1;
    }
  }
  finish();
  return words;
}

std::string canonical_key(std::string_view key) {
  std::string canonical(key);
  std::replace(canonical.begin(), canonical.end(), '_', '-');
  return canonical;
}

}  // namespace bough::cli
