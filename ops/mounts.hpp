#pragma once

#include <cstdint>
#include <string>

#include "proto/result.hpp"

namespace bough::ops {

using proto::Errno;
using proto::Result;

/// A mount as the kernel lists it in /proc/self/mountinfo: its own flags, not those that all mounts
/// of the file system share.
struct Mount {
  /// As mount(8) names it: "ext4", "tmpfs", "fuse.boughfs".
  std::string type;
  /// 0: no block device.
  std::uint32_t device_major = 0;
  bool read_only = false;
  bool nosuid = false;
  bool nodev = false;
  bool noexec = false;
};

/// By its number. Asks no file system but /proc, and needs no rights there. ENOENT: there is none
/// that this process sees.
[[nodiscard]] Result<Mount> find_mount(std::uint64_t id);

}  // namespace bough::ops
