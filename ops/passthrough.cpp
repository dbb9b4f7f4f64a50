#include "ops/passthrough.hpp"

namespace bough::ops {

bool Passthrough::bound(NodeId node) {
  Shard& shard = shard_of(node);
  const std::lock_guard lock(shard.mutex);
  return shard.bound.contains(node.value);
}

void Passthrough::leave(NodeId node, std::int32_t id) noexcept {
  if (id == 0) return nodes_.unhold(node);
  Shard& shard = shard_of(node);
  {
    const std::lock_guard lock(shard.mutex);
    nodes_.unhold(node);
    const auto found = shard.bound.find(node.value);
    if (--found->second.shares != 0) return;
    shard.erase(found);
  }
  // Not under the lock: with it the kernel may drop the last reference of a file without a name,
  // and free its blocks.
  port_->close_backing(id);
  closed_.fetch_add(1);
}

}  // namespace bough::ops
