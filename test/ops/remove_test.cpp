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

/// 0 or the errno.
int unlink(PoolFixture& pool, const Context& context, std::string_view name) {
  return pool.fs().unlink(context, {pool.name(name)}).error().value();
}
int rmdir(PoolFixture& pool, const Context& context, std::string_view name) {
  return pool.fs().rmdir(context, {pool.name(name)}).error().value();
}

}  // namespace

TEST_CASE("unlink removes every copy that may be removed") {
  PoolFixture pool({"RW", "NC", "RW"});
  for (const std::size_t i : {0U, 1U, 2U}) pool.file(i, "d/f", std::to_string(i));
  const NodeId d = pool.walk("d");
  CHECK(unlink(pool, pool.as(d), "f") == 0);
  for (const std::size_t i : {0U, 1U, 2U}) CHECK(tree_of(pool.branch(i)) == Tree{{"d", "d"}});
  CHECK(unlink(pool, pool.as(d), "f") == ENOENT);
  CHECK(pool.list(d).empty());
}

TEST_CASE("unlink: copies on read-only branches stay") {
  PoolFixture pool({"RW", "RO"});
  pool.file(0, "f", "upper");
  pool.file(1, "f", "lower");
  pool.file(1, "g");
  const NodeId before = pool.walk("f");
  CHECK(unlink(pool, pool.as(kRootNode), "f") == 0);
  CHECK_FALSE(pool.exists(0, "f"));
  CHECK(pool.exists(1, "f"));
  CHECK(pool.walk("f") != before);
  CHECK(unlink(pool, pool.as(kRootNode), "f") == EROFS);
  CHECK(unlink(pool, pool.as(kRootNode), "g") == EROFS);
  CHECK(trees_of(pool, 2)[1] == Tree{{"f", "f:lower"}, {"g", "f:"}});
}

TEST_CASE("a read-only copy that users see cannot be removed, and no copy behind it is") {
  PoolFixture pool({"RO", "RW"});
  pool.file(0, "f", "upper");
  pool.file(1, "f", "lower");
  pool.directory(0, "d");
  pool.directory(1, "d");
  const auto before = trees_of(pool, 2);
  CHECK(unlink(pool, pool.as(kRootNode), "f") == EROFS);
  CHECK(rmdir(pool, pool.as(kRootNode), "d") == EROFS);
  CHECK(trees_of(pool, 2) == before);
}

TEST_CASE("an unlinked file that is known or open answers as natively") {
  PoolFixture pool({"RW", "RW"});
  pool.file(1, "f", "text");
  const NodeId node = pool.walk("f");
  const auto handle = pool.open(node, O_RDWR);
  const auto ino = pool.fs().getattr(pool.as(node), {})->attr.ino;
  CHECK(unlink(pool, pool.as(kRootNode), "f") == 0);
  CHECK(pool.count("victims") == 1);
  const auto attr = pool.fs().getattr(pool.as(node), {});
  REQUIRE(attr.has_value());
  CHECK(attr->attr.nlink == 0);
  CHECK(attr->attr.size == 4);
  CHECK(attr->attr.ino == ino);
  CHECK(pool.read(handle) == "text");

  // Another file takes the name: it is another node.
  pool.file(1, "f", "other");
  CHECK(pool.walk("f") != node);
  CHECK(pool.fs().getattr(pool.as(node), {})->attr.size == 4);
  pool.release_all();
  pool.forget_all();
  CHECK(pool.count("victims") == 0);
}

TEST_CASE("a file that has another name needs no descriptor") {
  PoolFixture pool;
  pool.file(0, "f", "text");
  std::filesystem::create_hard_link(pool.branch(0) / "f", pool.branch(0) / "g");
  const NodeId node = pool.walk("f");
  CHECK(pool.walk("g") == node);
  CHECK(unlink(pool, pool.as(kRootNode), "f") == 0);
  CHECK(pool.count("victims") == 0);
  CHECK(pool.fs().getattr(pool.as(node), {})->attr.nlink == 1);
  CHECK(unlink(pool, pool.as(kRootNode), "g") == 0);
  CHECK(pool.count("victims") == 1);
  CHECK(pool.fs().getattr(pool.as(node), {})->attr.nlink == 0);
}

TEST_CASE("resent UNLINK and RMDIR that were done before succeed") {
  PoolFixture pool;
  CHECK(unlink(pool, pool.resent(kRootNode), "f") == 0);
  CHECK(rmdir(pool, pool.resent(kRootNode), "f") == 0);
  CHECK(pool.count("replays") == 2);
  pool.file(0, "f");
  CHECK(rmdir(pool, pool.resent(kRootNode), "f") == ENOTDIR);
  CHECK(pool.exists(0, "f"));
}

TEST_CASE("unlink reports the first failure and removes what it can") {
  FaultyBacking* faulty = nullptr;
  PoolFixture pool({"RW", "RW", "RW"}, [&](ops::Backing& real) {
    auto made = std::make_unique<FaultyBacking>(real);
    faulty = made.get();
    return made;
  });
  for (const std::size_t i : {0U, 1U, 2U}) pool.file(i, "f");
  const NodeId node = pool.walk("f");
  faulty->fail({Call::kUnlinkAt, 1, 1, pool.branch(0)}, EIO);
  faulty->fail({Call::kUnlinkAt, 1, 1, pool.branch(1)}, EPERM);
  CHECK(unlink(pool, pool.as(kRootNode), "f") == EIO);
  CHECK(pool.exists(0, "f"));
  CHECK(pool.exists(1, "f"));
  CHECK_FALSE(pool.exists(2, "f"));
  CHECK(pool.walk("f") == node);
  CHECK(unlink(pool, pool.as(kRootNode), "f") == 0);
}

