#include "ops/node_table.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "ops/chain_index.hpp"
#include "ops/hash.hpp"
#include "ops/name_arena.hpp"
#include "ops/node_records.hpp"

using namespace bough::ops;
using bough::proto::kNoNode;
using bough::proto::kRootNode;

namespace {

Location at(std::uint64_t ino, BranchId branch = 0) {
  return {branch, {64, ino, 1000}};
}

std::shared_ptr<Fd> descriptor() {
  return std::make_shared<Fd>(::open("/dev/null", O_PATH | O_CLOEXEC));
}

template <class Number>
std::string numbered(std::string_view text, Number number) {
  std::string name(text);
  name += std::to_string(number);
  return name;
}

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}

NodeId file(NodeTable& table, NodeId parent, std::string_view name, std::uint64_t ino) {
  const auto counted = table.count_file(parent, name, at(ino), ino + 5000);
  REQUIRE(counted);
  return counted->node;
}

NodeId directory(NodeTable& table, NodeId parent, std::string_view name) {
  const auto counted = table.count_directory(parent, name);
  REQUIRE(counted);
  return counted->node;
}

bool known(const NodeTable& table, NodeId node) {
  NodeView view;
  return table.view(node, view);
}

/// "dir/name" of a file, the path of a directory, "-" without a name, "?" when unknown.
std::string path_of(const NodeTable& table, NodeId node) {
  NodeView view;
  if (!table.view(node, view)) return "?";
  if (!view.named) return "-";
  std::string path(view.path.view());
  if (view.directory) {
    PathText text;
    CHECK(table.directory_path(node, text));
    CHECK(text.view() == path);
    return path;
  }
  CHECK(std::string(view.name_c_str()) == view.name());
  PathText parent;
  CHECK(table.directory_path(view.parent, parent));
  CHECK(parent.view() == view.path.view());
  return path.empty() ? std::string(view.name()) : path + "/" + std::string(view.name());
}

std::uint32_t version(const NodeTable& table, NodeId node) {
  NodeView view;
  REQUIRE(table.view(node, view));
  return view.version;
}

}  // namespace

TEST_CASE("the root is there from the start and stays") {
  NodeTable table(Generation{42});
  NodeView view;
  REQUIRE(table.view(kRootNode, view));
  CHECK(view.directory);
  CHECK(view.named);
  CHECK(view.path.empty());
  CHECK(view.ino == 1);
  CHECK(view.parent == kRootNode);
  CHECK(table.parent(kRootNode) == kRootNode);
  CHECK(table.generation(kRootNode) == Generation{0});
  CHECK(table.figures().nodes == 1);
  CHECK(table.count_again(kRootNode));
  table.forget(kRootNode, 2);
  CHECK(known(table, kRootNode));
  CHECK(table.figures().overdrawn == 0);
  CHECK(table.figures().lookups == 0);
  CHECK(!known(table, kNoNode));
  CHECK(!known(table, NodeId{~std::uint64_t{0}}));
}

TEST_CASE("a file is counted, found and forgotten") {
  NodeTable table(Generation{42});
  const std::uint64_t bytes = table.figures().bytes;
  const NodeId sub = directory(table, kRootNode, "sub");
  const auto first = table.count_file(sub, "f", at(10, 2), 777);
  REQUIRE(first);
  CHECK(first->ino == 777);
  CHECK(table.generation(first->node) == Generation{42});
  CHECK(table.child(sub, "f") == first->node);
  CHECK(table.child(sub, "g") == kNoNode);
  CHECK(table.child(kRootNode, "f") == kNoNode);
  CHECK(path_of(table, first->node) == "sub/f");
  // The inode number that users see stays as it was when the node was made.
  const auto second = table.count_file(sub, "f", at(10, 2), 888);
  REQUIRE(second);
  CHECK(second->node == first->node);
  CHECK(second->ino == 777);
  NodeView view;
  REQUIRE(table.view(first->node, view));
  CHECK(!view.directory);
  CHECK(view.location.branch == 2);
  CHECK(view.location.file == at(10).file);
  CHECK(view.parent == sub);
  CHECK(table.figures().lookups == 3);
  CHECK(table.figures().edges == 2);

  table.forget(first->node, 1);
  CHECK(known(table, first->node));
  table.forget(first->node, 1);
  CHECK(!known(table, first->node));
  CHECK(table.child(sub, "f") == kNoNode);
  CHECK(known(table, sub));
  table.forget(sub, 1);
  CHECK(!known(table, sub));
  CHECK(table.figures().nodes == 1);
  CHECK(table.figures().edges == 0);
  CHECK(table.figures().lookups == 0);
  CHECK(table.figures().bytes == bytes);
  CHECK(table.figures().overdrawn == 0);
}

TEST_CASE("a nodeid is never given twice") {
  NodeTable table(Generation{1});
  std::set<std::uint64_t> seen;
  for (int round = 0; round < 4; ++round) {
    std::vector<NodeId> nodes;
    // More than the first chunk, so that what the table forgets when it shrinks is covered.
    for (std::uint64_t i = 0; i < 3000; ++i) {
      const NodeId node = file(table, kRootNode, numbered("n", i), i);
      CHECK(seen.insert(node.value).second);
      if (i % 3 == 0)
        table.forget(node, 1);
      else
        nodes.push_back(node);
    }
    if (round == 2)
      table.clear();
    else
      for (const NodeId node : nodes) table.forget(node, 1);
    CHECK(table.figures().nodes == 1);
    for (const NodeId node : nodes) REQUIRE(!known(table, node));
  }
}

