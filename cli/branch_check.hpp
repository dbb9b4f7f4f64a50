#pragma once

#include <optional>
#include <vector>

#include "cli/branch_facts.hpp"
#include "cli/finding.hpp"
#include "ops/settings.hpp"

namespace bough::cli {

/// What is wrong with branches that are there, or will be: a missing disk, too little room, a
/// read-only file system, the disk of the system, branches that share a file system or a disk, or
/// lie in each other. `system`: what / lies on. Asks nobody.
[[nodiscard]] Findings check_branches(const std::vector<CheckedBranch>& branches,
                                      const std::optional<Ground>& system,
                                      ops::BranchAbsent when_absent);

}  // namespace bough::cli
