#include "test/bench/floor_tree.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <functional>
#include <utility>

namespace bough::bench {

struct Tree::Node {
  Place place;
  /// Opened when a name in it is first asked for.
  std::shared_ptr<const Descriptor> own;
  ino_t ino = 0;
  std::uint64_t lookups = 0;
  bool named = false;
};

Descriptor::~Descriptor() {
  ::close(fd_);
}

std::size_t Tree::Hash::operator()(const Key& key) const noexcept {
  return std::hash<std::string_view>{}(key.name) ^
         (std::hash<const void*>{}(key.directory) * std::size_t{31});
}

Tree::Tree(int root) : root_(std::make_unique<Node>()) {
  root_->own = std::make_shared<const Descriptor>(root);
  root_->place = Place{root_->own, "."};
}

Tree::~Tree() {
  for (const auto& [key, node] : by_name_) delete node;
}

Tree::Node& Tree::of(proto::NodeId node) noexcept {
  return node == proto::kRootNode ? *root_ : *reinterpret_cast<Node*>(node.value);
}

Place Tree::place(proto::NodeId node) {
  const std::lock_guard lock(mutex_);
  return of(node).place;
}

std::optional<Place> Tree::inside(proto::NodeId node, std::string_view name) {
  const std::lock_guard lock(mutex_);
  Node& directory = of(node);
  if (!directory.own) {
    const int fd = ::openat(directory.place.dir(), directory.place.c_str(),
                            O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return std::nullopt;
    directory.own = std::make_shared<const Descriptor>(fd);
  }
  return Place{directory.own, std::string(name)};
}

proto::NodeId Tree::found(const Place& place, ino_t ino) {
  const std::lock_guard lock(mutex_);
  const auto known = by_name_.find(Key{place.directory.get(), place.name});
  if (known != by_name_.end() && known->second->ino == ino) {
    ++known->second->lookups;
    return proto::NodeId{reinterpret_cast<std::uint64_t>(known->second)};
  }
  if (known != by_name_.end()) detach(*known->second);
  auto node = std::make_unique<Node>();
  node->place = place;
  node->ino = ino;
  node->lookups = 1;
  node->named = true;
  by_name_.emplace(Key{node->place.directory.get(), node->place.name}, node.get());
  return proto::NodeId{reinterpret_cast<std::uint64_t>(node.release())};
}

/// The node stays as long as the kernel knows it; its name means another file, or none.
void Tree::detach(Node& node) noexcept {
  if (!node.named) return;
  by_name_.erase(Key{node.place.directory.get(), node.place.name});
  node.named = false;
  if (node.lookups == 0) delete &node;
}

void Tree::moved(const Place& from, const Place& to) {
  const std::lock_guard lock(mutex_);
  if (const auto replaced = by_name_.find(Key{to.directory.get(), to.name});
      replaced != by_name_.end())
    detach(*replaced->second);
  const auto known = by_name_.find(Key{from.directory.get(), from.name});
  if (known == by_name_.end()) return;
  Node* const node = known->second;
  by_name_.erase(known);
  node->place = to;
  by_name_.emplace(Key{node->place.directory.get(), node->place.name}, node);
}

void Tree::removed(const Place& place) {
  const std::lock_guard lock(mutex_);
  const auto known = by_name_.find(Key{place.directory.get(), place.name});
  if (known != by_name_.end()) detach(*known->second);
}

void Tree::forget(proto::NodeId id, std::uint64_t count) noexcept {
  if (id == proto::kRootNode) return;
  const std::lock_guard lock(mutex_);
  Node& node = of(id);
  node.lookups -= count;
  if (node.lookups != 0) return;
  if (node.named) by_name_.erase(Key{node.place.directory.get(), node.place.name});
  delete &node;
}

}  // namespace bough::bench
