#include "ops/announce.hpp"

#include <chrono>
#include <vector>

namespace bough::ops {
namespace {

/// Longer than the kernel takes for a full queue.
constexpr std::chrono::seconds kPatience{1};

/// False: the queue stayed full.
bool tell(proto::KernelPort& port, const proto::Notification& notification) {
  return port.notify(notification) || (port.wait_told(kPatience) && port.notify(notification));
}

}  // namespace

Announced announce_new_places(Pool& pool) {
  if (pool.port == nullptr) return Announced::kAll;
  const bool can_expire = pool.agreement.features.has(proto::Feature::kHasExpireOnly);
  // From 0 on the pages of a listing that the kernel keeps go too.
  const std::int64_t from = pool.settings.cache_readdir ? 0 : -1;
  proto::KernelPort& kernel = *pool.port;
  if (!tell(kernel, proto::InvalidateInode{proto::kRootNode, from, 0})) return Announced::kInPart;
  std::vector<NodeTable::Edge> edges;
  for (std::uint32_t next = 0;;) {
    edges.clear();
    next = pool.nodes.edges(next, edges);
    for (NodeTable::Edge& edge : edges) {
      if (edge.directory && !tell(kernel, proto::InvalidateInode{edge.child, from, 0}))
        return Announced::kInPart;
      if (!can_expire && edge.directory) continue;
      if (!tell(kernel, proto::InvalidateEntry{edge.parent, std::move(edge.name), can_expire}))
        return Announced::kInPart;
    }
    if (next == 0) break;
  }
  // What is late comes by itself.
  (void)kernel.wait_told(kPatience);
  return Announced::kAll;
}

}  // namespace bough::ops
