#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "proto/ids.hpp"

namespace bough::bench {

/// A descriptor that is closed with its last owner.
class Descriptor {
 public:
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  ~Descriptor();
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_;
};

/// A name in a directory that is open: what a system call of the *at() family wants. Keeps the
/// directory open.
struct Place {
  std::shared_ptr<const Descriptor> directory;
  std::string name;
  [[nodiscard]] int dir() const noexcept { return directory->get(); }
  [[nodiscard]] const char* c_str() const noexcept { return name.c_str(); }
};

/// The nodes that the kernel knows, each by the one name that it was looked up under last: hard
/// links are nodes of their own. Any thread. A nodeid is the node's address, or 1 for the root; the
/// kernel uses none after its last FORGET.
class Tree {
 public:
  /// Takes over the descriptor of the root.
  explicit Tree(int root);
  ~Tree();
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  /// The node's own place; the root's is "." in itself.
  [[nodiscard]] Place place(proto::NodeId node);
  /// `name` in the directory `node`, which is opened the first time; none if that fails, with errno
  /// set.
  [[nodiscard]] std::optional<Place> inside(proto::NodeId node, std::string_view name);
  /// The node of a name that is known to exist as inode `ino`, with one more lookup count.
  [[nodiscard]] proto::NodeId found(const Place& place, ino_t ino);
  void moved(const Place& from, const Place& to);
  void removed(const Place& place);
  void forget(proto::NodeId node, std::uint64_t count) noexcept;

 private:
  struct Node;
  struct Key {
    const Descriptor* directory;
    std::string_view name;
    friend bool operator==(const Key&, const Key&) noexcept = default;
  };
  struct Hash {
    std::size_t operator()(const Key& key) const noexcept;
  };

  [[nodiscard]] Node& of(proto::NodeId node) noexcept;
  void detach(Node& node) noexcept;

  std::mutex mutex_;
  std::unique_ptr<Node> root_;
  /// The keys are views of the nodes' own names.
  std::unordered_map<Key, Node*, Hash> by_name_;
};

}  // namespace bough::bench
