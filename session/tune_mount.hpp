#pragma once

#include <sys/types.h>

#include <span>
#include <string>
#include <vector>

#include "session/settings.hpp"

namespace bough::session {

/// Where a branch lies.
struct BranchDevice {
  std::string path;
  /// st_dev.
  dev_t device = 0;
};

/// After the handshake, since only then the kernel knows its own: brings `settings.read_ahead` into
/// force for the pool, whose files have the st_dev `pool`, and the branches. Corrects in `settings`
/// what /sys tells otherwise: how far is read ahead in the pool, and the limits of background
/// requests, which Linux lowers for a server without CAP_SYS_ADMIN. Returns what could not be done,
/// in lines. `sys`: where sysfs is.
[[nodiscard]] std::vector<std::string> tune_mount(Settings& settings, dev_t pool,
                                                  std::span<const BranchDevice> branches,
                                                  const std::string& sys = "/sys");

}  // namespace bough::session
