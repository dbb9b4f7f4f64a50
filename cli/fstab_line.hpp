#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command_line.hpp"

namespace bough::cli {

/// The fields of a line of fstab(5), escapes undone.
struct FstabLine {
  /// From 1; 0: it is not from a file.
  std::size_t number = 0;
  std::string source;
  std::string target;
  std::string type;
  std::string options;
};

/// Empty: a comment, or fewer than three fields. Without a fourth the options are "defaults".
[[nodiscard]] std::optional<FstabLine> parse_fstab_line(std::string_view line);

/// Whether boughfs is what mounts it, or will be once it has taken the place of mergerfs: by the
/// type (boughfs, mergerfs, with "fuse." before it or not), or in the old form `mergerfs#BRANCHES`
/// of the type fuse.
[[nodiscard]] bool is_pool(const FstabLine& line);

/// The pools in the text of an fstab, in order.
[[nodiscard]] std::vector<FstabLine> pools_of_fstab(std::string_view text);

/// A line that may have been meant for a pool, and would never become one.
struct DoubtfulLine {
  std::size_t number = 0;
  /// Empty: it is not known.
  std::string target;
  std::string wrong;
};

/// Lines with too few fields, and those whose type is nearly that of a pool.
[[nodiscard]] std::vector<DoubtfulLine> doubtful_lines(std::string_view text);

/// The number of the first line before line `number` that mounts at `target` too; 0: none does.
[[nodiscard]] std::size_t line_with_target(std::string_view text, const std::string& target,
                                           std::size_t number);

/// What mount(8) would call the mounting command with. Throws StartError for a backslash at the end
/// of the options.
[[nodiscard]] CommandLine command_of(const FstabLine& line);

}  // namespace bough::cli
