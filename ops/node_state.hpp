#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

#include "ops/chain_index.hpp"
#include "ops/followed_path.hpp"
#include "ops/hash.hpp"
#include "ops/inode_number.hpp"
#include "ops/name_arena.hpp"
#include "ops/node_records.hpp"
#include "ops/node_table.hpp"

/// What is behind NodeTable: of use to its own files only.
namespace bough::ops {

using Slot = std::uint32_t;
inline constexpr Slot kRoot = NodeSlots::kRoot;

inline std::uint32_t file_hash(const FileId& file) noexcept {
  const std::uint64_t birth = static_cast<std::uint64_t>(file.birth_ns);
  return static_cast<std::uint32_t>(combine_hash(file.device, combine_hash(file.ino, birth)));
}

inline std::uint32_t edge_hash(Slot parent, std::string_view name) noexcept {
  return static_cast<std::uint32_t>(combine_hash(parent, hash_text(name)));
}

inline FileId file_of(const NodeRecord& node) noexcept {
  return {node.device, node.file_ino, node.birth_ns};
}

struct HashOfNode {
  std::uint32_t operator()(const NodeRecord& node) const noexcept {
    return file_hash(file_of(node));
  }
};

struct HashOfEdge {
  std::uint32_t operator()(const EdgeRecord& edge) const noexcept { return edge.hash; }
};

inline bool storable(std::string_view name) noexcept {
  return !name.empty() && name.size() <= NameArena::kLongest;
}

/// Everything under the table's mutex. What may fail is reserved first, so a change is whole or not
/// begun.
struct NodeTable::State {
  using Victims = std::map<Slot, std::shared_ptr<Fd>>;
  using LinkPaths = std::map<Slot, std::uint64_t>;

  NodeSlots nodes;
  EdgeSlots edges;
  NameArena names;
  ChainIndex<NodeSlots::Records, HashOfNode> files{nodes.records()};
  ChainIndex<EdgeSlots::Records, HashOfEdge> entries{edges.records()};
  Victims victims;
  /// Of nodes that are shown as links to themselves: path_sum() of the path that is their text.
  LinkPaths link_paths;
  /// Taken from `victims`: closing them may write to a branch, so that waits for the unlocking.
  std::multimap<Slot, std::shared_ptr<Fd>> dropped;
  std::uint64_t lookups = 0;
  std::uint64_t holds = 0;
  std::uint64_t overdrawn = 0;
  bool keeps_named = false;

  State() {
    (void)nodes.add(NodeKind::kDirectory);
    nodes[kRoot].ino = proto::kRootNode.value;
  }

  // --- finding
  [[nodiscard]] Slot find(NodeId node) const noexcept { return nodes.find(node.value); }
  [[nodiscard]] bool is_directory(Slot slot) const noexcept {
    const NodeKind kind = nodes[slot].kind;
    return kind == NodeKind::kDirectory || kind == NodeKind::kFollowedDirectory;
  }
  [[nodiscard]] bool is_outside(Slot directory) const noexcept {
    return nodes[directory].kind == NodeKind::kFollowedDirectory;
  }
  [[nodiscard]] Slot find_directory(NodeId node) const noexcept {
    const Slot slot = find(node);
    return slot != 0 && is_directory(slot) ? slot : 0;
  }
  [[nodiscard]] Slot find_file(const FileId& file, NodeKind kind = NodeKind::kFile) const {
    return files.find(file_hash(file), [&](const NodeRecord& node) {
      return node.kind == kind && node.is_file(file);
    });
  }
  [[nodiscard]] bool is_held(const FileId& file) const {
    return files.find(file_hash(file), [&](const NodeRecord& node) {
      return node.is_file(file) && node.holds != 0;
    }) != 0;
  }
  [[nodiscard]] bool is_node_of(Slot slot, const FileId& file, NodeKind kind) const noexcept {
    return slot != 0 && nodes[slot].kind == kind && nodes[slot].is_file(file);
  }
  [[nodiscard]] std::string_view name_of(const EdgeRecord& edge) const noexcept {
    return names.text(edge.name, edge.name_size);
  }
  [[nodiscard]] Slot find_edge(Slot parent, std::string_view name) const {
    if (nodes[parent].children == 0 || !storable(name)) return 0;
    const std::uint32_t hash = edge_hash(parent, name);
    return entries.find(hash, [&](const EdgeRecord& edge) {
      return edge.hash == hash && edge.parent == parent && name_of(edge) == name;
    });
  }
  [[nodiscard]] Slot find_edge(NodeId parent, std::string_view name) const {
    const Slot directory = find_directory(parent);
    return directory != 0 ? find_edge(directory, name) : 0;
  }