TEST_CASE("a slot whose counter is used up is left alone") {
  NodeSlots slots(2);
  REQUIRE(slots.add(NodeKind::kDirectory) == NodeSlots::kRoot);
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 10; ++i) {
    slots.reserve();
    const std::uint32_t slot = slots.add(NodeKind::kFile);
    const std::uint64_t id = slots[slot].id;
    CHECK(seen.insert(id).second);
    CHECK(slots.find(id) == slot);
    CHECK(slot == 2 + static_cast<std::uint32_t>(i) / 3);
    slots.remove(slot);
    CHECK(slots.find(id) == 0);
  }
  // Behind the first chunk too, where shrinking would forget the counters.
  for (int round = 0; round < 5; ++round) {
    std::vector<std::uint32_t> taken;
    for (int i = 0; i < 1500; ++i) {
      slots.reserve();
      taken.push_back(slots.add(NodeKind::kFile));
      CHECK(seen.insert(slots[taken.back()].id).second);
    }
    for (const std::uint32_t slot : taken) slots.remove(slot);
    slots.shrink();
  }
}

TEST_CASE("the index keeps its chains short as it grows, and finds what is in it") {
  struct Record {
    std::uint32_t key;
    std::uint32_t chain;
  };
  struct HashOf {
    std::uint32_t operator()(const Record& record) const noexcept {
      return static_cast<std::uint32_t>(mix_hash(record.key));
    }
  };
  using Records = Chunks<Record, 10>;
  Records records;
  ChainIndex<Records, HashOf> index(records);
  constexpr std::uint32_t kRecords = 20'000;
  std::uint64_t looked_at = 0;
  const auto find = [&](std::uint32_t key) {
    return index.find(HashOf{}(Record{key, 0}), [&](const Record& record) {
      ++looked_at;
      return record.key == key;
    });
  };
  for (std::uint32_t i = 1; i <= kRecords; ++i) {
    if (i >= records.capacity()) records.add();
    records[i].key = i * 3;
    index.reserve();
    index.insert(i);
  }
  for (std::uint32_t i = 1; i <= kRecords; ++i) REQUIRE(find(i * 3) == i);
  CHECK(looked_at < 3 * kRecords);
  for (std::uint32_t i = 1; i <= kRecords; i += 2) index.erase(i);
  for (std::uint32_t i = 1; i <= kRecords; ++i) REQUIRE(find(i * 3) == (i % 2 == 0 ? i : 0));
  index.reset();
  CHECK(find(6) == 0);
}

TEST_CASE("the arena uses the place of a freed name again") {
  NameArena arena;
  const std::size_t bytes = arena.bytes();
  const std::string name(21, 'n');
  for (int round = 0; round < 10'000; ++round) {
    arena.reserve(name.size());
    const std::uint32_t place = arena.add(name);
    REQUIRE(arena.text(place, name.size()) == name);
    arena.remove(place, name.size());
  }
  CHECK(arena.bytes() == bytes);
  // Sizes of all kinds over several chunks, each intact beside the others.
  std::vector<std::pair<std::uint32_t, std::string>> kept;
  for (std::size_t i = 0; i < 2000; ++i) {
    kept.emplace_back(0, std::string(i % 255 + 1, static_cast<char>('a' + i % 26)));
    arena.reserve(kept.back().second.size());
    kept.back().first = arena.add(kept.back().second);
  }
  CHECK(arena.bytes() > bytes);
  for (const auto& [place, text] : kept) REQUIRE(arena.text(place, text.size()) == text);
  arena.reset();
  CHECK(arena.bytes() == bytes);
}

TEST_CASE("names that cannot be, and parents that are none, are refused") {
  NodeTable table(Generation{1});
  const NodeId plain = file(table, kRootNode, "f", 1);
  CHECK(!table.count_file(plain, "x", at(2), 2));
  CHECK(!table.count_file(NodeId{999}, "x", at(2), 2));
  CHECK(!table.count_directory(plain, "x"));
  CHECK(!table.count_file(kRootNode, "", at(2), 2));
  CHECK(!table.count_file(kRootNode, std::string(256, 'x'), at(2), 2));
  CHECK(table.figures().nodes == 2);
  const std::string longest(255, 'x');
  CHECK(path_of(table, file(table, kRootNode, longest, 3)) == longest);
}

TEST_CASE("hard links are one node, the last used name counts") {
  NodeTable table(Generation{1});
  const NodeId a = directory(table, kRootNode, "a");
  const NodeId b = directory(table, kRootNode, "b");
  const NodeId node = file(table, a, "one", 7);
  CHECK(file(table, b, "two", 7) == node);
  CHECK(file(table, kRootNode, "three", 7) == node);
  CHECK(table.figures().nodes == 4);
  CHECK(table.figures().edges == 5);
  CHECK(path_of(table, node) == "three");
  CHECK(file(table, a, "one", 7) == node);
  CHECK(path_of(table, node) == "a/one");

  std::set<std::string> names{path_of(table, node)};
  NodeView view;
  CHECK(table.next_name(node, 1, view));
  names.insert(path_of(table, node));
  CHECK(view.name() == path_of(table, node).substr(path_of(table, node).rfind('/') + 1));
  CHECK(table.next_name(node, 2, view));
  names.insert(path_of(table, node));
  CHECK(!table.next_name(node, 3, view));
  CHECK(names == std::set<std::string>{"a/one", "b/two", "three"});
  CHECK(!table.next_name(kNoNode, 0, view));

  CHECK(table.remove_name(a, "one", descriptor()) == node);
  CHECK(table.figures().victims == 0);
  CHECK(table.remove_name(kRootNode, "three", nullptr) == node);
  CHECK(path_of(table, node) == "b/two");
  CHECK(table.remove_name(b, "two", descriptor()) == node);
  CHECK(table.figures().victims == 1);
  CHECK(path_of(table, node) == "-");
  CHECK(table.remove_name(b, "two", nullptr) == kNoNode);

  table.forget(node, 4);
  CHECK(!known(table, node));
  CHECK(table.figures().victims == 0);
  CHECK(table.figures().nodes == 3);
}

TEST_CASE("a name whose directory was removed is passed over for one that leads somewhere") {
  NodeTable table(Generation{1});
  const NodeId gone = directory(table, kRootNode, "gone");
  const NodeId node = file(table, kRootNode, "here", 7);
  file(table, gone, "there", 7);
  CHECK(path_of(table, node) == "gone/there");
  table.remove_name(kRootNode, "gone", nullptr);
  CHECK(path_of(table, node) == "here");
  NodeView view;
  CHECK(table.next_name(node, 1, view));
  CHECK(view.name() == "here");
}

