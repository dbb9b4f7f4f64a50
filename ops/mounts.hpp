#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "proto/result.hpp"

namespace bough::ops {

using proto::Errno;
using proto::Result;

/// A mount as the kernel lists it in /proc/self/mountinfo: its own flags, not those that all mounts
/// of the file system share.
struct Mount {
  std::uint64_t id = 0;
  /// As mount(8) names it: "ext4", "tmpfs", "fuse.boughfs".
  std::string type;
  /// Of the whole file system, all subvolumes of which have it; major 0: no block device.
  std::uint32_t device_major = 0;
  std::uint32_t device_minor = 0;
  /// The directory of the file system that is mounted, and where.
  std::string root;
  std::string point;
  bool read_only = false;
  bool nosuid = false;
  bool nodev = false;
  bool noexec = false;
};

/// All that this process sees. Asks no file system but /proc, and needs no rights there.
[[nodiscard]] Result<std::vector<Mount>> list_mounts();

/// Whether a block device may be served by a process, or lie in a file: loop, nbd and ublk, their
/// partitions, and what device mapper and md have made of one. True, too, where sysfs does not
/// tell. `devices` is /sys/dev/block, but for tests.
[[nodiscard]] bool is_served_device(std::uint32_t major, std::uint32_t minor,
                                    const std::string& devices = "/sys/dev/block");

}  // namespace bough::ops
