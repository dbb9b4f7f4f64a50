#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/exit_status.hpp"

namespace bough::cli {

/// boughfs ctl PATH list|get KEY|set KEY [VALUE]|info [--json]: reads and sets the options of a
/// mounted pool, by its control file. argv[0] is "ctl".
[[nodiscard]] ExitStatus ctl_command(int argc, char* const argv[]);

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
};

/// Takes the key `branches` apart: path=MODE[,MINFREE]:… A path may hold ':' and '='.
[[nodiscard]] std::vector<BranchInfo> parse_shown_branches(std::string_view text);

using KeyValues = std::vector<std::pair<std::string, std::string>>;

struct PoolInfo {
  std::string mount_point;
  std::string version;
  std::string pid;
  std::vector<BranchInfo> branches;
  /// Of both, the keys as they are listed.
  KeyValues policies;
  KeyValues caching;
};

/// For people; every line is "name: value".
[[nodiscard]] std::string info_text(const PoolInfo& info);
/// One object with "schema": "boughfs.ctl/1", as every answer of ctl with --json.
[[nodiscard]] std::string info_json(const PoolInfo& info);

}  // namespace bough::cli
