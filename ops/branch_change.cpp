#include "ops/branch_change.hpp"

#include <fnmatch.h>

#include <algorithm>

#include "proto/size_text.hpp"

namespace bough::ops {
namespace {

using Kind = BranchChange::Kind;

struct Instruction {
  std::string_view text;
  Kind kind;
};

constexpr Instruction kInstructions[] = {
    {"", Kind::kReplace},       {"=", Kind::kReplace},     {"+", Kind::kAppend},
    {"+>", Kind::kAppend},      {"+<", Kind::kPrepend},    {"-", Kind::kRemove},
    {"-<", Kind::kRemoveFirst}, {"->", Kind::kRemoveLast},
};

std::string_view mode_text(BranchMode mode) noexcept {
  switch (mode) {
    case BranchMode::kReadOnly:
      return "RO";
    case BranchMode::kNoCreate:
      return "NC";
    case BranchMode::kReadWrite:
      break;
  }
  return "RW";
}

void join(std::string& list, std::string_view more) {
  if (!list.empty()) list += ':';
  list += more;
}

std::string for_shell(const std::string& word) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+,@%=";
  if (word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace

std::optional<BranchChange> parse_branch_change(std::string_view value) {
  constexpr std::size_t kLongest = 2;
  const std::string_view word =
      value.substr(0, std::min(value.find_first_not_of("+<>-="), kLongest));
  const auto* const found =
      std::find_if(std::begin(kInstructions), std::end(kInstructions),
                   [word](const Instruction& each) { return each.text == word; });
  if (found == std::end(kInstructions)) return std::nullopt;
  const BranchChange change{found->kind, value.substr(word.size())};
  const bool wants_list = change.adds() || change.kind == Kind::kRemove;
  if (wants_list && change.list.empty()) return std::nullopt;
  return change;
}

bool is_named(std::string_view patterns, const std::string& path) {
  for (std::size_t begin = 0; begin <= patterns.size();) {
    const std::size_t end = std::min(patterns.find(':', begin), patterns.size());
    const std::string pattern(patterns.substr(begin, end - begin));
    if (::fnmatch(pattern.c_str(), path.c_str(), 0) == 0) return true;
    begin = end + 1;
  }
  return false;
}

std::string naming_none(std::string_view patterns, const std::vector<std::string>& paths) {
  for (std::size_t begin = 0; begin <= patterns.size();) {
    const std::size_t end = std::min(patterns.find(':', begin), patterns.size());
    const std::string_view pattern = patterns.substr(begin, end - begin);
    if (std::none_of(paths.begin(), paths.end(),
                     [&](const std::string& path) { return is_named(pattern, path); }))
      return pattern.empty() ? ":" : std::string(pattern);
    begin = end + 1;
  }
  return {};
}

std::string branch_text(const std::string& path, BranchMode mode,
                        const std::optional<std::uint64_t>& min_free) {
  std::string text = path + "=";
  text += mode_text(mode);
  if (min_free) text += "," + proto::size_text(*min_free);
  return text;
}

std::string removal_command(const std::string& mountpoint, const std::string& path) {
  std::string pattern;
  for (const char c : path) {
    // No pattern can name a colon.
    if (c == ':') {
      pattern += '?';
      continue;
    }
    if (std::string_view("*?[\\").find(c) != std::string_view::npos) pattern += '\\';
    pattern += c;
  }
  return "boughfs ctl " + (mountpoint.empty() ? std::string("POOL") : for_shell(mountpoint)) +
         " set branches " + for_shell("-" + pattern);
}

std::string change_branch_text(std::string& list, std::string_view value,
                               const KnownPlaces& known) {
  const auto change = parse_branch_change(value);
  if (!change) return std::string(kBranchInstructions);
  if (change->kind == Kind::kReplace) {
    list = change->list;
    return {};
  }
  if (change->kind == Kind::kAppend) {
    join(list, change->list);
    return {};
  }
  if (change->kind == Kind::kPrepend) {
    std::string longer(change->list);
    if (!list.empty()) join(longer, list);
    list = std::move(longer);
    return {};
  }
  // Whoever has none yet is told so in the end.
  if (list.empty()) return {};
  std::string mistake;
  std::vector<BranchSpec> specs = parse_branches(list, mistake, known);
  if (specs.empty()) return "cannot be shortened: " + mistake;
  if (change->kind == Kind::kRemoveFirst)
    specs.erase(specs.begin());
  else if (change->kind == Kind::kRemoveLast)
    specs.pop_back();
  else
    specs.erase(
        std::remove_if(specs.begin(), specs.end(),
                       [&](const BranchSpec& spec) { return is_named(change->list, spec.path); }),
        specs.end());
  if (specs.empty()) return "would leave the pool without a branch";
  list.clear();
  for (const BranchSpec& spec : specs) join(list, branch_text(spec.path, spec.mode, spec.min_free));
  return {};
}

}  // namespace bough::ops