TEST_CASE("forgetting a file that had names in several directories lets go of them all") {
  NodeTable table(Generation{1});
  const std::uint64_t bytes = table.figures().bytes;
  std::vector<NodeId> directories;
  NodeId node;
  for (int i = 0; i < 5; ++i) {
    const NodeId outer = directory(table, kRootNode, numbered("d", i));
    const NodeId inner = directory(table, outer, "inner");
    node = file(table, inner, "link", 9);
    table.forget(outer, 1);
    table.forget(inner, 1);
    directories.push_back(inner);
  }
  for (const NodeId each : directories) CHECK(known(table, each));
  CHECK(table.figures().nodes == 12);
  table.forget(node, 5);
  CHECK(table.figures().nodes == 1);
  CHECK(table.figures().edges == 0);
  CHECK(table.figures().bytes == bytes);
}

TEST_CASE("directories stay while something below is known") {
  NodeTable table(Generation{1});
  const NodeId a = directory(table, kRootNode, "a");
  const NodeId b = directory(table, a, "b");
  const NodeId c = directory(table, b, "c");
  const NodeId node = file(table, c, "f", 1);
  table.forget(a, 1);
  table.forget(b, 1);
  table.forget(c, 1);
  CHECK(path_of(table, node) == "a/b/c/f");
  CHECK(table.parent(c) == b);
  CHECK(table.parent(a) == kRootNode);
  CHECK(table.parent(node) == kNoNode);
  // Counted again, the directory is the same one.
  CHECK(directory(table, kRootNode, "a") == a);
  table.forget(node, 1);
  CHECK(!known(table, b));
  CHECK(known(table, a));
  table.forget(a, 1);
  CHECK(table.figures().nodes == 1);
}

TEST_CASE("renaming a directory moves what is below") {
  NodeTable table(Generation{1});
  const NodeId a = directory(table, kRootNode, "a");
  const NodeId sub = directory(table, a, "sub");
  const NodeId node = file(table, sub, "f", 1);
  const NodeId other = directory(table, kRootNode, "other");
  const std::uint32_t before = version(table, a);
  const std::uint32_t root_before = version(table, kRootNode);
  table.move_name(kRootNode, "a", other, "renamed to something longer", nullptr);
  CHECK(version(table, a) > before);
  CHECK(version(table, kRootNode) > root_before);
  CHECK(path_of(table, node) == "other/renamed to something longer/sub/f");
  CHECK(table.child(kRootNode, "a") == kNoNode);
  CHECK(table.child(other, "renamed to something longer") == a);
  CHECK(table.parent(a) == other);
  // Into itself: never asked by the kernel, and ignored.
  table.move_name(other, "renamed to something longer", sub, "x", nullptr);
  CHECK(path_of(table, sub) == "other/renamed to something longer/sub");
  table.exchange_names(kRootNode, "other", sub, "f");
  CHECK(path_of(table, node) == "other/renamed to something longer/sub/f");
  table.move_name(other, "renamed to something longer", other, "renamed to something longer",
                  nullptr);
  CHECK(path_of(table, a) == "other/renamed to something longer");
}

TEST_CASE("renaming over a known file leaves it to its descriptor") {
  NodeTable table(Generation{1});
  const NodeId from = file(table, kRootNode, "from", 1);
  const NodeId over = file(table, kRootNode, "over", 2);
  const auto victim = descriptor();
  const int fd = victim->get();
  table.move_name(kRootNode, "from", kRootNode, "over", victim);
  CHECK(path_of(table, from) == "over");
  CHECK(path_of(table, over) == "-");
  NodeView view;
  REQUIRE(table.view(over, view));
  REQUIRE(view.victim);
  CHECK(view.victim->get() == fd);
  REQUIRE(table.view(from, view));
  CHECK(!view.victim);
  CHECK(table.child(kRootNode, "from") == kNoNode);
  CHECK(table.figures().edges == 1);
}

TEST_CASE("renaming when the old name was never looked up still takes the new one away") {
  NodeTable table(Generation{1});
  const NodeId over = file(table, kRootNode, "over", 2);
  table.move_name(kRootNode, "unseen", kRootNode, "over", descriptor());
  CHECK(path_of(table, over) == "-");
  CHECK(table.figures().victims == 1);
  // And where the new parent is not known, the old name is gone all the same.
  const NodeId moved = file(table, kRootNode, "moved", 3);
  table.move_name(kRootNode, "moved", NodeId{123456}, "x", nullptr);
  CHECK(path_of(table, moved) == "-");
}

TEST_CASE("moving the last child out of a forgotten directory lets it go") {
  NodeTable table(Generation{1});
  const NodeId a = directory(table, kRootNode, "a");
  const NodeId b = directory(table, a, "b");
  const NodeId node = file(table, b, "f", 1);
  table.forget(a, 1);
  table.forget(b, 1);
  table.move_name(b, "f", a, "f", nullptr);
  CHECK(!known(table, b));
  CHECK(path_of(table, node) == "a/f");
  table.move_name(a, "f", kRootNode, "f", nullptr);
  CHECK(!known(table, a));
  CHECK(path_of(table, node) == "f");
  CHECK(table.figures().nodes == 2);
}

TEST_CASE("exchange") {
  NodeTable table(Generation{1});
  const NodeId a = directory(table, kRootNode, "a");
  const NodeId below = file(table, a, "below", 1);
  const NodeId b = directory(table, kRootNode, "b");
  const NodeId node = file(table, b, "f", 2);
  table.exchange_names(kRootNode, "a", b, "f");
  CHECK(path_of(table, a) == "b/f");
  CHECK(path_of(table, below) == "b/f/below");
  CHECK(path_of(table, node) == "a");
  CHECK(table.parent(a) == b);
  CHECK(table.figures().edges == 4);
  // Where only one of the two was known.
  table.exchange_names(kRootNode, "a", b, "unseen");
  CHECK(path_of(table, node) == "b/unseen");
  CHECK(table.child(kRootNode, "a") == kNoNode);
  table.exchange_names(kRootNode, "a", b, "unseen");
  CHECK(path_of(table, node) == "a");
  // Two names of one file.
  file(table, b, "link", 2);
  table.exchange_names(kRootNode, "a", b, "link");
  CHECK(table.child(kRootNode, "a") == node);
  CHECK(table.child(b, "link") == node);
}

