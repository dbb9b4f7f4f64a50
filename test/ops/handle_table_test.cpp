#include "ops/handle_table.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <set>
#include <thread>
#include <vector>

using namespace bough::ops;
using bough::proto::kRootNode;

namespace {

std::unique_ptr<Handle> make_file(std::uint32_t flags) {
  return std::make_unique<FileHandle>(NodeId{7}, Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)),
                                      BranchId{3}, flags);
}

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}

}  // namespace

TEST_CASE("a handle is found by its id and as its kind only") {
  HandleTable table;
  const HandleId file = table.add(make_file(O_RDONLY));
  const HandleId directory = table.add(std::make_unique<DirHandle>(kRootNode));
  CHECK(file != directory);
  CHECK(table.size() == 2);
  REQUIRE(table.file(file));
  CHECK(table.file(file)->node == NodeId{7});
  CHECK(table.file(file)->branch == 3);
  CHECK(!table.directory(file));
  REQUIRE(table.directory(directory));
  CHECK(table.directory(directory)->node == kRootNode);
  CHECK(!table.file(directory));
  CHECK(!table.file(HandleId{0}));
  CHECK(!table.file(HandleId{~std::uint64_t{0}}));
}

TEST_CASE("removing twice, and an old id after its slot was used again") {
  HandleTable table;
  std::set<std::uint64_t> seen;
  std::vector<HandleId> old;
  for (int i = 0; i < 200; ++i) {
    const HandleId id = table.add(make_file(0));
    CHECK(id.value != 0);
    CHECK(seen.insert(id.value).second);
    CHECK(static_cast<bool>(table.remove(id)));
    CHECK(!table.remove(id));
    old.push_back(id);
  }
  const HandleId live = table.add(make_file(0));
  for (const HandleId id : old) {
    CHECK(!table.file(id));
    CHECK(!table.remove(id));
  }
  CHECK(table.file(live));
  CHECK(table.size() == 1);
}

TEST_CASE("an id carries its tag, and with another one it is not open") {
  HandleTable table;
  std::set<std::uint64_t> seen;
  for (int round = 0; round < 40; ++round) {
    for (const std::uint8_t tag : {std::uint8_t{0}, std::uint8_t{1}, std::uint8_t{255}}) {
      const HandleId id = table.add(make_file(0), tag);
      CHECK(HandleTable::tag(id) == tag);
      CHECK(seen.insert(id.value).second);
      CHECK(table.file(id));
      CHECK(!table.file(HandleId{id.value ^ std::uint64_t{2} << 56}));
      CHECK(static_cast<bool>(table.remove(id)));
      CHECK(!table.file(id));
    }
  }
  (void)table.add(std::make_unique<DirHandle>(kRootNode), 9);
  int directories = 0;
  table.each_directory([&](DirHandle&) { ++directories; });
  CHECK(directories == 1);
}

TEST_CASE("a reference outlives the release, the descriptor goes with the last one") {
  HandleTable table;
  const HandleId id = table.add(make_file(0));
  auto first = table.file(id);
  REQUIRE(first);
  const int fd = first->fd.get();
  auto second = table.file(id);
  { const HandleRefBase removed = table.remove(id); }
  CHECK(!table.file(id));
  CHECK(table.size() == 0);
  CHECK(is_open(fd));
  first = HandleRef<FileHandle>();
  CHECK(is_open(fd));
  { const auto moved = std::move(second); }
  CHECK(!is_open(fd));
}

TEST_CASE("clear empties the table but not the hands that hold on") {
  HandleTable table;
  std::vector<HandleId> ids;
  for (int i = 0; i < 50; ++i) ids.push_back(table.add(make_file(0)));
  const auto kept = table.file(ids[10]);
  const int other = table.file(ids[11])->fd.get();
  table.clear();
  CHECK(table.size() == 0);
  for (const HandleId id : ids) CHECK(!table.file(id));
  CHECK(is_open(kept->fd.get()));
  CHECK(!is_open(other));
  CHECK(table.file(table.add(make_file(0))));
}

TEST_CASE("each_directory visits directories alone") {
  HandleTable table;
  std::set<std::uint64_t> expected;
  for (std::uint64_t i = 1; i <= 40; ++i) {
    (void)table.add(make_file(0));
    (void)table.add(std::make_unique<DirHandle>(NodeId{i}));
    expected.insert(i);
  }
  std::set<std::uint64_t> visited;
  table.each_directory([&](DirHandle& handle) {
    const std::lock_guard lock(handle.mutex);
    CHECK(visited.insert(handle.node.value).second);
  });
  CHECK(visited == expected);
}

TEST_CASE("threads open, read and release at once") {
  HandleTable table;
  constexpr int kThreads = 8;
  std::vector<HandleId> shared;
  for (int i = 0; i < 16; ++i) shared.push_back(table.add(make_file(static_cast<unsigned>(i))));
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 1500; ++i) {
        const unsigned own_flags = static_cast<unsigned>(1000 + t * 10000 + i);
        const HandleId id = table.add(make_file(own_flags));
        auto own = table.file(id);
        if (!own || own->flags != own_flags) ++wrong;
        const std::size_t pick = static_cast<std::size_t>(i + t) % shared.size();
        if (const auto other = table.file(shared[pick]); other && other->flags != pick) ++wrong;
        if (i == 700 + t) (void)table.remove(shared[static_cast<std::size_t>(t)]);
        if (!table.remove(id)) ++wrong;
        if (!is_open(own->fd.get())) ++wrong;
        if (table.file(id)) ++wrong;
        if (i % 100 == 0) table.each_directory([&](DirHandle&) { ++wrong; });
      }
    });
  }
  for (std::thread& each : threads) each.join();
  CHECK(wrong == 0);
  CHECK(table.size() == shared.size() - kThreads);
}
