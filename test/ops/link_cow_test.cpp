#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "test/ops/second_thread.hpp"
#include "test/support/branch_tree.hpp"
#include "test/support/pool_fixture.hpp"

namespace bough::test {
namespace {

using proto::Errno;
using proto::kRootNode;
using proto::NodeId;

void with_cow(ops::Settings& settings) {
  settings.links.cow = true;
}

/// "a" and "b" are one file with `text`.
void two_names(PoolFixture& pool, const std::string& text = "text", std::size_t branch = 0) {
  pool.file(branch, "a", text, 0640);
  std::filesystem::create_hard_link(pool.branch(branch) / "a", pool.branch(branch) / "b");
}

int open_error(PoolFixture& pool, NodeId node, std::uint32_t flags) {
  proto::OpenRequest request;
  request.flags = flags;
  auto opened = pool.fs().open(pool.as(node), request);
  if (!opened) return opened.error().value();
  pool.release(pool.keep(*opened));
  return 0;
}

int truncate_error(PoolFixture& pool, NodeId node, std::uint64_t size) {
  proto::SetattrRequest request;
  request.size = size;
  const auto done = pool.fs().setattr(pool.as(node), request);
  return done ? 0 : done.error().value();
}

}  // namespace

TEST_CASE("link-cow: what is opened for writing loses its link, the other name keeps the file") {
  for (const int asked : {O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC, O_RDONLY | O_TRUNC}) {
    CAPTURE(asked);
    const auto flags = static_cast<std::uint32_t>(asked);
    PoolFixture pool({"RW", "RW"}, {}, with_cow);
    two_names(pool, "text", 1);
    const NodeId a = pool.walk("a");
    const NodeId b = pool.walk("b");
    CHECK(a != b);
    const auto before = pool.fs().getattr(pool.as(a), {});
    REQUIRE(before.has_value());
    CHECK(before->attr.ino == pool.fs().getattr(pool.as(b), {})->attr.ino);
    const auto handle = pool.open(a, flags);
    if ((flags & O_ACCMODE) != O_RDONLY) CHECK(pool.write(handle, "TE").has_value());
    CHECK(pool.text(1, "b") == "text");
    CHECK(pool.stat(1, "b").st_nlink == 1);
    CHECK(pool.stat(1, "a").st_mode == 0100640);
    CHECK(pool.text(1, "a") == ((flags & O_TRUNC) == 0            ? "TExt"
                                : (flags & O_ACCMODE) == O_RDONLY ? ""
                                                                  : "TE"));
    const auto after = pool.fs().getattr(pool.as(a), {});
    REQUIRE(after.has_value());
    CHECK(after->attr.nlink == 1);
    CHECK(after->attr.ino != before->attr.ino);
    CHECK(pool.walk("a") == a);
    CHECK(pool.list(kRootNode) == std::vector<std::string>{"a", "b"});
    // A file with one name is opened as it is.
    const ino_t same = pool.stat(1, "a").st_ino;
    CHECK(open_error(pool, a, O_RDWR) == 0);
    CHECK(pool.stat(1, "a").st_ino == same);
  }
}

TEST_CASE("link-cow: reading breaks no link, nor does anything without the option") {
  PoolFixture pool({"RW"}, {}, with_cow);
  two_names(pool);
  CHECK(open_error(pool, pool.walk("a"), O_RDONLY) == 0);
  CHECK(pool.stat(0, "a").st_nlink == 2);
  PoolFixture plain;
  two_names(plain);
  CHECK(open_error(plain, plain.walk("a"), O_RDWR | O_TRUNC) == 0);
  CHECK(plain.text(0, "b").empty());
  CHECK(plain.walk("a") == plain.walk("b"));
}

TEST_CASE("link-cow: attributes are those of all names") {
  PoolFixture pool({"RW"}, {}, with_cow);
  two_names(pool);
  proto::SetattrRequest request;
  request.mode = 0600;
  request.mtime = proto::TimeChange{false, 1000, 0};
  REQUIRE(pool.fs().setattr(pool.as(pool.walk("a")), request).has_value());
  for (const char* name : {"a", "b"}) {
    CHECK((pool.stat(0, name).st_mode & 07777U) == 0600);
    CHECK(pool.stat(0, name).st_mtime == 1000);
    CHECK(pool.stat(0, name).st_nlink == 2);
  }
}

TEST_CASE("link-cow: a truncation by path breaks the link too") {
  PoolFixture pool({"RW"}, {}, with_cow);
  two_names(pool);
  CHECK(truncate_error(pool, pool.walk("a"), 2) == 0);
  CHECK(pool.text(0, "a") == "te");
  CHECK(pool.text(0, "b") == "text");
}

TEST_CASE("link-cow: hidden copies with several names are not truncated along") {
  PoolFixture pool({"RW", "RW"}, {}, with_cow);
  pool.file(0, "a", "shown");
  two_names(pool, "hidden", 1);
  CHECK(truncate_error(pool, pool.walk("a"), 0) == 0);
  CHECK(pool.text(0, "a").empty());
  CHECK(pool.text(1, "b") == "hidden");
}

TEST_CASE("link-cow: who reads keeps the file, who writes gets a new one") {
  PoolFixture pool({"RW"}, {}, with_cow);
  two_names(pool);
  const NodeId a = pool.walk("a");
  const auto reader = pool.open(a, O_RDONLY);
  CHECK(open_error(pool, a, O_RDWR) == ESTALE);
  const NodeId fresh = pool.walk("a");
  CHECK(fresh != a);
  const auto writer = pool.open(fresh, O_RDWR);
  CHECK(pool.write(writer, "TEXT").has_value());
  CHECK(pool.read(reader) == "text");
  CHECK(pool.text(0, "a") == "TEXT");
  CHECK(pool.text(0, "b") == "text");
  const auto old = pool.fs().getattr(pool.as(a), {});
  REQUIRE(old.has_value());
  CHECK(old->attr.ino != pool.fs().getattr(pool.as(fresh), {})->attr.ino);
}

TEST_CASE("link-cow: who writes already and who comes now write to one file") {
  PoolFixture pool({"RW"}, {}, with_cow);
  pool.file(0, "a", "text");
  const NodeId a = pool.walk("a");
  const auto first = pool.open(a, O_WRONLY);
  std::filesystem::create_hard_link(pool.branch(0) / "a", pool.branch(0) / "b");
  const auto second = pool.open(a, O_WRONLY);
  CHECK(pool.write(first, "F").has_value());
  CHECK(pool.write(second, "S", 1).has_value());
  CHECK(pool.text(0, "a") == "FSxt");
  // By the other name as well.
  const auto third = pool.open(pool.walk("b"), O_WRONLY);
  CHECK(pool.write(third, "T", 2).has_value());
  CHECK(pool.text(0, "a") == "FSTt");
}

TEST_CASE("link-cow: all names of what is open for writing are one node, until it is closed") {
  PoolFixture pool({"RW"}, {}, with_cow);
  pool.file(0, "a", "text");
  const NodeId a = pool.walk("a");
  const auto writer = pool.open(a, O_WRONLY);
  auto linked = pool.fs().link(pool.as(kRootNode), {a, pool.name("b")});
  REQUIRE(linked.has_value());
  CHECK(pool.keep(*linked) == a);
  CHECK(pool.walk("b") == a);
  pool.release(writer);
  const NodeId b = pool.walk("b");
  CHECK(b != a);
  CHECK(open_error(pool, b, O_WRONLY | O_TRUNC) == 0);
  CHECK(pool.text(0, "a") == "text");
}

TEST_CASE(
    "link-cow: a name that was looked up before another was written through is looked up again") {
  PoolFixture pool({"RW"}, {}, with_cow);
  two_names(pool);
  const NodeId b = pool.walk("b");
  const NodeId a = pool.walk("a");
  REQUIRE(a != b);
  pool.settings().links.cow = false;
  const auto writer = pool.open(a, O_WRONLY);
  pool.settings().links.cow = true;
  CHECK(pool.write(writer, "T").has_value());
  CHECK(open_error(pool, b, O_WRONLY) == ESTALE);
  CHECK(truncate_error(pool, b, 0) == ESTALE);
  CHECK(pool.walk("b") == a);
  CHECK(open_error(pool, a, O_WRONLY) == 0);
  CHECK(pool.stat(0, "a").st_nlink == 2);
}

TEST_CASE("link-cow: a long copy holds up no other file and no move of a directory") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, with_faults(faults), with_cow);
  two_names(pool);
  pool.directory(0, "d");
  std::vector<NodeId> others;
  for (int i = 0; i < 40; ++i) {
    const std::string name = "other" + std::to_string(i);
    pool.file(0, name, "other");
    others.push_back(pool.walk(name));
  }
  const NodeId a = pool.walk("a");
  (void)pool.walk("d");
  SecondThread second;
  bool moved = false;
  int errors = 0;
  faults->reset();
  faults->before({Call::kSync, 1, 1, {}}, [&] {
    second.start([&] {
      for (const NodeId other : others) errors += open_error(pool, other, O_RDONLY) == 0 ? 0 : 1;
      proto::RenameRequest request{kRootNode, pool.name("d"), pool.name("e"), 0};
      if (!pool.fs().rename(pool.as(kRootNode), request)) ++errors;
    });
    moved = second.wait_for(std::chrono::seconds(10));
  });
  CHECK(open_error(pool, a, O_WRONLY | O_TRUNC) == 0);
  second.finish();
  CHECK(moved);
  CHECK(errors == 0);
  CHECK(pool.text(0, "b") == "text");
}

