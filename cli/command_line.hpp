#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "cli/option_words.hpp"

namespace bough::cli {

/// What the arguments of the mounting command say, before any meaning is looked up.
struct CommandLine {
  /// Branch lists and the mount point, in order.
  std::vector<std::string> operands;
  /// How many of the options stand before each operand; where nothing is said, all.
  std::vector<std::size_t> options_before;
  /// All -o arguments and the flags that stand for an option, in order.
  std::vector<OptionWord> options;
  bool foreground = false;
  bool help = false;
  bool version = false;
  /// As mount(8)'s helper: set-id files and devices are allowed unless an option forbids them.
  bool as_mount_helper = false;
  /// Started as mergerfs: with its defaults, and as its users are used to.
  bool as_mergerfs = false;
  /// mount -f: everything but the mount.
  bool fake = false;
  /// mount -s: unknown options are passed over.
  bool sloppy = false;
};

/// What stands behind the last slash.
[[nodiscard]] std::string_view program_name(std::string_view program);

/// Whether the program was called by a name that mount(8) calls helpers by.
[[nodiscard]] bool is_mount_helper_name(std::string_view program);

/// Whether the program was called mergerfs, by a user or by mount(8).
[[nodiscard]] bool is_mergerfs_name(std::string_view program);

/// Options may stand before, between and behind operands; "--" ends them. Throws StartError for an
/// unknown flag.
[[nodiscard]] CommandLine read_command_line(int argc, char* const argv[]);

}  // namespace bough::cli