TEST_CASE("a name that leads to something else by now is turned") {
  NodeTable table(Generation{1});
  const NodeId first = file(table, kRootNode, "n", 1);
  const std::uint32_t root_before = version(table, kRootNode);
  const std::uint32_t before = version(table, first);
  const NodeId second = file(table, kRootNode, "n", 2);
  CHECK(first != second);
  CHECK(version(table, first) > before);
  CHECK(version(table, kRootNode) > root_before);
  CHECK(path_of(table, first) == "-");
  CHECK(path_of(table, second) == "n");
  const NodeId third = directory(table, kRootNode, "n");
  CHECK(path_of(table, second) == "-");
  CHECK(path_of(table, third) == "n");
  const NodeId child = file(table, third, "c", 3);
  table.forget(third, 1);
  CHECK(file(table, kRootNode, "n", 2) == second);
  CHECK(path_of(table, second) == "n");
  CHECK(path_of(table, third) == "-");
  CHECK(path_of(table, child) == "-");
  CHECK(table.child(third, "c") == child);
  CHECK(table.figures().edges == 2);
  table.forget(child, 1);
  CHECK(!known(table, third));
}

TEST_CASE("counting without a change changes no version") {
  NodeTable table(Generation{1});
  const NodeId a = directory(table, kRootNode, "a");
  const NodeId node = file(table, a, "f", 1);
  const std::uint32_t node_before = version(table, node);
  const std::uint32_t parent_before = version(table, a);
  file(table, a, "f", 1);
  directory(table, kRootNode, "a");
  CHECK(version(table, node) == node_before);
  CHECK(version(table, a) == parent_before);
  table.relocate(node, at(99, 5));
  CHECK(version(table, node) > node_before);
}

TEST_CASE("nothing below a removed directory has a name, and it stays while that is known") {
  NodeTable table(Generation{1});
  const NodeId a = directory(table, kRootNode, "a");
  const NodeId b = directory(table, a, "b");
  const NodeId node = file(table, b, "f", 1);
  CHECK(table.remove_name(kRootNode, "a", descriptor()) == a);
  CHECK(path_of(table, a) == "-");
  CHECK(path_of(table, b) == "-");
  CHECK(path_of(table, node) == "-");
  PathText path;
  CHECK(!table.directory_path(b, path));
  CHECK(path.empty());
  CHECK(table.parent(a) == kNoNode);
  CHECK(table.figures().victims == 1);
  // A new directory of that name is another node.
  const NodeId again = directory(table, kRootNode, "a");
  CHECK(again != a);
  CHECK(path_of(table, again) == "a");
  CHECK(path_of(table, b) == "-");
  table.forget(a, 1);
  table.forget(b, 1);
  CHECK(known(table, a));
  table.forget(node, 1);
  CHECK(!known(table, a));
  CHECK(table.figures().victims == 0);
  CHECK(table.figures().nodes == 2);
}

TEST_CASE("a removed directory without counts keeps no descriptor") {
  NodeTable table(Generation{1});
  const NodeId a = directory(table, kRootNode, "a");
  const NodeId node = file(table, a, "f", 1);
  table.forget(a, 1);
  table.remove_name(kRootNode, "a", descriptor());
  CHECK(table.figures().victims == 0);
  CHECK(path_of(table, node) == "-");
}

TEST_CASE("the descriptor of a victim closes with the last who uses it") {
  NodeTable table(Generation{1});
  const NodeId node = file(table, kRootNode, "f", 1);
  auto victim = descriptor();
  const int fd = victim->get();
  table.remove_name(kRootNode, "f", std::move(victim));
  NodeView view;
  REQUIRE(table.view(node, view));
  table.forget(node, 1);
  CHECK(is_open(fd));
  CHECK(!table.view(node, view));
  CHECK(!is_open(fd));
}

TEST_CASE("an unnamed file, and linking it") {
  NodeTable table(Generation{1});
  const auto made = table.count_unnamed(at(5), 50, descriptor());
  CHECK(path_of(table, made.node) == "-");
  CHECK(table.figures().victims == 1);
  const auto linked = table.count_file(kRootNode, "linked", at(5), 51);
  REQUIRE(linked);
  CHECK(linked->node == made.node);
  CHECK(linked->ino == 50);
  CHECK(path_of(table, made.node) == "linked");
  CHECK(table.figures().victims == 0);
  // An unlinked file that is open is the same node when it gets a name again.
  table.remove_name(kRootNode, "linked", descriptor());
  CHECK(table.hold(made.node) == 1);
  table.forget(made.node, 2);
  CHECK(table.figures().victims == 1);
  CHECK(file(table, kRootNode, "again", 5) == made.node);
  CHECK(table.figures().victims == 0);
  table.unhold(made.node);
  table.forget(made.node, 1);
  CHECK(table.figures().nodes == 1);
}

TEST_CASE("a hold keeps a node that the kernel forgot") {
  NodeTable table(Generation{1});
  const NodeId node = file(table, kRootNode, "f", 1);
  CHECK(table.hold(node) == 1);
  table.forget(node, 1);
  CHECK(path_of(table, node) == "f");
  CHECK(table.figures().holds == 1);
  CHECK(table.count_again(node)->node == node);
  table.unhold(node);
  CHECK(known(table, node));
  table.forget(node, 1);
  CHECK(!known(table, node));
  CHECK(table.hold(node) == 0);
  CHECK(!table.count_again(node));
  CHECK(table.figures().overdrawn == 0);
}