  /// False: no name leads here from the root.
  bool path_of(Slot directory, PathText& into) const {
    into.clear();
    for (std::uint32_t steps = nodes.live(); directory != kRoot; --steps) {
      const Slot edge = nodes[directory].edge;
      if (edge == 0 || steps == 0) {
        into.clear();
        return false;
      }
      if (is_outside(directory))
        into.prepend(MarkedName(name_of(edges[edge]), NodeId{nodes[directory].id}).view());
      else
        into.prepend(name_of(edges[edge]));
      directory = edges[edge].parent;
    }
    return true;
  }
  /// Nothing: no name leads here from the root.
  [[nodiscard]] std::optional<std::uint64_t> path_sum_of(Slot directory) const {
    std::uint64_t sum = 0;
    std::uint64_t factor = 1;
    for (std::uint32_t steps = nodes.live(); directory != kRoot; --steps) {
      const Slot edge = nodes[directory].edge;
      if (edge == 0 || steps == 0) return std::nullopt;
      sum += factor * path_sum(0, name_of(edges[edge]));
      factor *= kPathFactor;
      directory = edges[edge].parent;
    }
    return sum;
  }
  /// Of one that lost its name: what it was.
  [[nodiscard]] std::uint64_t ino_of(Slot slot) const {
    if (!is_directory(slot)) return nodes[slot].ino;
    const auto sum = path_sum_of(slot);
    return sum ? path_ino(*sum) : nodes[slot].ino;
  }
  [[nodiscard]] bool lies_in(Slot directory, Slot ancestor) const noexcept {
    for (std::uint32_t steps = nodes.live(); steps != 0; --steps) {
      if (directory == ancestor) return true;
      const Slot edge = nodes[directory].edge;
      if (edge == 0) return false;
      directory = edges[edge].parent;
    }
    return true;
  }

  void describe(Slot slot, NodeView& into) {
    NodeRecord& node = nodes[slot];
    into.node = NodeId{node.id};
    into.directory = is_directory(slot);
    into.link = node.kind == NodeKind::kLink;
    into.followed = node.kind == NodeKind::kFollowed || node.kind == NodeKind::kFollowedDirectory;
    const bool plain = node.kind == NodeKind::kDirectory;
    into.location = plain ? Location{} : Location{node.branch, file_of(node)};
    const auto sum = into.directory ? path_sum_of(slot) : std::nullopt;
    into.path_sum = sum.value_or(0);
    into.ino = sum ? path_ino(*sum) : node.ino;
    into.version = node.version;
    into.named = false;
    into.names = node.names;
    into.holds = node.holds;
    into.path.clear();
    into.name_size = 0;
    into.name_text[0] = '\0';
    into.parent = proto::kNoNode;
    if (slot == kRoot) {
      into.named = true;
      into.parent = proto::kRootNode;
    } else if (into.directory) {
      into.named = path_of(slot, into.path);
    } else {
      // A name in a directory that was removed leads nowhere: another one may.
      for (std::uint32_t left = node.names; left != 0 && !into.named; --left) {
        into.named = path_of(edges[node.edge].parent, into.path);
        if (!into.named) node.edge = edges[node.edge].next;
      }
    }
    if (into.named && slot != kRoot) {
      const EdgeRecord& edge = edges[node.edge];
      const std::string_view name = name_of(edge);
      into.name_text[name.copy(into.name_text.data(), name.size())] = '\0';
      into.name_size = edge.name_size;
      into.parent = NodeId{nodes[edge.parent].id};
    }
    if (const auto victim = victims.find(slot); victim != victims.end())
      into.victim = victim->second;
  }

