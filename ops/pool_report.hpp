#pragma once

#include <string>
#include <vector>

#include "ops/pool.hpp"
#include "proto/filesystem.hpp"

/// What people read of a pool's nodes and counts (trace lines, SIGUSR1). Any thread.
namespace bough::ops {

/// From the pool's root; "(unlinked)", "(unknown)".
[[nodiscard]] std::string pool_path(const Pool& pool, NodeId node);
void count_pool(const Pool& pool, std::vector<proto::Counter>& into);

}  // namespace bough::ops