TEST_CASE("a forget that overtakes the reply takes the count that was given before it") {
  NodeTable table(Generation{1});
  // The kernel has three counts; a fourth is on its way and is counted before its reply is written.
  const NodeId node = file(table, kRootNode, "f", 1);
  CHECK(table.count_again(node));
  CHECK(table.count_again(node));
  CHECK(file(table, kRootNode, "f", 1) == node);
  table.forget(node, 3);
  CHECK(known(table, node));
  table.forget(node, 1);
  CHECK(!known(table, node));
  CHECK(table.figures().overdrawn == 0);
}

TEST_CASE("taking more than there is does no harm and is counted") {
  NodeTable table(Generation{1});
  const NodeId node = file(table, kRootNode, "f", 1);
  table.forget(node, 4);
  CHECK(!known(table, node));
  CHECK(table.figures().overdrawn == 3);
  table.forget(node, 2);
  CHECK(table.figures().overdrawn == 5);
  const NodeId other = file(table, kRootNode, "f", 1);
  table.unhold(other);
  CHECK(table.figures().overdrawn == 6);
  CHECK(known(table, other));
  CHECK(table.figures().lookups == 1);
  CHECK(table.figures().holds == 0);
}

TEST_CASE("a file that was relocated is found at its new place, with its old inode number") {
  NodeTable table(Generation{1});
  const NodeId node = file(table, kRootNode, "f", 1);
  table.relocate(node, at(900, 4));
  NodeView view;
  REQUIRE(table.view(node, view));
  CHECK(view.location.branch == 4);
  CHECK(view.location.file == at(900).file);
  const auto counted = table.count_file(kRootNode, "f", at(900, 4), 1);
  REQUIRE(counted);
  CHECK(counted->node == node);
  CHECK(counted->ino == 5001);
  // What now has its old number is another file.
  CHECK(file(table, kRootNode, "g", 1) != node);
}

TEST_CASE("nodes that are kept by their names outlive FORGET, until the names go") {
  NodeTable table(Generation{1});
  table.keep_named();
  const NodeId d = directory(table, kRootNode, "d");
  const NodeId f = file(table, d, "f", 1);
  table.forget(f, 1);
  table.forget(d, 1);
  CHECK(table.figures().nodes == 3);
  CHECK(file(table, d, "f", 1) == f);
  table.forget(f, 1);
  // Another file took the place of one, and a name went.
  const NodeId g = file(table, d, "g", 2);
  table.forget(g, 1);
  table.move_name(d, "g", d, "f", nullptr);
  NodeView view;
  CHECK_FALSE(table.view(f, view));
  CHECK(table.view(g, view));
  CHECK(table.remove_name(d, "f", nullptr) == g);
  CHECK_FALSE(table.view(g, view));
  CHECK(table.view(d, view));
  table.remove_name(kRootNode, "d", nullptr);
  CHECK(table.figures().nodes == 1);
}

TEST_CASE("a name that is to have a node of its own shares none") {
  NodeTable table(Generation{1});
  const auto first = table.count_file(kRootNode, "a", at(1), 5, true);
  const auto second = table.count_file(kRootNode, "b", at(1), 5, true);
  REQUIRE(first);
  REQUIRE(second);
  CHECK(first->node != second->node);
  CHECK(table.count_file(kRootNode, "a", at(1), 5, true)->node == first->node);
  CHECK(table.count_file(kRootNode, "b", at(1), 5)->node == second->node);
  table.replace(first->node, at(7), 70);
  const auto again = table.count_file(kRootNode, "a", at(7), 70);
  CHECK(again->node == first->node);
  CHECK(again->ino == 70);
  NodeView view;
  REQUIRE(table.view(second->node, view));
  CHECK(view.location.file == at(1).file);
  CHECK(view.names == 1);
  table.forget(first->node, 3);
  table.forget(second->node, 2);
  CHECK(table.figures().nodes == 1);
}

TEST_CASE("a path of any depth") {
  NodeTable table(Generation{1});
  const std::uint64_t bytes = table.figures().bytes;
  constexpr int kDepth = 3000;
  std::vector<NodeId> chain{kRootNode};
  std::string expected;
  for (int i = 0; i < kDepth; ++i) {
    const std::string name = numbered("component", i);
    chain.push_back(directory(table, chain.back(), name));
    expected += (expected.empty() ? "" : "/") + name;
  }
  PathText path;
  REQUIRE(table.directory_path(chain.back(), path));
  CHECK(path.view() == expected);
  for (int i = 1; i < kDepth; ++i) table.forget(chain[static_cast<std::size_t>(i)], 1);
  CHECK(table.figures().nodes == kDepth + 1);
  table.forget(chain.back(), 1);
  CHECK(table.figures().nodes == 1);
  CHECK(table.figures().bytes == bytes);
}

TEST_CASE("200,000 files: compact, and back to the first size") {
  NodeTable table(Generation{1});
  const std::uint64_t bytes = table.figures().bytes;
  constexpr std::uint64_t kFiles = 200'000;
  std::vector<NodeId> nodes;
  nodes.reserve(kFiles);
  std::vector<NodeId> parents;
  for (int i = 0; i < 100; ++i)
    parents.push_back(directory(table, kRootNode, numbered("directory ", i)));
  std::mt19937_64 random(20260101);
  for (std::uint64_t i = 0; i < kFiles; ++i) {
    const std::string name = numbered("a file name ", 10'000'000 + i);
    const auto counted = table.count_file(parents[i % 100], name, at(i * 3), i);
    nodes.push_back(counted->node);
  }
  const double each = static_cast<double>(table.figures().bytes - bytes) / kFiles;
  MESSAGE("bytes a file with a name of 20: " << each);
  CHECK(each <= 160);
  for (std::uint64_t i = 0; i < kFiles; i += 997)
    REQUIRE(path_of(table, nodes[i]) ==
            numbered(numbered("directory ", i % 100) + "/a file name ", 10'000'000 + i));

  // Half of them anew: what was freed is used again.
  std::shuffle(nodes.begin(), nodes.end(), random);
  const std::uint64_t full = table.figures().bytes;
  for (std::uint64_t i = 0; i < kFiles / 2; ++i) table.forget(nodes[i], 1);
  CHECK(table.figures().nodes == kFiles / 2 + 101);
  for (std::uint64_t i = 0; i < kFiles / 2; ++i)
    nodes[i] = table
                   .count_file(parents[i % 7], numbered("b file name ", 10'000'000 + i),
                               at(kFiles * 9 + i), i)
                   ->node;
  CHECK(table.figures().bytes == full);
  for (const NodeId node : nodes) table.forget(node, 1);
  CHECK(table.figures().nodes == 101);
  for (const NodeId node : parents) table.forget(node, 1);
  CHECK(table.figures().nodes == 1);
  CHECK(table.figures().edges == 0);
  CHECK(table.figures().lookups == 0);
  CHECK(table.figures().bytes == bytes);
  CHECK(table.figures().overdrawn == 0);
}

