#include "ops/node_state.hpp"

/// The nodes that are not simply what their names are.
namespace bough::ops {

std::optional<NodeTable::Counted> NodeTable::count_link(NodeId parent, std::string_view name,
                                                        const Location& where, std::uint64_t ino) {
  const Locked state(mutex_, *state_);
  const Slot directory = state->find_directory(parent);
  if (directory == 0 || !storable(name)) return std::nullopt;
  if (state->is_held(where.file)) return std::nullopt;
  const auto above = state->path_sum_of(directory);
  if (!above) return std::nullopt;
  State::LinkPaths made;
  made.emplace(0, path_sum(*above, name));
  state->nodes.reserve();
  state->files.reserve();
  state->reserve_edge(name);
  const Slot edge = state->find_edge(directory, name);
  Slot slot = edge != 0 ? state->edges[edge].node : 0;
  if (state->is_node_of(slot, where.file, NodeKind::kLink) &&
      state->link_paths.at(slot) == made.begin()->second) {
    state->nodes[slot].branch = where.branch;
  } else {
    slot = state->add_file(where, ino, NodeKind::kLink);
    auto path = made.extract(made.begin());
    path.key() = slot;
    state->link_paths.insert(std::move(path));
  }
  return state->lead_to(directory, name, edge, slot);
}

std::optional<NodeTable::Counted> NodeTable::count_followed(NodeId parent, std::string_view name,
                                                            const Location& where,
                                                            std::uint64_t ino, bool to_directory) {
  const Locked state(mutex_, *state_);
  const Slot directory = state->find_directory(parent);
  if (directory == 0 || !storable(name)) return std::nullopt;
  return state->lead_outside(directory, name, where, ino, to_directory);
}

std::optional<Location> NodeTable::followed_directory(NodeId node) const {
  const Locked state(mutex_, *state_);
  const Slot slot = state->find(node);
  if (slot == 0 || state->nodes[slot].kind != NodeKind::kFollowedDirectory) return std::nullopt;
  return Location{state->nodes[slot].branch, file_of(state->nodes[slot])};
}

}  // namespace bough::ops
