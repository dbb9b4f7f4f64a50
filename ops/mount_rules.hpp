#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ops/pool.hpp"

namespace bough::ops {

/// Into which mounts symbolic links of a branch may lead. What is on the branch's own mount may be
/// reached anyhow; every other mount that the way comes to is judged before anything is looked up
/// in it, from the kernel's list, so that no server is asked.
///
/// On the way, and at its end: the file systems of the pool's branches, those of block devices, and
/// of the others those that never wait for a process (tmpfs, btrfs, zfs…). Not FUSE, where two
/// pools that lead into each other would wait for each other; nor networks, autofs, overlays, which
/// may have such a one below; nor the kernel's own, which judge who opens a file by more than its
/// mode. At the end no mount that is read-only, nosuid, nodev or noexec where the branch's is not:
/// through the pool that would not hold.
///
/// One walk of one thread. After the constructor nothing but Backing is called.
class MountRules {
 public:
  MountRules(Pool& pool, Branch& branch);

  /// The root of the file system itself: all branches are reached through it, whatever it is.
  [[nodiscard]] Result<void> begin_at_root(int path_fd);
  /// A step of the way came to this. ELOOP: no further. `stat` is Backing::stat_unasked().
  [[nodiscard]] Result<void> pass(int path_fd, const FileStat& stat);
  /// The same of the end of the way, and of all that is below it.
  [[nodiscard]] Result<void> arrive(int path_fd, const FileStat& stat);

 private:
  [[nodiscard]] bool is_allowed(const Mount& mount, const FileStat& stat) const;

  Backing& backing_;
  std::optional<std::uint64_t> own_device_;
  std::vector<std::uint64_t> branch_devices_;
  /// The mount of the branch's root; none: nothing can be judged.
  std::optional<std::uint64_t> home_;
  std::optional<std::uint64_t> passed_;
  std::optional<std::uint64_t> arrived_;
};

}  // namespace bough::ops
