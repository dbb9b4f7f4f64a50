#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ops/branch_set.hpp"

namespace bough::ops {

/// What a value of `branches` asks for: "[=]list" replaces, "+list" and "+>list" append, "+<list"
/// prepends, "-pattern[:pattern…]" takes away, "-<" and "->" take the first and the last away.
struct BranchChange {
  enum class Kind { kReplace, kAppend, kPrepend, kRemove, kRemoveFirst, kRemoveLast };
  Kind kind = Kind::kReplace;
  /// What follows the instruction; part of the value.
  std::string_view list;
  /// kReplace, kAppend and kPrepend: the list names branches.
  [[nodiscard]] bool adds() const noexcept { return kind <= Kind::kPrepend; }
};

/// What people are told of instructions.
inline constexpr std::string_view kBranchInstructions =
    "wants branches, or an instruction: +, +> or +< and branches, - and patterns, -< or ->";

/// Nothing: there is no such instruction, or the list that it needs is missing.
[[nodiscard]] std::optional<BranchChange> parse_branch_change(std::string_view value);

/// Whether the path is among those that a kRemove names: its list's patterns, as fnmatch(3) takes
/// them without flags ('*' passes over '/').
[[nodiscard]] bool is_named(std::string_view patterns, const std::string& path);

/// The first of a kRemove's patterns that names none of `paths`; empty: each names one.
[[nodiscard]] std::string naming_none(std::string_view patterns,
                                      const std::vector<std::string>& paths);

/// "path=MODE[,MINFREE]", with the minimum in the largest unit that shows it exactly.
[[nodiscard]] std::string branch_text(const std::string& path, BranchMode mode,
                                      const std::optional<std::uint64_t>& min_free);

/// The command that takes the branch at `path` out of the pool at `mountpoint`, for a shell.
[[nodiscard]] std::string removal_command(const std::string& mountpoint, const std::string& path);

/// For a pool that is not mounted yet, whose branches are still the text that the user wrote: makes
/// the change in `list`. Globs are expanded only to find out which branches are taken away. Empty
/// if good, else what is wrong, as the end of a sentence that begins with the option's name;
/// nothing is changed then.
[[nodiscard]] std::string change_branch_text(std::string& list, std::string_view value,
                                             const KnownPlaces& known = {});

}  // namespace bough::ops
