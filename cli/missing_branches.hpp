#pragma once

#include "cli/configuration.hpp"

namespace bough::cli {

/// From now on patterns in the branch list mean what the pool at the configuration's mount point
/// used when it was mounted last, and what is planned to be mounted, though it is missing
/// (ops::BranchWitness::expectation()).
void expect_missing_branches(Configuration& config);

}  // namespace bough::cli