TEST_CASE("no descriptor for a victim fails nothing, and is counted") {
  FaultyBacking* faulty = nullptr;
  PoolFixture pool({"RW"}, [&](ops::Backing& real) {
    auto made = std::make_unique<FaultyBacking>(real);
    faulty = made.get();
    return made;
  });
  pool.file(0, "f");
  const NodeId node = pool.walk("f");
  faulty->fail({Call::kOpenAt, 1, FaultyBacking::kAlways, {}}, EMFILE);
  CHECK(unlink(pool, pool.as(kRootNode), "f") == 0);
  CHECK(pool.count("unpinned_victims") == 1);
  CHECK(pool.fs().getattr(pool.as(node), {}).error() == Errno{ESTALE});
}

TEST_CASE("rmdir removes every copy of a directory") {
  PoolFixture pool({"RW", "NC", "RW"});
  for (const std::size_t i : {0U, 1U, 2U}) pool.directory(i, "a/d");
  const NodeId a = pool.walk("a");
  const NodeId d = pool.walk("a/d");
  CHECK(rmdir(pool, pool.as(a), "d") == 0);
  for (const std::size_t i : {0U, 1U, 2U}) CHECK(tree_of(pool.branch(i)) == Tree{{"a", "d"}});
  // Who is in it still is.
  const auto attr = pool.fs().getattr(pool.as(d), {});
  REQUIRE(attr.has_value());
  CHECK(S_ISDIR(attr->attr.mode));
  CHECK(attr->attr.nlink == 0);
  CHECK(rmdir(pool, pool.as(a), "d") == ENOENT);
}

TEST_CASE("rmdir removes nothing unless every copy is empty") {
  for (const std::size_t full : {0U, 1U, 2U}) {
    CAPTURE(full);
    PoolFixture pool({"RW", "RW", "RO"});
    for (const std::size_t i : {0U, 1U, 2U}) pool.directory(i, "d");
    pool.file(full, "d/f");
    const auto before = trees_of(pool, 3);
    CHECK(rmdir(pool, pool.as(kRootNode), "d") == ENOTEMPTY);
    CHECK(trees_of(pool, 3) == before);
  }
}

TEST_CASE("rmdir: read-only copies, hidden files, files") {
  PoolFixture pool({"RW", "RO", "RW"});
  pool.directory(0, "d");
  pool.directory(1, "d");
  pool.file(2, "d", "hidden");
  pool.file(0, "f");
  pool.directory(1, "r");
  CHECK(rmdir(pool, pool.as(kRootNode), "f") == ENOTDIR);
  CHECK(rmdir(pool, pool.as(kRootNode), "r") == EROFS);
  const NodeId before = pool.walk("d");
  CHECK(rmdir(pool, pool.as(kRootNode), "d") == 0);
  CHECK_FALSE(pool.exists(0, "d"));
  CHECK(pool.exists(1, "d"));
  CHECK(pool.text(2, "d") == "hidden");
  // The kernel's directory is dead; what is left is another.
  CHECK(pool.walk("d") != before);
}

TEST_CASE("whichever call of rmdir fails, the directory is there or gone") {
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
    pool.directory(0, "d");
    pool.directory(1, "d");
    (void)pool.walk("d");
    faulty->reset();
    faulty->fail({Call::kAny, k}, EIO);
    const int error = rmdir(pool, pool.as(kRootNode), "d");
    failed = faulty->failures() > 0;
    faulty->reset();
    if (error == 0)
      CHECK(trees_of(pool, 2) == std::vector<Tree>(2));
    else
      CHECK(pool.exists(0, "d"));
    if (!failed) CHECK(error == 0);
  }
}

TEST_CASE("a file that took the victim's name at the last moment is not kept in its place") {
  FaultyBacking* faulty = nullptr;
  PoolFixture pool({"RW"}, [&](ops::Backing& real) {
    auto made = std::make_unique<FaultyBacking>(real);
    faulty = made.get();
    return made;
  });
  pool.file(0, "f", "text");
  pool.file(0, "other", "longer text");
  const NodeId node = pool.walk("f");
  faulty->before({Call::kOpenAt},
                 [&] { std::filesystem::rename(pool.branch(0) / "other", pool.branch(0) / "f"); });
  CHECK(unlink(pool, pool.as(kRootNode), "f") == 0);
  CHECK(pool.count("victims") == 0);
  CHECK(pool.count("unpinned_victims") == 1);
  CHECK(pool.fs().getattr(pool.as(node), {}).error() == Errno{ESTALE});
}

TEST_CASE("whichever call of unlink fails, its node stays reachable as long as it is known") {
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
    pool.file(0, "f", "text");
    pool.file(1, "f");
    const NodeId node = pool.walk("f");
    faulty->reset();
    faulty->fail({Call::kAny, k}, EIO);
    const int error = unlink(pool, pool.as(kRootNode), "f");
    failed = faulty->failures() > 0;
    faulty->reset();
    const auto attr = pool.fs().getattr(pool.as(node), {});
    CHECK((attr.has_value() || pool.count("unpinned_victims") == 1));
    if (error == 0 && attr) CHECK(attr->attr.nlink == 0);
    if (error == 0) CHECK_FALSE(pool.exists(0, "f"));
    if (!failed) CHECK(error == 0);
  }
}

}  // namespace bough::test
