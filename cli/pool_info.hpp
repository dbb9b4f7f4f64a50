#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/control_client.hpp"

namespace bough::cli {

struct BranchInfo {
  std::string path;
  std::string mode;
  /// Its own minimum as it was given; empty: that of the pool.
  std::string min_free;
  struct Space {
    std::uint64_t free = 0;
    std::uint64_t total = 0;
  };
  /// Bytes, as users have them; empty: the branch cannot be asked from here.
  std::optional<Space> space;
  /// Its file system is mounted read-only.
  bool read_only = false;
  std::uint64_t open_files = 0;
  /// Why its disk is missing; empty: it is there.
  std::string absent;
};

/// Takes the key `branches` apart: path=MODE[,MINFREE]:… A path may hold ':' and '='.
[[nodiscard]] std::vector<BranchInfo> parse_shown_branches(std::string_view text);

using KeyValues = std::vector<std::pair<std::string, std::string>>;

struct PoolInfo {
  std::string mount_point;
  std::string version;
  std::string pid;
  std::vector<BranchInfo> branches;
  /// Not in the pool any more, but files are open on them.
  std::vector<BranchInfo> left;
  /// Files on their way to another branch, each as the pool tells of it.
  std::vector<std::string> moves;
  /// Files that are written past the pool, so that they cannot go to another one; only where files
  /// do.
  std::uint64_t pinned_files = 0;
  /// Of both, the keys as they are listed.
  KeyValues policies;
  KeyValues caching;
  /// All options that are not as they are by default.
  KeyValues changed;
};

[[nodiscard]] KeyValues all_values(const ControlClient& pool);
/// Asks the pool, and each branch for its room.
[[nodiscard]] PoolInfo read_info(const ControlClient& pool);

}  // namespace bough::cli
