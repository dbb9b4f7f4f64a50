#pragma once

#include "cli/command_line.hpp"
#include "cli/configuration.hpp"
#include "cli/finding.hpp"
#include "cli/pool_info.hpp"

namespace bough::cli {

/// Looks at each option by itself, as the mount would take it, and takes those out of `line` that
/// the mount would refuse, so that the rest can be looked at. What mounts all the same is told by
/// configure()'s warnings and not here.
[[nodiscard]] Findings check_options(CommandLine& line);

/// The options of a configured pool that are not as they are by default, without its branches and
/// its place. `as_root`: who mounts it.
[[nodiscard]] KeyValues changed_options(const Configuration& config, bool as_root);

/// The words of mount(8) that are in force: "ro", "noatime".
[[nodiscard]] std::vector<std::string> mount_flags(const MountWords& words);

}  // namespace bough::cli
