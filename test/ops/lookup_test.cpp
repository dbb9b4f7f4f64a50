#include <doctest/doctest.h>

#include <filesystem>

#include "test/support/pool_fixture.hpp"

using namespace bough;
using proto::kRootNode;
using proto::LookupRequest;
using test::PoolFixture;

namespace {

int errno_of(const proto::Result<proto::EntryReply>& reply) {
  return reply ? 0 : reply.error().value();
}

}  // namespace

TEST_CASE("lookup: the first branch that has the name answers") {
  PoolFixture pool({"RW", "RW"});
  pool.file(0, "both", "one");
  pool.file(1, "both", "second");
  pool.file(1, "only", "x");
  auto both = pool.lookup(kRootNode, "both");
  REQUIRE(both.has_value());
  CHECK(both->entry.attr.size == 3);
  CHECK(both->entry.node != kRootNode);
  CHECK(both->entry.generation.value != 0);
  CHECK(both->entry.entry_valid.count() > 0);
  auto only = pool.lookup(kRootNode, "only");
  REQUIRE(only.has_value());
  CHECK(only->entry.attr.size == 1);
  CHECK(errno_of(pool.lookup(kRootNode, "neither")) == ENOENT);
}

TEST_CASE("lookup: an unkept reply gives its count back, a kept one stays until it is forgotten") {
  PoolFixture pool;
  pool.file(0, "f");
  { auto dropped = pool.lookup(kRootNode, "f"); }
  CHECK(pool.count("nodes") == 1);
  const auto node = pool.walk("f");
  CHECK(pool.walk("f") == node);
  CHECK(pool.count("nodes") == 2);
  CHECK(pool.count("lookups") == 2);
  pool.fs().forget(node, 1);
  CHECK(pool.count("lookups") == 1);
  auto again = pool.lookup(kRootNode, "f");
  REQUIRE(again.has_value());
  CHECK(again->entry.node == node);
  again->keep();
}

TEST_CASE("a directory's inode number follows from its path, whichever copy is the first") {
  PoolFixture pool({"RW", "RW"});
  pool.directory(1, "a/b/c");
  pool.file(1, "a/b/f");
  const auto ino_of = [&pool](std::string_view path) {
    return pool.fs().getattr(pool.as(pool.walk(path)), {})->attr.ino;
  };
  const std::uint64_t a = ino_of("a");
  const std::uint64_t c = ino_of("a/b/c");
  CHECK(a != c);
  CHECK(c > 1);
  pool.forget_all();
  pool.directory(0, "a/b/c");
  CHECK(ino_of("a") == a);
  CHECK(ino_of("a/b/c") == c);

  // Moved, it is another path's, and what is made under the old one is the old path's.
  const auto root = pool.as(kRootNode);
  REQUIRE(pool.fs().rename(root, {kRootNode, pool.name("a"), pool.name("z"), 0}).has_value());
  pool.directory(0, "a/b/c");
  CHECK(ino_of("z") != a);
  CHECK(ino_of("z/b/c") != c);
  CHECK(ino_of("a/b/c") == c);

  // Without a name it keeps its last one.
  const proto::NodeId gone = pool.walk("a/b/c");
  auto opened = pool.fs().opendir(pool.as(gone), {});
  REQUIRE(opened.has_value());
  const auto handle = pool.keep(*opened, true);
  REQUIRE(pool.fs().rmdir(pool.as(pool.walk("a/b")), {pool.name("c")}).has_value());
  const auto attr = pool.fs().getattr(pool.as(gone), {});
  REQUIRE(attr.has_value());
  CHECK(attr->attr.ino == c);
  pool.release(handle);
}

TEST_CASE("lookup: hard links share a node and its inode number, other files do not") {
  PoolFixture pool({"RW", "RW"});
  pool.file(0, "d/a", "x");
  std::filesystem::create_hard_link(pool.branch(0) / "d/a", pool.branch(0) / "b");
  pool.file(1, "c", "x");
  const auto a = pool.walk("d/a");
  CHECK(pool.walk("b") == a);
  const auto c = pool.walk("c");
  CHECK(c != a);
  CHECK(pool.fs().getattr(pool.as(a), {})->attr.nlink == 2);
  CHECK(pool.fs().getattr(pool.as(a), {})->attr.ino != pool.fs().getattr(pool.as(c), {})->attr.ino);
}

TEST_CASE("lookup: directories of several branches are one node; what is below comes from each") {
  PoolFixture pool({"RW", "RW"});
  pool.file(0, "d/first");
  pool.file(1, "d/second");
  const auto d = pool.walk("d");
  CHECK(pool.lookup(d, "first").has_value());
  CHECK(pool.lookup(d, "second").has_value());
}

TEST_CASE("lookup: a symlink in the place of a directory leads nowhere") {
  PoolFixture pool({"RW", "RW"});
  pool.directory(0, "real");
  pool.file(0, "real/secret");
  pool.directory(1, "d");
  const auto d = pool.walk("d");
  std::filesystem::create_directory_symlink("real", pool.branch(0) / "d");
  CHECK(errno_of(pool.lookup(d, "secret")) == ENOENT);
}

