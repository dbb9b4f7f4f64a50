#include "ops/mount_rules.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

namespace bough::ops {
namespace {

bool is_narrower(const Mount& mount, const Mount& than) noexcept {
  return (mount.read_only && !than.read_only) || (mount.nosuid && !than.nosuid) ||
         (mount.nodev && !than.nodev) || (mount.noexec && !than.noexec);
}

/// Absolute paths.
bool lies_in(std::string_view path, std::string_view directory) noexcept {
  if (directory == "/") return true;
  return path.starts_with(directory) &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

/// One of them may lead to the other.
bool are_in_line(std::string_view one, std::string_view other) noexcept {
  return lies_in(one, other) || lies_in(other, one);
}

}  // namespace

Result<void> MountRules::begin() {
  if (home_ != nullptr) return {};
  own_device_ = pool_.own_device();
  const auto root = branch_.root();
  if (!root) return root.error();
  const auto id = backing_.mount_id(root->fd());
  if (!id) return id.error();
  auto mounts = backing_.mounts();
  if (!mounts) return mounts.error();
  mounts_ = *std::move(mounts);
  if (const auto looked = look_at_branches(); !looked) return looked;
  home_ = find(*id);
  return home_ != nullptr ? Result<void>() : Errno{ELOOP};
}

Result<void> MountRules::look_at_branches() {
  for (const auto& each : *pool_.branches.snapshot()) {
    // Where its disk is missing there is only the place where it will be.
    if (each->absent()) {
      taken_.push_back({0, 0, {}, each->path()});
      continue;
    }
    const auto root = each->root();
    if (!root) return root.error();
    const auto id = backing_.mount_id(root->fd());
    if (!id) return id.error();
    const Mount* const mount = find(*id);
    if (mount == nullptr) return Errno{ELOOP};
    auto place = place_of(root->fd(), *mount);
    if (!place) return place.error();
    branch_devices_.push_back(each->device());
    for (const Mount& below : mounts_)
      if (below.point != place->seen && lies_in(below.point, place->seen))
        taken_.push_back({below.device_major, below.device_minor, below.root, below.point});
    taken_.push_back(*std::move(place));
  }
  return {};
}

const Mount* MountRules::find(std::uint64_t id) const noexcept {
  const auto found = std::find_if(mounts_.begin(), mounts_.end(),
                                  [id](const Mount& mount) { return mount.id == id; });
  return found != mounts_.end() ? &*found : nullptr;
}

Result<MountRules::Place> MountRules::place_of(int path_fd, const Mount& mount) const {
  auto seen = backing_.path_of(path_fd);
  if (!seen) return seen.error();
  // What is outside of the process's root has no path, what was removed has a wrong one.
  if (!seen->starts_with('/') || seen->ends_with(" (deleted)") || !lies_in(*seen, mount.point))
    return Errno{ELOOP};
  const std::string_view below =
      std::string_view(*seen).substr(mount.point == "/" ? 0 : mount.point.size());
  Place place{mount.device_major, mount.device_minor, mount.root == "/" ? "" : mount.root, {}};
  if (below != "/") place.inner += below;
  if (place.inner.empty()) place.inner = "/";
  place.seen = *std::move(seen);
  return place;
}

bool MountRules::is_of_a_branch(const Place& place) const {
  return std::any_of(taken_.begin(), taken_.end(), [&](const Place& taken) {
    const bool same_device = taken.device_major == place.device_major &&
                             taken.device_minor == place.device_minor && !taken.inner.empty();
    return (same_device && are_in_line(taken.inner, place.inner)) ||
           are_in_line(taken.seen, place.seen);
  });
}

bool MountRules::is_branch_device(std::uint64_t device) const {
  return std::find(branch_devices_.begin(), branch_devices_.end(), device) != branch_devices_.end();
}

bool MountRules::may_be_in_a_branch(const FileStat& stat) const {
  return !stat.is_directory() && stat.nlink > 1 && is_branch_device(stat.id.device);
}

/// zfs and the like have no device of their own; fuseblk has one, and a process that serves it.
bool MountRules::is_allowed(const Mount& mount, const FileStat& stat) const {
  constexpr auto kWithoutDevice =
      std::to_array<std::string_view>({"tmpfs", "ramfs", "btrfs", "zfs", "bcachefs"});
  if (is_branch_device(stat.id.device)) return true;
  if (mount.device_major == 0)
    return std::find(kWithoutDevice.begin(), kWithoutDevice.end(), mount.type) !=
           kWithoutDevice.end();
  if (mount.type.starts_with("fuse")) return false;
  const auto served = backing_.is_served_device(mount.device_major, mount.device_minor);
  return served && !*served;
}

Result<void> MountRules::begin_at_root(int path_fd) {
  if (const auto begun = begin(); !begun) return begun;
  const auto id = backing_.mount_id(path_fd);
  if (!id) return id.error();
  passed_ = *id;
  return {};
}

Result<void> MountRules::pass(int path_fd, const FileStat& stat) {
  if (stat.id.device == own_device_) return Errno{ELOOP};
  const auto id = backing_.mount_id(path_fd);
  if (!id) return id.error();
  if (*id == passed_) return {};
  const Mount* const mount = find(*id);
  // To /dev/shm.
  const bool devices = mount != nullptr && mount->type == "devtmpfs";
  if (mount == nullptr || (!devices && !is_allowed(*mount, stat))) return Errno{ELOOP};
  passed_ = *id;
  return {};
}

Result<void> MountRules::arrive(int path_fd, const FileStat& stat) {
  if (const auto begun = begin(); !begun) return begun;
  if (stat.id.device == own_device_) return Errno{ELOOP};
  const auto id = backing_.mount_id(path_fd);
  if (!id) return id.error();
  if (*id == arrived_) return {};
  const Mount* const mount = find(*id);
  if (mount == nullptr || !is_allowed(*mount, stat) || is_narrower(*mount, *home_))
    return Errno{ELOOP};
  const auto place = place_of(path_fd, *mount);
  if (!place) return place.error();
  if (is_of_a_branch(*place)) return Errno{ELOOP};
  arrived_ = *id;
  return {};
}

}  // namespace bough::ops
