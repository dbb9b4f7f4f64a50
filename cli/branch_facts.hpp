#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cli/configuration.hpp"
#include "cli/finding.hpp"
#include "cli/pool_info.hpp"

namespace bough::cli {

/// What a directory lies on.
struct Ground {
  /// st_dev.
  dev_t device = 0;
  ino_t ino = 0;
  /// Of the file system: "ext4"; empty: unknown.
  std::string type;
  /// The whole disks below, as far as the system tells.
  std::set<std::string> disks;
};

/// Nothing: there is no such directory, or it cannot be asked.
[[nodiscard]] std::optional<Ground> ground_of(const std::string& path);

/// A branch as the mount would have it.
struct CheckedBranch {
  std::string path;
  /// As the list names it, if by another path that leads there; else empty.
  std::string written;
  /// RW, RO, NC.
  std::string mode;
  /// Why its disk is missing; empty: it is there, and the rest is known.
  std::string absent;
  Ground ground;
  std::optional<BranchInfo::Space> space;
  /// Bytes: with less free nothing new is put there.
  std::uint64_t least = 0;
  /// Its file system is mounted read-only.
  bool read_only = false;
  bool has_xattrs = true;
};

/// Looks at each directory that the branch list names, by the code that mounts, and says what that
/// refuses. `place`: as from place_of_pool(). Changes nothing; a disk that hangs is waited for, as
/// by the mount.
[[nodiscard]] std::vector<CheckedBranch> examine_branches(const Configuration& config,
                                                          const std::string& place,
                                                          Findings& findings);

}  // namespace bough::cli
