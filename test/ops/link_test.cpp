#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "test/support/branch_tree.hpp"
#include "test/support/faulty_backing.hpp"
#include "test/support/pool_fixture.hpp"

namespace bough::test {
namespace {

using proto::Context;
using proto::Errno;
using proto::kRootNode;
using proto::NodeId;

proto::Result<proto::EntryReply> link(PoolFixture& pool, const Context& context, NodeId node,
                                      std::string_view name) {
  return pool.fs().link(context, {node, pool.name(name)});
}

}  // namespace

TEST_CASE("a link is another name of the same node, on its own branch") {
  PoolFixture pool({"RW", "RW"});
  pool.file(1, "f", "text");
  pool.directory(0, "a/b", 0750);
  const NodeId node = pool.walk("f");
  const NodeId b = pool.walk("a/b");
  auto linked = link(pool, pool.as(b), node, "g");
  REQUIRE(linked.has_value());
  CHECK(linked->entry.node == node);
  CHECK(linked->entry.attr.nlink == 2);
  pool.keep(*linked);
  CHECK(pool.stat(1, "a/b/g").st_ino == pool.stat(1, "f").st_ino);
  CHECK_FALSE(pool.exists(0, "a/b/g"));
  CHECK(pool.stat(1, "a/b").st_mode == 040750);
  CHECK(pool.walk("a/b/g") == node);
  CHECK(pool.list(b) == std::vector<std::string>{"g"});
}

TEST_CASE("other copies of the old path are other files") {
  PoolFixture pool({"RW", "RW"});
  pool.file(0, "f", "shown");
  pool.file(1, "f", "hidden");
  CHECK(link(pool, pool.as(kRootNode), pool.walk("f"), "g").has_value());
  CHECK(tree_of(pool.branch(0)) == Tree{{"f", "f:shown"}, {"g", "f:shown"}});
  CHECK(tree_of(pool.branch(1)) == Tree{{"f", "f:hidden"}});
}

TEST_CASE("links that cannot be") {
  PoolFixture pool({"RO", "RW", "NC"});
  pool.file(0, "r");
  pool.file(1, "f");
  pool.file(2, "n");
  pool.directory(1, "d");
  const NodeId f = pool.walk("f");
  for (const std::string taken : {"r", "f", "n", "d"})
    CHECK(link(pool, pool.as(kRootNode), f, taken).error() == Errno{EEXIST});
  CHECK(link(pool, pool.as(kRootNode), pool.walk("r"), "x").error() == Errno{EROFS});
  CHECK(link(pool, pool.as(kRootNode), pool.walk("d"), "x").error() == Errno{EPERM});
  CHECK(link(pool, pool.as(kRootNode), NodeId{0x123456}, "x").error() == Errno{ESTALE});
  CHECK(link(pool, pool.as(f), f, "x").error() == Errno{ENOTDIR});
  CHECK(link(pool, pool.as(kRootNode), f, std::string(256, 'n')).error() == Errno{ENAMETOOLONG});
  // NC keeps out what is new; a name of what is there is not.
  CHECK(link(pool, pool.as(kRootNode), pool.walk("n"), "x").has_value());
  CHECK(pool.exists(2, "x"));
}

TEST_CASE("a link is refused as between file systems where no directory can be on its branch") {
  for (const bool symlink : {false, true}) {
    CAPTURE(symlink);
    PoolFixture pool({"RW", "RW"});
    pool.directory(0, "d/e");
    pool.file(1, "f", "text");
    if (symlink)
      std::filesystem::create_symlink("/", pool.branch(1) / "d");
    else
      pool.file(1, "d", "in the way");
    const Tree before = tree_of(pool.branch(1));
    const NodeId f = pool.walk("f");
    CHECK(link(pool, pool.as(pool.walk("d")), f, "g").error() == Errno{EXDEV});
    CHECK(link(pool, pool.as(pool.walk("d/e")), f, "g").error() == Errno{EXDEV});
    CHECK(tree_of(pool.branch(1)) == before);
  }
}

TEST_CASE("a file without names cannot get one again") {
  PoolFixture pool;
  pool.file(0, "f");
  const NodeId node = pool.walk("f");
  REQUIRE(pool.fs().unlink(pool.as(kRootNode), {pool.name("f")}).has_value());
  CHECK(link(pool, pool.as(kRootNode), node, "g").error() == Errno{ENOENT});
  CHECK(tree_of(pool.branch(0)).empty());
}

TEST_CASE("a symlink is linked itself") {
  PoolFixture pool;
  std::filesystem::create_symlink("nowhere", pool.branch(0) / "l");
  CHECK(link(pool, pool.as(kRootNode), pool.walk("l"), "m").has_value());
  CHECK(tree_of(pool.branch(0)) == Tree{{"l", "l:nowhere"}, {"m", "l:nowhere"}});
}

TEST_CASE("a resent LINK that was done before succeeds") {
  PoolFixture pool;
  pool.file(0, "f");
  pool.file(0, "other");
  const NodeId node = pool.walk("f");
  CHECK(link(pool, pool.as(kRootNode), node, "g").has_value());
  auto again = link(pool, pool.resent(kRootNode), node, "g");
  REQUIRE(again.has_value());
  CHECK(again->entry.node == node);
  CHECK(again->entry.attr.nlink == 2);
  CHECK(pool.count("replays") == 1);
  CHECK(link(pool, pool.resent(kRootNode), node, "other").error() == Errno{EEXIST});
}

TEST_CASE("whichever call of link fails, the new name is there and counted or not there") {
  bool failed = true;
  for (std::uint64_t k = 1; failed; ++k) {
    CAPTURE(k);
    REQUIRE(k < 100);
    FaultyBacking* faulty = nullptr;
    PoolFixture pool({"RW", "RW"}, [&](ops::Backing& real) {
      auto made = std::make_unique<FaultyBacking>(real);
      faulty = made.get();
      return made;
    });
    pool.file(1, "f", "text");
    pool.directory(0, "a/b");
    const NodeId node = pool.walk("f");
    const NodeId b = pool.walk("a/b");
    const auto lookups = pool.count("lookups");
    faulty->reset();
    faulty->fail({Call::kAny, k}, EIO);
    const auto linked = link(pool, pool.as(b), node, "g");
    failed = faulty->failures() > 0;
    faulty->reset();
    CHECK(pool.exists(1, "a/b/g") == linked.has_value());
    CHECK(pool.count("lookups") == lookups + (linked ? 1 : 0));
    CHECK(pool.stat(1, "f").st_nlink == (linked ? 2 : 1));
    if (!failed) CHECK(linked.has_value());
  }
}

}  // namespace bough::test
