#pragma once

#include <memory>
#include <string>

#include "ops/absences.hpp"
#include "ops/branch_presence.hpp"
#include "ops/branch_set.hpp"
#include "ops/settings.hpp"

namespace bough::ops {

/// The branches that a pool begins with, by the option's list; what is named twice is used once,
/// which is said on standard error, as is a branch inside another. Throws PoolError: the list is
/// wrong, one cannot be opened, or one is absent with BranchAbsent::kRefuse.
[[nodiscard]] std::shared_ptr<const BranchSet> open_branches(Backing& backing,
                                                             const std::string& list,
                                                             Absences& absences, BranchAbsent how,
                                                             const BranchWitness& witness);

}  // namespace bough::ops
