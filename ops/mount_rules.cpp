#include "ops/mount_rules.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

namespace bough::ops {
namespace {

/// By its type alone. zfs and the like have no device of their own.
bool is_local(const Mount& mount) noexcept {
  constexpr auto kWithoutDevice =
      std::to_array<std::string_view>({"tmpfs", "ramfs", "btrfs", "zfs", "bcachefs"});
  // fuseblk has a device, and a process that serves it.
  if (mount.device_major != 0) return !mount.type.starts_with("fuse");
  return std::find(kWithoutDevice.begin(), kWithoutDevice.end(), mount.type) !=
         kWithoutDevice.end();
}

bool is_narrower(const Mount& mount, const Mount& than) noexcept {
  return (mount.read_only && !than.read_only) || (mount.nosuid && !than.nosuid) ||
         (mount.nodev && !than.nodev) || (mount.noexec && !than.noexec);
}

}  // namespace

MountRules::MountRules(Pool& pool, Branch& branch)
    : backing_(pool.backing), own_device_(pool.own_device()) {
  for (const auto& each : *pool.branches.snapshot())
    if (!each->absent()) branch_devices_.push_back(each->device());
  const auto root = branch.root();
  if (!root) return;
  if (const auto home = backing_.mount_id(root->fd())) home_ = *home;
}

Result<void> MountRules::begin_at_root(int path_fd) {
  const auto id = backing_.mount_id(path_fd);
  if (!id) return id.error();
  passed_ = *id;
  return {};
}

bool MountRules::is_allowed(const Mount& mount, const FileStat& stat) const {
  return is_local(mount) || std::find(branch_devices_.begin(), branch_devices_.end(),
                                      stat.id.device) != branch_devices_.end();
}

Result<void> MountRules::pass(int path_fd, const FileStat& stat) {
  if (!home_ || stat.id.device == own_device_) return Errno{ELOOP};
  const auto id = backing_.mount_id(path_fd);
  if (!id) return id.error();
  if (*id == home_ || *id == passed_) return {};
  const auto mount = backing_.mount(*id);
  // To /dev/shm.
  const bool devices = mount && mount->type == "devtmpfs";
  if (!mount || (!devices && !is_allowed(*mount, stat))) return Errno{ELOOP};
  passed_ = *id;
  return {};
}

Result<void> MountRules::arrive(int path_fd, const FileStat& stat) {
  if (!home_ || stat.id.device == own_device_) return Errno{ELOOP};
  const auto id = backing_.mount_id(path_fd);
  if (!id) return id.error();
  if (*id == home_ || *id == arrived_) return {};
  const auto mount = backing_.mount(*id);
  const auto home = backing_.mount(*home_);
  if (!mount || !home || !is_allowed(*mount, stat) || is_narrower(*mount, *home))
    return Errno{ELOOP};
  arrived_ = *id;
  return {};
}

}  // namespace bough::ops