  // --- nodes
  void place(NodeRecord& node, const Location& where) noexcept {
    node.branch = where.branch;
    node.device = where.file.device;
    node.file_ino = where.file.ino;
    node.birth_ns = where.file.birth_ns;
  }
  Slot add_file(const Location& where, std::uint64_t ino,
                NodeKind kind = NodeKind::kFile) noexcept {
    const Slot slot = nodes.add(kind);
    nodes[slot].ino = ino;
    place(nodes[slot], where);
    files.insert(slot);
    return slot;
  }
  /// `name` in `directory` is what lies outside of the branches. Throws std::bad_alloc, nothing
  /// changed.
  Counted lead_outside(Slot directory, std::string_view name, const Location& where,
                       std::uint64_t ino, bool to_directory) {
    nodes.reserve();
    files.reserve();
    reserve_edge(name);
    const Slot edge = find_edge(directory, name);
    Slot slot = 0;
    if (!to_directory) {
      slot = find_file(where.file, NodeKind::kFollowed);
      if (slot == 0) slot = add_file(where, ino, NodeKind::kFollowed);
      nodes[slot].branch = where.branch;
    } else {
      // A directory's branch is part of what it is.
      slot = edge != 0 ? edges[edge].node : 0;
      if (!is_node_of(slot, where.file, NodeKind::kFollowedDirectory) ||
          nodes[slot].branch != where.branch)
        slot = add_file(where, ino, NodeKind::kFollowedDirectory);
    }
    return lead_to(directory, name, edge, slot);
  }
  Counted count(Slot slot) noexcept {
    ++nodes[slot].lookups;
    ++lookups;
    return {NodeId{nodes[slot].id}, ino_of(slot)};
  }
  void drop_victim(Slot slot) noexcept {
    if (auto victim = victims.extract(slot)) dropped.insert(std::move(victim));
  }
  void remove_node(Slot slot) noexcept {
    drop_victim(slot);
    if (nodes[slot].kind != NodeKind::kDirectory) files.erase(slot);
    if (nodes[slot].kind == NodeKind::kLink) link_paths.erase(slot);
    nodes.remove(slot);
  }
  [[nodiscard]] bool known(Slot slot) const noexcept {
    return nodes[slot].lookups != 0 || nodes[slot].holds != 0;
  }

  /// The node goes if nothing keeps it, and then the directories above it that nothing else keeps.
  void settle(Slot slot) noexcept {
    while (slot > kRoot && !known(slot) && nodes[slot].children == 0 &&
           (!keeps_named || nodes[slot].edge == 0)) {
      Slot above = 0;
      while (nodes[slot].edge != 0) {
        const Slot parent = remove_edge(nodes[slot].edge);
        if (nodes[slot].edge != 0)
          settle(parent);
        else
          above = parent;
      }
      remove_node(slot);
      slot = above;
    }
    if (nodes.live() == 1) shrink();
  }
  void shrink() noexcept {
    nodes.shrink();
    edges.reset();
    names.reset();
    files.reset();
    entries.reset();
  }

  bool relocate(Slot slot, const Location& where) noexcept {
    if (slot == 0 || nodes[slot].kind != NodeKind::kFile) return false;
    files.erase(slot);
    place(nodes[slot], where);
    files.insert(slot);
    ++nodes[slot].version;
    return true;
  }

