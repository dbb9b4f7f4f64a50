#pragma once

#include <string>
#include <vector>

#include "cli/branch_facts.hpp"
#include "cli/finding.hpp"
#include "cli/pool_info.hpp"

namespace bough::cli {

/// What `boughfs check` found out about one pool.
struct CheckedPool {
  /// Where it is written: "/etc/fstab:7"; empty: in the arguments.
  std::string place;
  std::string mountpoint;
  /// "fuse.boughfs"; empty: it is a line of fstab that is none of a pool.
  std::string type;
  std::string kernel;
  /// Options that are not as they are by default, as they would be in force.
  KeyValues options;
  /// ro, noatime, …
  std::vector<std::string> flags;
  std::vector<CheckedBranch> branches;
  Findings findings;
};

[[nodiscard]] std::size_t count_of(const Findings& findings, Finding::Level level);

[[nodiscard]] std::string check_text(const CheckedPool& pool);
/// One object with "schema": "boughfs.check/1".
[[nodiscard]] std::string check_json(const std::vector<CheckedPool>& pools);

}  // namespace bough::cli
