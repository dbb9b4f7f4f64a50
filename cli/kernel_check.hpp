#pragma once

#include <cstdint>
#include <string>

#include "cli/configuration.hpp"
#include "cli/finding.hpp"

namespace bough::cli {

/// What the system offers a pool, as far as it tells without a mount.
struct KernelFacts {
  /// As uname -r says it.
  std::string release;
  int major = 0;
  int minor = 0;
  /// errno of a look at /dev/fuse; 0: it can be read and written.
  int device_error = 0;
  /// Pages of the largest message: /proc/sys/fs/fuse/max_pages_limit (Linux 6.13).
  std::uint32_t most_pages = 256;
  bool limit_can_be_raised = false;
  /// The helper by which ordinary users mount.
  bool has_fusermount = false;
  /// /etc/fuse.conf has the line.
  bool user_allow_other = false;
};

[[nodiscard]] KernelFacts ask_kernel();

/// Whether the text of /etc/fuse.conf has the line user_allow_other.
[[nodiscard]] bool allows_other(std::string_view fuse_conf);

/// What of a configured pool this system does not have, and how it is to be had. `as_root`: who
/// would mount it. Asks nobody.
[[nodiscard]] Findings check_kernel(const KernelFacts& kernel, const Configuration& config,
                                    bool as_root);

}  // namespace bough::cli