TEST_CASE("link-cow: names that were one node when the option came are told apart first") {
  PoolFixture pool;
  two_names(pool);
  const NodeId shared = pool.walk("a");
  CHECK(pool.walk("b") == shared);
  pool.settings().links.cow = true;
  CHECK(open_error(pool, shared, O_WRONLY) == ESTALE);
  CHECK(pool.stat(0, "a").st_nlink == 2);
  const NodeId a = pool.walk("a");
  CHECK(a != shared);
  CHECK(open_error(pool, a, O_WRONLY | O_TRUNC) == 0);
  CHECK(pool.text(0, "a").empty());
  CHECK(pool.text(0, "b") == "text");
}

TEST_CASE("link-cow: a link made through the pool has a node of its own") {
  PoolFixture pool({"RW"}, {}, with_cow);
  pool.file(0, "a", "text");
  const NodeId a = pool.walk("a");
  auto linked = pool.fs().link(pool.as(kRootNode), {a, pool.name("b")});
  REQUIRE(linked.has_value());
  const NodeId b = pool.keep(*linked);
  CHECK(b != a);
  CHECK(open_error(pool, b, O_WRONLY | O_TRUNC) == 0);
  CHECK(pool.text(0, "a") == "text");
  CHECK(pool.text(0, "b").empty());
}

