#include "ops/pool_report.hpp"

#include <initializer_list>

#include "ops/control_names.hpp"
#include "ops/followed_path.hpp"

namespace bough::ops {

std::string pool_path(const Pool& pool, NodeId node) {
  if (is_control_node(node)) {
    const auto place = node.value - kFirstControlNode;
    return place < kControlNames.size() ? "/" + std::string(kControlNames[place]) : "(unknown)";
  }
  NodeView view;
  if (!pool.nodes.view(node, view)) return "(unknown)";
  if (!view.named) return "(unlinked)";
  std::string path = "/";
  path += plain_path(view.path.view());
  if (!view.directory) {
    if (path.size() > 1) path += '/';
    path += view.name();
  }
  return path;
}

void count_pool(const Pool& pool, std::vector<proto::Counter>& into) {
  const auto nodes = pool.nodes.figures();
  const auto passed = pool.passthrough.figures();
  const auto& figures = pool.figures;
  const auto read = [](const std::atomic<std::uint64_t>& figure) {
    return figure.load(std::memory_order_relaxed);
  };
  const std::initializer_list<proto::Counter> all{
      {"nodes", nodes.nodes},
      {"edges", nodes.edges},
      {"lookups", nodes.lookups},
      {"holds", nodes.holds},
      {"handles", pool.handles.size()},
      {"victims", nodes.victims},
      {"node_bytes", nodes.bytes},
      {"overdrawn", nodes.overdrawn},
      {"absent_branches", pool.absences.count()},
      {"demotions", read(figures.demotions)},
      {"replays", read(figures.replays)},
      {"descriptor_shortages", read(figures.descriptor_shortages)},
      {"cut_direct_calls", read(figures.cut_direct_calls)},
      {"unpinned_victims", read(figures.unpinned_victims)},
      {"backing_files", passed.opened - passed.closed},
      {"backing_files_opened", passed.opened},
      {"moved_files", pool.relocations.moved()},
      {"refused_moves", pool.relocations.refused()},
      {"backing_refusals", read(figures.backing_refusals)}};
  into.insert(into.end(), all);
}

}  // namespace bough::ops