TEST_CASE("lookup: wrong parents and names") {
  PoolFixture pool;
  pool.file(0, "f");
  pool.directory(0, "gone");
  const auto f = pool.walk("f");
  const auto gone = pool.walk("gone");
  CHECK(errno_of(pool.lookup(f, "x")) == ENOTDIR);
  CHECK(errno_of(pool.lookup(proto::NodeId{0x123456789}, "x")) == ESTALE);
  CHECK(errno_of(pool.lookup(kRootNode, std::string(256, 'n'))) == ENAMETOOLONG);
  CHECK(errno_of(pool.lookup(kRootNode, std::string(255, 'n'))) == ENOENT);
  std::filesystem::remove(pool.branch(0) / "gone");
  CHECK(errno_of(pool.lookup(gone, "x")) == ENOENT);
}

TEST_CASE("lookup: an absent name is an entry of node 0 only where absence may be cached") {
  PoolFixture pool({"RW"}, {}, [](ops::Settings& settings) {
    settings.negative_valid = std::chrono::seconds(3);
  });
  const auto reply = pool.lookup(kRootNode, "absent");
  REQUIRE(reply.has_value());
  CHECK(reply->entry.node == proto::kNoNode);
  CHECK(reply->entry.entry_valid == std::chrono::seconds(3));
}

TEST_CASE("lookup: \".\" and \"..\" name nodes") {
  PoolFixture pool;
  pool.file(0, "d/e/f");
  const auto d = pool.walk("d");
  const auto e = pool.walk("d/e");
  const auto f = pool.walk("d/e/f");
  LookupRequest self;
  self.target = LookupRequest::Target::kSelf;
  LookupRequest parent;
  parent.target = LookupRequest::Target::kParent;
  CHECK(pool.fs().lookup(pool.as(f), self)->entry.node == f);
  CHECK(pool.fs().lookup(pool.as(e), self)->entry.node == e);
  CHECK(pool.fs().lookup(pool.as(e), parent)->entry.node == d);
  CHECK(pool.fs().lookup(pool.as(kRootNode), self)->entry.generation.value == 0);
  CHECK(errno_of(pool.fs().lookup(pool.as(kRootNode), parent)) == ENOENT);
  CHECK(errno_of(pool.fs().lookup(pool.as(proto::NodeId{99999}), self)) == ESTALE);
}

TEST_CASE("lookup: another file under the same name is another node") {
  PoolFixture pool;
  pool.file(0, "f", "old");
  const auto before = pool.walk("f");
  pool.file(0, "g", "newer");
  std::filesystem::rename(pool.branch(0) / "g", pool.branch(0) / "f");
  CHECK(pool.walk("f") != before);
}

TEST_CASE("lookup: one that finds its file costs one stat and asks no further branch") {
  test::FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW", "RW"}, test::with_faults(faults));
  pool.file(0, "f");
  pool.file(2, "f");
  faults->reset();
  CHECK(pool.lookup(kRootNode, "f").has_value());
  CHECK(faults->calls(test::Call::kStatAt) == 1);
  CHECK(faults->calls(test::Call::kAny) == 1);
}

TEST_CASE("lookup: a failing branch matters only where no other has the name") {
  test::FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW"}, test::with_faults(faults));
  pool.file(1, "f");
  faults->fail({test::Call::kStatAt, 1, test::FaultyBacking::kAlways, pool.branch(0)}, EIO);
  CHECK(pool.lookup(kRootNode, "f").has_value());
  CHECK(errno_of(pool.lookup(kRootNode, "g")) == EIO);
  faults->reset();
  // A disk that is gone takes no part, where the user wants it so.
  pool.settings().branch_absent = ops::BranchAbsent::kHide;
  pool.fs().idle();
  faults->fail({test::Call::kOpenRoot, 1, test::FaultyBacking::kAlways, pool.branch(0)}, ESTALE);
  CHECK(pool.lookup(kRootNode, "f").has_value());
  CHECK(errno_of(pool.lookup(kRootNode, "g")) == ENOENT);
  pool.settings().branch_absent = ops::BranchAbsent::kEio;
  CHECK(pool.lookup(kRootNode, "f").has_value());
  CHECK(errno_of(pool.lookup(kRootNode, "g")) == EIO);
  faults->reset();
}

TEST_CASE("lookup: whichever call fails, nothing is lost") {
  test::FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW"}, test::with_faults(faults));
  pool.file(1, "d/f");
  pool.directory(0, "d");
  const auto d = pool.walk("d");
  for (const int error : {EIO, EMFILE, EACCES}) {
    test::fail_each_call(pool, *faults, error, [&] { return errno_of(pool.lookup(d, "f")); });
  }
  CHECK(pool.count("descriptor_shortages") > 0);
}