TEST_CASE("link-cow: read-only branches stay as they are") {
  PoolFixture pool({"RO"}, {}, with_cow);
  two_names(pool);
  CHECK(open_error(pool, pool.walk("a"), O_WRONLY) == EROFS);
  CHECK(pool.stat(0, "a").st_nlink == 2);
}

TEST_CASE("link-cow: what took the name meanwhile is not replaced") {
  for (const bool exchanges : {true, false}) {
    CAPTURE(exchanges);
    FaultyBacking* faults = nullptr;
    PoolFixture pool({"RW"}, with_faults(faults), with_cow);
    two_names(pool);
    const NodeId a = pool.walk("a");
    faults->reset();
    if (!exchanges) faults->fail({Call::kRenameAt, 1, 1, {}}, EINVAL);
    faults->before({Call::kSync, 1, 1, {}}, [&] {
      std::filesystem::remove(pool.branch(0) / "a");
      pool.file(0, "a", "another");
    });
    CHECK(open_error(pool, a, O_WRONLY | O_TRUNC) == ESTALE);
    CHECK(tree_of(pool.branch(0)) == Tree{{"a", "f:another"}, {"b", "f:text"}});
  }
}

TEST_CASE("link-cow: without exchanges the copy is renamed over the name") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, with_faults(faults), with_cow);
  two_names(pool);
  const NodeId a = pool.walk("a");
  faults->reset();
  faults->fail({Call::kRenameAt, 1, 1, {}}, EINVAL);
  CHECK(open_error(pool, a, O_WRONLY | O_TRUNC) == 0);
  CHECK(tree_of(pool.branch(0)) == Tree{{"a", "f:"}, {"b", "f:text"}});
}

TEST_CASE("link-cow: whichever call fails, no name loses its content and nothing is left over") {
  for (const int error : {EIO, ENOSPC}) {
    CAPTURE(error);
    FaultyBacking* faults = nullptr;
    PoolFixture pool({"RW", "RW"}, with_faults(faults), with_cow);
    two_names(pool, "text", 1);
    const Tree before = tree_of(pool.branch(1));
    NodeId a = pool.walk("a");
    (void)pool.walk("b");
    fail_each_call(
        pool, *faults, error,
        [&] {
          const int result = open_error(pool, a, O_WRONLY);
          Tree after = tree_of(pool.branch(1));
          // The old file, where its removal was what failed: a name like after a crash.
          for (const auto& [name, text] : Tree(after))
            if (name.starts_with(".boughfs-")) {
              CHECK(faults->last_failed() == Call::kUnlinkAt);
              std::filesystem::remove(pool.branch(1) / name);
              after.erase(name);
            }
          CHECK(after == before);
          if (result == 0) CHECK(pool.stat(1, "a").st_ino != pool.stat(1, "b").st_ino);
          return result;
        },
        [&](bool) {
          std::filesystem::remove(pool.branch(1) / "a");
          std::filesystem::create_hard_link(pool.branch(1) / "b", pool.branch(1) / "a");
          pool.forget_all();
          a = pool.walk("a");
          (void)pool.walk("b");
        },
        {ESTALE});
  }
}

}  // namespace bough::test