  // --- edges
  void attach(Slot edge, Slot slot) noexcept {
    NodeRecord& node = nodes[slot];
    EdgeRecord& record = edges[edge];
    record.node = slot;
    if (node.edge == 0) {
      record.next = record.previous = edge;
    } else {
      record.next = node.edge;
      record.previous = edges[node.edge].previous;
      edges[record.previous].next = edge;
      edges[record.next].previous = edge;
    }
    node.edge = edge;
    ++node.names;
    ++node.version;
    drop_victim(slot);
  }
  void detach(Slot edge) noexcept {
    const EdgeRecord& record = edges[edge];
    NodeRecord& node = nodes[record.node];
    edges[record.previous].next = record.next;
    edges[record.next].previous = record.previous;
    if (node.edge == edge) node.edge = record.next == edge ? 0 : record.next;
    --node.names;
    ++node.version;
  }
  void enter(Slot edge, Slot parent, std::string_view name) noexcept {
    EdgeRecord& record = edges[edge];
    record.parent = parent;
    record.name = names.add(name);
    record.name_size = static_cast<std::uint8_t>(name.size());
    record.hash = edge_hash(parent, name);
    entries.insert(edge);
    ++nodes[parent].children;
    ++nodes[parent].version;
  }
  void leave(Slot edge) noexcept {
    const EdgeRecord& record = edges[edge];
    entries.erase(edge);
    names.remove(record.name, record.name_size);
    --nodes[record.parent].children;
    ++nodes[record.parent].version;
  }
  void reserve_edge(std::string_view name) {
    edges.reserve();
    names.reserve(name.size());
    entries.reserve();
  }
  void add_edge(Slot parent, std::string_view name, Slot slot) noexcept {
    const Slot edge = edges.add();
    enter(edge, parent, name);
    attach(edge, slot);
  }
  void turn(Slot edge, Slot slot) noexcept {
    detach(edge);
    attach(edge, slot);
    ++nodes[edges[edge].parent].version;
  }
  /// `edge` is that of the name, 0 where there is none yet.
  Counted lead_to(Slot directory, std::string_view name, Slot edge, Slot slot) noexcept {
    if (edge == 0) {
      add_edge(directory, name, slot);
    } else if (edges[edge].node != slot) {
      const Slot lost = edges[edge].node;
      turn(edge, slot);
      settle_unnamed(lost);
    } else {
      nodes[slot].edge = edge;
    }
    return count(slot);
  }
  /// A node that only its names kept, and that lost one.
  void settle_unnamed(Slot slot) noexcept {
    if (keeps_named && nodes[slot].kind != NodeKind::kFree && nodes[slot].edge == 0) settle(slot);
  }
  /// Returns the parent, which may be settled then.
  Slot remove_edge(Slot edge) noexcept {
    const Slot parent = edges[edge].parent;
    nodes[edges[edge].node].ino = ino_of(edges[edge].node);
    detach(edge);
    leave(edge);
    edges.remove(edge);
    return parent;
  }
  /// For a node that is about to lose one name.
  void keep_victim(Slot slot, std::shared_ptr<Fd>& victim) {
    if (victim && nodes[slot].names == 1 && known(slot))
      victims.insert_or_assign(slot, std::move(victim));
  }
  /// A directory would become its own descendant: the kernel never asks for that.
  [[nodiscard]] bool would_contain_itself(Slot edge, Slot new_parent) const noexcept {
    const Slot slot = edges[edge].node;
    return is_directory(slot) && lies_in(new_parent, slot);
  }
  /// What `name` in `parent` led to loses that name, and keeps `victim`. `parent` 0, or a name that
  /// cannot be: the edge goes. A directory is never moved into itself.
  void move_edge(Slot edge, Slot parent, std::string_view name, std::shared_ptr<Fd> victim) {
    if (parent == 0 || !storable(name)) {
      const Slot lost = edges[edge].node;
      settle(remove_edge(edge));
      settle_unnamed(lost);
      return;
    }
    const Slot replaced = find_edge(parent, name);
    if (replaced == edge || would_contain_itself(edge, parent)) return;
    names.reserve(name.size());
    if (replaced != 0) {
      const Slot lost = edges[replaced].node;
      keep_victim(lost, victim);
      remove_edge(replaced);
      settle_unnamed(lost);
    }
    const Slot slot = edges[edge].node;
    const Slot old_parent = edges[edge].parent;
    leave(edge);
    enter(edge, parent, name);
    nodes[slot].edge = edge;
    ++nodes[slot].version;
    settle(old_parent);
  }
  void exchange(Slot first, Slot second) noexcept {
    const Slot first_node = edges[first].node;
    const Slot second_node = edges[second].node;
    if (first_node == second_node || would_contain_itself(first, edges[second].parent) ||
        would_contain_itself(second, edges[first].parent))
      return;
    turn(first, second_node);
    turn(second, first_node);
  }
  NodeId remove_name(Slot edge, std::shared_ptr<Fd> victim) {
    const Slot slot = edges[edge].node;
    const NodeId node{nodes[slot].id};
    keep_victim(slot, victim);
    settle(remove_edge(edge));
    settle_unnamed(slot);
    return node;
  }
};

/// Holds the table's mutex; what was dropped meanwhile goes after it is let go.
template <class State>
class Locked {
 public:
  Locked(std::mutex& mutex, State& state) : lock_(mutex), state_(state) {}
  ~Locked() {
    decltype(state_.dropped) dropped;
    dropped.swap(state_.dropped);
    lock_.unlock();
  }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;
  State* operator->() const noexcept { return &state_; }

 private:
  std::unique_lock<std::mutex> lock_;
  State& state_;
};

}  // namespace bough::ops
