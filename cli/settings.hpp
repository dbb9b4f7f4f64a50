#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/mergerfs_rows.hpp"
#include "proto/setting.hpp"
#include "session/mount.hpp"

namespace bough::cli {

/// What concerns the mount and the process, rather than the connection or the union.
struct Settings {
  /// Empty: the last argument names it.
  std::string mountpoint;
  /// Empty: made from the branches.
  std::string fsname;
  /// One of session::kMountSubtypes.
  std::string subtype{session::kMountSubtypes.front()};
  bool allow_other = false;
  std::uint32_t max_read = 0;
  bool foreground = false;
  /// What is mounted on the mount point is detached first.
  bool detach_first = false;
  /// nice(2) value of all threads, -20 to 19; 0: that of who starts the pool.
  int priority = 0;
  MergerfsThreads mergerfs_threads;
  /// Seconds to wait for the disks of the branches; 0: not at all.
  std::uint32_t branches_timeout = 0;
  bool branches_timeout_fails = false;
};

/// The rows of the option table that are bound to `settings`, which must outlive them.
[[nodiscard]] std::vector<proto::Setting> settings_table(Settings& settings);

}  // namespace bough::cli