TEST_CASE("clear drops everything but the root") {
  NodeTable table(Generation{1});
  const std::uint64_t bytes = table.figures().bytes;
  const NodeId a = directory(table, kRootNode, "a");
  std::vector<NodeId> nodes;
  for (std::uint64_t i = 0; i < 5000; ++i) nodes.push_back(file(table, a, std::to_string(i), i));
  table.hold(nodes[3]);
  auto victim = descriptor();
  const int fd = victim->get();
  table.remove_name(a, "4", std::move(victim));
  table.clear();
  CHECK(!is_open(fd));
  CHECK(table.figures().nodes == 1);
  CHECK(table.figures().edges == 0);
  CHECK(table.figures().lookups == 0);
  CHECK(table.figures().holds == 0);
  CHECK(table.figures().victims == 0);
  CHECK(table.figures().bytes == bytes);
  for (const NodeId node : nodes) REQUIRE(!known(table, node));
  CHECK(path_of(table, file(table, kRootNode, "new", 1)) == "new");
}

namespace {

/// The same rules in the plainest words: what NodeTable must be indistinguishable from.
class Model {
 public:
  struct Node {
    bool directory = false;
    std::uint64_t file = 0;
    std::uint64_t lookups = 0;
    std::uint64_t holds = 0;
    bool victim = false;
  };
  using Key = std::pair<std::uint64_t, std::string>;

  std::map<std::uint64_t, Node> nodes{{1, {true, 0, 0, 0, false}}};
  std::map<Key, std::uint64_t> edges;

  [[nodiscard]] bool is_directory(std::uint64_t id) const {
    const auto found = nodes.find(id);
    return found != nodes.end() && found->second.directory;
  }
  [[nodiscard]] std::uint64_t find_file(std::uint64_t ino) const {
    for (const auto& [id, node] : nodes)
      if (!node.directory && node.file == ino) return id;
    return 0;
  }
  [[nodiscard]] std::uint64_t child(std::uint64_t parent, const std::string& name) const {
    const auto found = edges.find({parent, name});
    return found != edges.end() ? found->second : 0;
  }
  [[nodiscard]] std::vector<Key> names(std::uint64_t id) const {
    std::vector<Key> keys;
    for (const auto& [key, to] : edges)
      if (to == id) keys.push_back(key);
    return keys;
  }
  [[nodiscard]] std::optional<std::string> directory_path(std::uint64_t id) const {
    if (id == 1) return "";
    const auto keys = names(id);
    if (keys.empty()) return std::nullopt;
    const auto above = directory_path(keys.front().first);
    if (!above) return std::nullopt;
    return above->empty() ? keys.front().second : *above + "/" + keys.front().second;
  }
  [[nodiscard]] std::set<std::string> paths(std::uint64_t id) const {
    std::set<std::string> all;
    for (const auto& [parent, name] : names(id))
      if (const auto above = directory_path(parent))
        all.insert(above->empty() ? name : *above + "/" + name);
    return all;
  }
  [[nodiscard]] bool lies_in(std::uint64_t id, std::uint64_t ancestor) const {
    while (id != ancestor) {
      const auto keys = names(id);
      if (keys.empty()) return false;
      id = keys.front().first;
    }
    return true;
  }
  void lead(const Key& key, std::uint64_t id) {
    edges[key] = id;
    nodes[id].victim = false;
  }
  void unlink(const Key& key, bool victim) {
    const std::uint64_t id = edges.at(key);
    edges.erase(key);
    Node& node = nodes.at(id);
    if (victim && names(id).empty() && (node.lookups != 0 || node.holds != 0)) node.victim = true;
  }
  void settle() {
    for (bool again = true; again;) {
      again = false;
      for (auto each = nodes.begin(); each != nodes.end();) {
        const std::uint64_t id = each->first;
        const bool kept = id == 1 || each->second.lookups != 0 || each->second.holds != 0 ||
                          std::any_of(edges.begin(), edges.end(),
                                      [id](const auto& edge) { return edge.first.first == id; });
        if (kept) {
          ++each;
          continue;
        }
        std::erase_if(edges, [id](const auto& edge) { return edge.second == id; });
        each = nodes.erase(each);
        again = true;
      }
    }
  }
};

class Comparison {
 public:
  explicit Comparison(std::uint64_t seed) : random_(seed) {}

  void step() {
    switch (pick(15)) {
      case 0:
      case 1:
      case 2:
        return count_file(pick_directory(), pick_name(), pick(12) + 1);
      case 3:
      case 4:
        return count_directory(pick_directory(), pick_name());
      case 5:
      case 6:
      case 7:
        return forget(pick_node(), pick(3) + 1);
      case 8:
        return remove(pick_directory(), pick_name());
      case 9:
      case 10:
        return move(pick_directory(), pick_name(), pick_directory(), pick_name());
      case 11:
        return exchange(pick_directory(), pick_name(), pick_directory(), pick_name());
      case 12:
        return hold(pick_node());
      case 13:
        return unhold(pick_node());
      default:
        return count_unnamed(pick(12) + 1);
    }
  }

