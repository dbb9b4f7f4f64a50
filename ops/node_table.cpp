#include "ops/node_table.hpp"

#include <algorithm>
#include <utility>

#include "ops/node_state.hpp"

namespace bough::ops {

NodeTable::NodeTable(Generation epoch) : state_(std::make_unique<State>()), epoch_(epoch) {}
NodeTable::~NodeTable() = default;

Generation NodeTable::generation(NodeId node) const noexcept {
  return node == proto::kRootNode ? Generation{0} : epoch_;
}

std::optional<NodeTable::Counted> NodeTable::count_file(NodeId parent, std::string_view name,
                                                        const Location& where, std::uint64_t ino,
                                                        bool apart, NodeId chosen) {
  const Locked state(mutex_, *state_);
  const Slot directory = state->find_directory(parent);
  if (directory == 0 || !storable(name)) return std::nullopt;
  if (state->is_outside(directory)) return state->lead_outside(directory, name, where, ino, false);
  state->nodes.reserve();
  state->files.reserve();
  state->reserve_edge(name);
  const Slot edge = state->find_edge(directory, name);
  const Slot last = edge != 0 ? state->edges[edge].node : 0;
  // One file can have several nodes, made apart: the one that it has here is the first choice.
  const bool same = state->is_node_of(last, where.file, NodeKind::kFile);
  Slot slot = state->find(chosen);
  if (!state->is_node_of(slot, where.file, NodeKind::kFile)) slot = 0;
  if (slot == 0 && same && (!apart || state->nodes[last].names == 1)) slot = last;
  if (slot == 0 && !apart) slot = state->find_file(where.file);
  if (slot == 0) {
    slot = state->add_file(where, ino);
  } else {
    state->nodes[slot].branch = where.branch;
  }
  return state->lead_to(directory, name, edge, slot);
}

std::optional<NodeTable::Counted> NodeTable::count_directory(NodeId parent, std::string_view name,
                                                             const Location& where) {
  const Locked state(mutex_, *state_);
  const Slot directory = state->find_directory(parent);
  if (directory == 0 || !storable(name)) return std::nullopt;
  if (state->is_outside(directory)) return state->lead_outside(directory, name, where, 0, true);
  const Slot edge = state->find_edge(directory, name);
  if (edge != 0) {
    const Slot slot = state->edges[edge].node;
    if (state->nodes[slot].kind == NodeKind::kDirectory) return state->count(slot);
  }
  state->nodes.reserve();
  state->reserve_edge(name);
  const Slot slot = state->nodes.add(NodeKind::kDirectory);
  if (edge == 0) {
    state->add_edge(directory, name, slot);
  } else {
    const Slot lost = state->edges[edge].node;
    state->turn(edge, slot);
    state->settle_unnamed(lost);
  }
  return state->count(slot);
}

NodeTable::Counted NodeTable::count_unnamed(const Location& where, std::uint64_t ino,
                                            std::shared_ptr<Fd> victim, bool outside) {
  const NodeKind kind = outside ? NodeKind::kFollowed : NodeKind::kFile;
  const Locked state(mutex_, *state_);
  state->nodes.reserve();
  state->files.reserve();
  Slot slot = state->find_file(where.file, kind);
  if (slot == 0) slot = state->add_file(where, ino, kind);
  const Counted counted = state->count(slot);
  if (victim && state->nodes[slot].names == 0) {
    try {
      state->victims.insert_or_assign(slot, std::move(victim));
    } catch (...) {
      --state->nodes[slot].lookups;
      --state->lookups;
      state->settle(slot);
      throw;
    }
  }
  return counted;
}

std::optional<NodeTable::Counted> NodeTable::count_again(NodeId node) {
  const Locked state(mutex_, *state_);
  const Slot slot = state->find(node);
  if (slot == 0) return std::nullopt;
  return state->count(slot);
}

void NodeTable::forget(NodeId node, std::uint64_t count) noexcept {
  const Locked state(mutex_, *state_);
  const Slot slot = state->find(node);
  const std::uint64_t taken = slot != 0 ? std::min(count, state->nodes[slot].lookups) : 0;
  // The kernel has a count of the root from the mount itself, which nobody gave it here.
  if (slot != kRoot) state->overdrawn += count - taken;
  if (slot == 0) return;
  state->nodes[slot].lookups -= taken;
  state->lookups -= taken;
  state->settle(slot);
}

std::uint32_t NodeTable::hold(NodeId node) noexcept {
  const Locked state(mutex_, *state_);
  const Slot slot = state->find(node);
  if (slot == 0) return 0;
  ++state->holds;
  return ++state->nodes[slot].holds;
}

void NodeTable::unhold(NodeId node) noexcept {
  const Locked state(mutex_, *state_);
  const Slot slot = state->find(node);
  if (slot == 0 || state->nodes[slot].holds == 0) {
    ++state->overdrawn;
    return;
  }
  --state->nodes[slot].holds;
  --state->holds;
  state->settle(slot);
}

bool NodeTable::view(NodeId node, NodeView& into) const {
  into.victim.reset();
  const Locked state(mutex_, *state_);
  const Slot slot = state->find(node);
  if (slot == 0) return false;
  state->describe(slot, into);
  return true;
}

bool NodeTable::directory_path(NodeId node, PathText& into) const {
  const Locked state(mutex_, *state_);
  const Slot slot = state->find_directory(node);
  return slot != 0 && state->path_of(slot, into);
}

bool NodeTable::next_name(NodeId node, std::uint32_t tried, NodeView& into) {
  into.victim.reset();
  const Locked state(mutex_, *state_);
  const Slot slot = state->find(node);
  if (slot == 0) return false;
  NodeRecord& record = state->nodes[slot];
  if (tried >= record.names) return false;
  record.edge = state->edges[record.edge].next;
  state->describe(slot, into);
  return into.named;
}

std::vector<NodeTable::PlaceName> NodeTable::names_of(NodeId file) const {
  const Locked state(mutex_, *state_);
  std::vector<PlaceName> found;
  const Slot slot = state->find(file);
  if (slot == 0) return found;
  PathText path;
  Slot edge = state->nodes[slot].edge;
  for (std::uint32_t left = state->nodes[slot].names; left != 0; --left) {
    const EdgeRecord& record = state->edges[edge];
    if (state->path_of(record.parent, path))
      found.push_back({std::string(path.view()), std::string(state->name_of(record))});
    edge = record.next;
  }
  return found;
}

NodeId NodeTable::child(NodeId parent, std::string_view name) const {
  const Locked state(mutex_, *state_);
  const Slot edge = state->find_edge(parent, name);
  return edge != 0 ? NodeId{state->nodes[state->edges[edge].node].id} : proto::kNoNode;
}

NodeId NodeTable::parent(NodeId directory) const {
  const Locked state(mutex_, *state_);
  const Slot slot = state->find_directory(directory);
  if (slot == kRoot) return proto::kRootNode;
  if (slot == 0 || state->nodes[slot].edge == 0) return proto::kNoNode;
  return NodeId{state->nodes[state->edges[state->nodes[slot].edge].parent].id};
}

std::optional<std::uint64_t> NodeTable::path_sum_of(NodeId node) const {
  const Locked state(mutex_, *state_);
  const Slot slot = state->find(node);
  if (slot == 0 || state->nodes[slot].kind == NodeKind::kFollowed) return std::nullopt;
  return state->path_sum_of(slot);
}

std::vector<NodeTable::Child> NodeTable::children(NodeId directory) const {
  const Locked state(mutex_, *state_);
  const Slot parent = state->find_directory(directory);
  std::vector<Child> found;
  if (parent == 0) return found;
  found.reserve(state->nodes[parent].children);
  for (Slot slot = kRoot; slot < state->nodes.used(); ++slot) {
    const NodeRecord& node = state->nodes[slot];
    if (node.kind == NodeKind::kFree) continue;
    Slot edge = node.edge;
    for (std::uint32_t left = node.names; left != 0; --left, edge = state->edges[edge].next)
      if (state->edges[edge].parent == parent)
        found.push_back({NodeId{node.id}, std::string(state->name_of(state->edges[edge]))});
  }
  return found;
}

std::uint32_t NodeTable::edges(std::uint32_t position, std::vector<Edge>& into) const {
  constexpr std::uint32_t kSlice = 1024;
  const Locked state(mutex_, *state_);
  const Slot begin = std::max(position, kRoot);
  const Slot end = std::min(begin + kSlice, state->nodes.used());
  for (Slot slot = begin; slot < end; ++slot) {
    const NodeRecord& node = state->nodes[slot];
    if (node.kind == NodeKind::kFree) continue;
    Slot at = node.edge;
    for (std::uint32_t left = node.names; left != 0; --left, at = state->edges[at].next) {
      const EdgeRecord& edge = state->edges[at];
      into.push_back({NodeId{state->nodes[edge.parent].id}, NodeId{node.id},
                      state->is_directory(slot), std::string(state->name_of(edge))});
    }
  }
  return end < state->nodes.used() ? end : 0;
}

std::vector<NodeTable::Victim> NodeTable::victims() const {
  const Locked state(mutex_, *state_);
  std::vector<Victim> all;
  for (const auto& [slot, descriptor] : state->victims) {
    const NodeRecord& node = state->nodes[slot];
    all.push_back({NodeId{node.id}, node.kind != NodeKind::kDirectory ? node.branch : kNoBranch,
                   node.holds != 0, descriptor});
  }
  return all;
}

void NodeTable::drop_victim(NodeId node) noexcept {
  const Locked state(mutex_, *state_);
  if (const Slot slot = state->find(node); slot != 0) state->drop_victim(slot);
}

NodeId NodeTable::remove_name(NodeId parent, std::string_view name, std::shared_ptr<Fd> victim) {
  const Locked state(mutex_, *state_);
  const Slot edge = state->find_edge(parent, name);
  return edge != 0 ? state->remove_name(edge, std::move(victim)) : proto::kNoNode;
}

void NodeTable::move_name(NodeId old_parent, std::string_view old_name, NodeId new_parent,
                          std::string_view new_name, std::shared_ptr<Fd> victim) {
  const Locked state(mutex_, *state_);
  const Slot moved = state->find_edge(old_parent, old_name);
  if (moved != 0)
    state->move_edge(moved, state->find_directory(new_parent), new_name, std::move(victim));
  else if (const Slot replaced = state->find_edge(new_parent, new_name); replaced != 0)
    state->remove_name(replaced, std::move(victim));
}

void NodeTable::exchange_names(NodeId first_parent, std::string_view first_name,
                               NodeId second_parent, std::string_view second_name) {
  const Locked state(mutex_, *state_);
  const Slot first = state->find_edge(first_parent, first_name);
  const Slot second = state->find_edge(second_parent, second_name);
  if (first != 0 && second != 0)
    state->exchange(first, second);
  else if (first != 0)
    state->move_edge(first, state->find_directory(second_parent), second_name, nullptr);
  else if (second != 0)
    state->move_edge(second, state->find_directory(first_parent), first_name, nullptr);
}

void NodeTable::keep_named() {
  const Locked state(mutex_, *state_);
  state->keeps_named = true;
}

void NodeTable::relocate(NodeId node, const Location& where) {
  const Locked state(mutex_, *state_);
  state->relocate(state->find(node), where);
}

void NodeTable::replace(NodeId node, const Location& where, std::uint64_t ino) {
  const Locked state(mutex_, *state_);
  const Slot slot = state->find(node);
  if (state->relocate(slot, where)) state->nodes[slot].ino = ino;
}

NodeTable::Figures NodeTable::figures() const {
  const Locked state(mutex_, *state_);
  Figures figures;
  figures.nodes = state->nodes.live();
  figures.edges = state->edges.live();
  figures.lookups = state->lookups;
  figures.holds = state->holds;
  figures.victims = state->victims.size();
  // A node of std::map: three pointers and a colour before the value.
  constexpr std::size_t kPerEntry = 4 * sizeof(void*);
  const std::size_t victim = kPerEntry + sizeof(State::Victims::value_type);
  const std::size_t link = kPerEntry + sizeof(State::LinkPaths::value_type);
  figures.bytes = sizeof(State) + state->nodes.bytes() + state->edges.bytes() +
                  state->names.bytes() + state->files.bytes() + state->entries.bytes() +
                  state->victims.size() * victim + state->link_paths.size() * link;
  figures.overdrawn = state->overdrawn;
  return figures;
}

void NodeTable::clear() noexcept {
  State::Victims victims;
  const Locked state(mutex_, *state_);
  victims.swap(state->victims);
  state->link_paths.clear();
  for (Slot slot = kRoot + 1; slot < state->nodes.used(); ++slot)
    if (state->nodes[slot].kind != NodeKind::kFree) state->nodes.remove(slot);
  NodeRecord& root = state->nodes[kRoot];
  root.lookups = 0;
  root.holds = root.children = 0;
  ++root.version;
  state->lookups = state->holds = 0;
  state->shrink();
}

}  // namespace bough::ops
