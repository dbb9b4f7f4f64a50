#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ops/pool.hpp"

namespace bough::ops {

/// Where symbolic links of a branch may lead. Each mount that a way comes to is judged before
/// anything is looked up in it, from the kernel's list, so that no server is asked.
///
/// On the way, and at its end: the file systems of the pool's branches, those of disks, and of the
/// others those that never wait for a process (tmpfs, btrfs, zfs…). Not FUSE, where two pools that
/// lead into each other would wait for each other; nor networks, autofs, overlays, which may have
/// such a one below, nor disks that a process or a file of the pool may be behind
/// (is_served_device()); nor the kernel's own, which judge who opens a file by more than its mode.
///
/// At the end no mount that is read-only, nosuid, nodev or noexec where the branch's is not:
/// through the pool that would not hold. And nothing of the pool's own: what a branch can reach, or
/// what a branch can be reached from, by whatever mounts; there a file would have two names of
/// which the pool knows nothing. So paths are compared as they are in the file system itself.
///
/// One walk of one thread. At its first question the kernel's list is read, and the root
/// descriptors of all branches are asked for.
class MountRules {
 public:
  MountRules(Pool& pool, Branch& branch) : pool_(pool), backing_(pool.backing), branch_(branch) {}
  MountRules(const MountRules&) = delete;
  MountRules& operator=(const MountRules&) = delete;

  /// The root of the machine: all branches are reached through it, whatever it is.
  [[nodiscard]] Result<void> begin_at_root(int path_fd);
  /// A step of the way came to this. ELOOP: no further. `stat` is Backing::stat_unasked().
  [[nodiscard]] Result<void> pass(int path_fd, const FileStat& stat);
  /// The same of the end of the way, and then of what is below it. (What is below it on the same
  /// mount has nothing to do with a branch if the end has not.)
  [[nodiscard]] Result<void> arrive(int path_fd, const FileStat& stat);
  /// A file that has another name on the file system of a branch, which may be in the branch.
  [[nodiscard]] bool may_be_in_a_branch(const FileStat& stat) const;

 private:
  /// Where a directory is: on which file system and where in it, and where processes see it.
  struct Place {
    std::uint32_t device_major = 0;
    std::uint32_t device_minor = 0;
    std::string inner;
    std::string seen;
  };
  [[nodiscard]] Result<void> begin();
  [[nodiscard]] const Mount* find(std::uint64_t id) const noexcept;
  [[nodiscard]] Result<Place> place_of(int path_fd, const Mount& mount) const;
  [[nodiscard]] Result<void> look_at_branches();
  [[nodiscard]] bool is_branch_device(std::uint64_t device) const;
  [[nodiscard]] bool is_allowed(const Mount& mount, const FileStat& stat) const;
  [[nodiscard]] bool is_of_a_branch(const Place& place) const;

  Pool& pool_;
  Backing& backing_;
  Branch& branch_;
  std::optional<std::uint64_t> own_device_;
  std::vector<Mount> mounts_;
  std::vector<std::uint64_t> branch_devices_;
  /// The branches' roots, and what is mounted below them.
  std::vector<Place> taken_;
  /// The mount of the branch's root; null: before begin(), and where that failed.
  const Mount* home_ = nullptr;
  std::optional<std::uint64_t> passed_;
  std::optional<std::uint64_t> arrived_;
};

}  // namespace bough::ops