  void compare() {
    model_.settle();
    const auto figures = table_.figures();
    REQUIRE(figures.nodes == model_.nodes.size());
    REQUIRE(figures.edges == model_.edges.size());
    std::uint64_t lookups = 0;
    std::uint64_t holds = 0;
    std::uint64_t victims = 0;
    for (const auto& [id, node] : model_.nodes) {
      lookups += node.lookups;
      holds += node.holds;
      victims += node.victim ? 1 : 0;
      NodeView view;
      REQUIRE(table_.view(NodeId{id}, view));
      REQUIRE(view.directory == node.directory);
      REQUIRE(static_cast<bool>(view.victim) == node.victim);
      if (node.directory) {
        const auto path = model_.directory_path(id);
        REQUIRE(view.named == path.has_value());
        if (path) REQUIRE(view.path.view() == *path);
      } else {
        REQUIRE(view.location.file.ino == node.file);
        const auto paths = model_.paths(id);
        REQUIRE(view.named == !paths.empty());
        if (view.named) REQUIRE(paths.count(path_of(table_, NodeId{id})) == 1);
      }
    }
    for (const auto& [key, to] : model_.edges)
      REQUIRE(table_.child(NodeId{key.first}, key.second).value == to);
    REQUIRE(figures.lookups == lookups);
    REQUIRE(figures.holds == holds);
    REQUIRE(figures.victims == victims);
    REQUIRE(figures.overdrawn == overdrawn_);
  }

  /// Gives everything back.
  void finish(std::uint64_t bytes) {
    while (model_.nodes.size() > 1) {
      const auto& [id, node] = *model_.nodes.rbegin();
      const NodeId last{id};
      table_.forget(last, node.lookups);
      for (std::uint64_t i = 0; i < node.holds; ++i) table_.unhold(last);
      model_.nodes.at(id).lookups = model_.nodes.at(id).holds = 0;
      const std::size_t before = model_.nodes.size();
      model_.settle();
      if (model_.nodes.size() == before) {
        for (auto& [other, each] : model_.nodes) {
          table_.forget(NodeId{other}, each.lookups);
          for (std::uint64_t i = 0; i < each.holds; ++i) table_.unhold(NodeId{other});
          each.lookups = each.holds = 0;
        }
        model_.settle();
      }
    }
    compare();
    REQUIRE(table_.figures().bytes == bytes);
  }

  [[nodiscard]] std::uint64_t bytes() const { return table_.figures().bytes; }

 private:
  std::uint64_t pick(std::uint64_t below) { return random_() % below; }
  std::uint64_t pick_node() {
    // Now and then one that is long gone.
    if (pick(20) == 0 && !seen_.empty()) return seen_[pick(seen_.size())];
    return std::next(model_.nodes.begin(), static_cast<long>(pick(model_.nodes.size())))->first;
  }
  std::uint64_t pick_directory() {
    std::vector<std::uint64_t> all;
    for (const auto& [id, node] : model_.nodes)
      if (node.directory) all.push_back(id);
    return all[pick(all.size())];
  }
  std::string pick_name() {
    static const std::vector<std::string> kNames{
        "a", "b", "c", "longer name", std::string(255, 'x'), std::string(64, 'y')};
    return kNames[pick(kNames.size())];
  }
  void seen(std::uint64_t id) { seen_.push_back(id); }

  void count_file(std::uint64_t parent, const std::string& name, std::uint64_t ino) {
    const auto counted = table_.count_file(NodeId{parent}, name, at(ino), ino);
    REQUIRE(counted);
    const std::uint64_t id = counted->node.value;
    if (const std::uint64_t expected = model_.find_file(ino); expected != 0)
      REQUIRE(id == expected);
    else
      REQUIRE(std::count(seen_.begin(), seen_.end(), id) == 0);
    seen(id);
    Model::Node& node = model_.nodes[id];
    node.file = ino;
    ++node.lookups;
    model_.lead({parent, name}, id);
  }
  void count_directory(std::uint64_t parent, const std::string& name) {
    const auto counted = table_.count_directory(NodeId{parent}, name);
    REQUIRE(counted);
    const std::uint64_t id = counted->node.value;
    if (const std::uint64_t was = model_.child(parent, name); model_.is_directory(was))
      REQUIRE(id == was);
    else
      REQUIRE(std::count(seen_.begin(), seen_.end(), id) == 0);
    seen(id);
    Model::Node& node = model_.nodes[id];
    node.directory = true;
    ++node.lookups;
    model_.lead({parent, name}, id);
  }
  void count_unnamed(std::uint64_t ino) {
    const auto counted = table_.count_unnamed(at(ino), ino, descriptor());
    const std::uint64_t id = counted.node.value;
    if (const std::uint64_t expected = model_.find_file(ino); expected != 0)
      REQUIRE(id == expected);
    seen(id);
    Model::Node& node = model_.nodes[id];
    node.file = ino;
    ++node.lookups;
    if (model_.names(id).empty()) node.victim = true;
  }
  void forget(std::uint64_t id, std::uint64_t count) {
    table_.forget(NodeId{id}, count);
    const auto found = model_.nodes.find(id);
    const std::uint64_t taken =
        found != model_.nodes.end() ? std::min(count, found->second.lookups) : 0;
    if (found != model_.nodes.end()) found->second.lookups -= taken;
    if (id != 1) overdrawn_ += count - taken;
  }
  void hold(std::uint64_t id) {
    const auto found = model_.nodes.find(id);
    const bool known = found != model_.nodes.end();
    REQUIRE(table_.hold(NodeId{id}) == (known ? ++found->second.holds : 0));
  }
  void unhold(std::uint64_t id) {
    table_.unhold(NodeId{id});
    const auto found = model_.nodes.find(id);
    if (found != model_.nodes.end() && found->second.holds != 0)
      --found->second.holds;
    else
      ++overdrawn_;
  }
  void remove(std::uint64_t parent, const std::string& name) {
    const bool victim = pick(2) == 0;
    const NodeId led = table_.remove_name(NodeId{parent}, name, victim ? descriptor() : nullptr);
    REQUIRE(led.value == model_.child(parent, name));
    if (led != kNoNode) model_.unlink({parent, name}, victim);
  }
  void move(std::uint64_t old_parent, const std::string& old_name, std::uint64_t new_parent,
            const std::string& new_name) {
    const bool victim = pick(2) == 0;
    table_.move_name(NodeId{old_parent}, old_name, NodeId{new_parent}, new_name,
                     victim ? descriptor() : nullptr);
    model_move(old_parent, old_name, new_parent, new_name, victim);
  }
  void model_move(std::uint64_t old_parent, const std::string& old_name, std::uint64_t new_parent,
                  const std::string& new_name, bool victim) {
    const std::uint64_t moved = model_.child(old_parent, old_name);
    const std::uint64_t replaced = model_.child(new_parent, new_name);
    const bool same = old_parent == new_parent && old_name == new_name;
    if (moved != 0 && same) return;
    if (moved != 0 && model_.is_directory(moved) && model_.lies_in(new_parent, moved)) return;
    if (replaced != 0) model_.unlink({new_parent, new_name}, victim);
    if (moved == 0) return;
    model_.edges.erase({old_parent, old_name});
    model_.edges[{new_parent, new_name}] = moved;
  }
  void exchange(std::uint64_t first_parent, const std::string& first_name,
                std::uint64_t second_parent, const std::string& second_name) {
    table_.exchange_names(NodeId{first_parent}, first_name, NodeId{second_parent}, second_name);
    const std::uint64_t first = model_.child(first_parent, first_name);
    const std::uint64_t second = model_.child(second_parent, second_name);
    if (first != 0 && second != 0) {
      if (model_.is_directory(first) && model_.lies_in(second_parent, first)) return;
      if (model_.is_directory(second) && model_.lies_in(first_parent, second)) return;
      model_.edges[{first_parent, first_name}] = second;
      model_.edges[{second_parent, second_name}] = first;
    } else if (first != 0) {
      model_move(first_parent, first_name, second_parent, second_name, false);
    } else if (second != 0) {
      model_move(second_parent, second_name, first_parent, first_name, false);
    }
  }

  std::mt19937_64 random_;
  NodeTable table_{Generation{9}};
  Model model_;
  std::vector<std::uint64_t> seen_;
  std::uint64_t overdrawn_ = 0;
};

}  // namespace

TEST_CASE("any sequence of changes agrees with the plain model") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Comparison comparison(seed);
    const std::uint64_t bytes = comparison.bytes();
    for (int i = 0; i < 400; ++i) {
      CAPTURE(i);
      comparison.step();
      comparison.compare();
    }
    comparison.finish(bytes);
  }
}

TEST_CASE("eight threads at once lose no count") {
  NodeTable table(Generation{1});
  const std::uint64_t bytes = table.figures().bytes;
  constexpr int kThreads = 8;
  const NodeId common = directory(table, kRootNode, "common");
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(static_cast<std::uint64_t>(t));
      const std::string own = numbered("own", t);
      NodeView view;
      PathText path;
      for (int i = 0; i < 1500; ++i) {
        const auto mine = table.count_directory(kRootNode, own);
        const std::uint64_t ino = random() % 50 + 1;
        const std::string name = numbered("f", random() % 30);
        const auto shared = table.count_file(common, name, at(ino), ino);
        const std::uint64_t unique = 1000 + static_cast<std::uint64_t>(t * 100'000 + i);
        const auto alone = table.count_file(mine->node, name, at(unique), unique);
        if (!shared || !alone || shared->ino != ino || alone->ino != unique) ++wrong;
        if (table.hold(alone->node) == 0) ++wrong;
        if (!table.view(alone->node, view) || !view.named || view.path.view() != own) ++wrong;
        if (!table.view(shared->node, view) || view.location.file.ino != ino) ++wrong;
        switch (random() % 4) {
          case 0:
            table.remove_name(common, name, descriptor());
            break;
          case 1:
            table.move_name(common, name, common, "g" + name, nullptr);
            break;
          case 2:
            table.exchange_names(common, name, mine->node, name);
            break;
          default:
            (void)table.next_name(shared->node, 1, view);
        }
        if (!table.directory_path(mine->node, path) || path.view() != own) ++wrong;
        table.forget(shared->node, 1);
        table.forget(alone->node, 1);
        table.unhold(alone->node);
        table.forget(mine->node, 1);
        if (i % 64 == 0) (void)table.figures();
      }
    });
  }
  for (std::thread& each : threads) each.join();
  CHECK(wrong == 0);
  const auto figures = table.figures();
  CHECK(figures.lookups == 1);
  CHECK(figures.holds == 0);
  CHECK(figures.overdrawn == 0);
  table.forget(common, 1);
  CHECK(table.figures().nodes == 1);
  CHECK(table.figures().edges == 0);
  CHECK(table.figures().victims == 0);
  CHECK(table.figures().bytes == bytes);
}

TEST_CASE("the children of a directory are its known names") {
  NodeTable table(bough::proto::Generation{1});
  const NodeId d = directory(table, kRootNode, "d");
  const NodeId deep = file(table, d, "deep", 1);
  const NodeId linked = file(table, kRootNode, "one", 2);
  CHECK(file(table, kRootNode, "two", 2) == linked);
  CHECK(file(table, d, "three", 2) == linked);
  const NodeId gone = file(table, kRootNode, "gone", 3);
  table.remove_name(kRootNode, "gone", nullptr);
  const auto names = [&](NodeId parent) {
    std::set<std::pair<std::uint64_t, std::string>> all;
    for (const auto& [node, name] : table.children(parent)) all.emplace(node.value, name);
    return all;
  };
  using Names = std::set<std::pair<std::uint64_t, std::string>>;
  CHECK(names(kRootNode) == Names{{d.value, "d"}, {linked.value, "one"}, {linked.value, "two"}});
  CHECK(names(d) == Names{{deep.value, "deep"}, {linked.value, "three"}});
  CHECK(table.children(deep).empty());
  CHECK(table.children(gone).empty());
  table.forget(deep, 1);
  CHECK(names(d) == Names{{linked.value, "three"}});
}
