#include "ops/all_copies.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "test/support/faulty_backing.hpp"
#include "test/support/pool_fixture.hpp"

namespace bough::test {
namespace {

using proto::kRootNode;
using proto::NodeId;

void touch(const std::string& path, time_t seconds) {
  const timespec times[2] = {{1, 0}, {seconds, 7}};
  REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
}

proto::Attr attr_of(PoolFixture& pool, NodeId node) {
  const auto reply = pool.fs().getattr(pool.as(node), {});
  REQUIRE(reply.has_value());
  return reply->attr;
}

}  // namespace

TEST_CASE("a directory is as new as its newest copy") {
  PoolFixture pool({"RW", "RW", "RO"});
  for (std::size_t i = 0; i < 3; ++i) {
    pool.directory(i, "d/e");
    touch(pool.branch(i) / "d", 1000 + 100 * static_cast<time_t>(i % 2));
    touch(pool.branch(i), 3000 + static_cast<time_t>(i));
  }
  auto found = pool.lookup(kRootNode, "d");
  REQUIRE(found.has_value());
  CHECK(found->entry.attr.mtime.seconds == 1100);
  CHECK(found->entry.attr.mtime.nanoseconds == 7);
  const NodeId d = pool.keep(*found);
  CHECK(attr_of(pool, d).mtime.seconds == 1100);
  CHECK(attr_of(pool, d).ctime.seconds >= pool.stat(2, "d").st_ctim.tv_sec);
  CHECK(attr_of(pool, kRootNode).mtime.seconds == 3002);
  // A change behind the pool, on a branch that the search does not choose.
  pool.file(2, "d/new");
  CHECK(attr_of(pool, d).mtime.seconds == pool.stat(2, "d").st_mtim.tv_sec);
}

TEST_CASE("a change of attributes is answered with those of all copies") {
  PoolFixture pool({"RW", "RO"});
  pool.directory(0, "d");
  pool.directory(1, "d");
  touch(pool.branch(0) / "d", 1000);
  touch(pool.branch(1) / "d", 2000);
  proto::SetattrRequest request;
  request.mode = 0700;
  const auto changed = pool.fs().setattr(pool.as(pool.walk("d")), request);
  REQUIRE(changed.has_value());
  CHECK(changed->attr.mode == 040700);
  CHECK(changed->attr.mtime.seconds == 2000);
}

TEST_CASE("the link count of a directory tells of its directories, or that nobody knows") {
  PoolFixture pool({"RW", "RW"});
  pool.directory(0, "one/a");
  pool.directory(1, "two/a");
  pool.directory(0, "two");
  pool.directory(0, "both/a");
  pool.directory(1, "both/b");
  const bool counts = pool.stat(0, "one").st_nlink == 3;
  CHECK(attr_of(pool, pool.walk("one")).nlink == (counts ? 3 : 1));
  CHECK(attr_of(pool, pool.walk("two")).nlink == (counts ? 3 : 1));
  CHECK(attr_of(pool, pool.walk("both")).nlink == 1);
}

TEST_CASE("what is told of two copies") {
  const auto links = [](std::uint32_t first, std::uint32_t second) {
    ops::FileStat shown;
    shown.nlink = first;
    ops::FileStat other;
    other.nlink = second;
    ops::add_copy(shown, other);
    return shown.nlink;
  };
  CHECK(links(2, 2) == 2);
  CHECK(links(2, 5) == 5);
  CHECK(links(5, 2) == 5);
  CHECK(links(3, 3) == 1);
  CHECK(links(1, 2) == 1);
  CHECK(links(2, 1) == 1);
  CHECK(links(0, 5) == 0);
  CHECK(links(2, 0) == 1);
}

TEST_CASE("a file in the directory's place is no copy, and a broken branch spoils nothing") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW"}, with_faults(faults));
  pool.directory(0, "d");
  pool.file(1, "d", "file");
  touch(pool.branch(0) / "d", 1000);
  const NodeId d = pool.walk("d");
  CHECK(attr_of(pool, d).mtime.seconds == 1000);
  CHECK(attr_of(pool, d).nlink == 2);
  pool.directory(1, "e");
  pool.directory(0, "e");
  touch(pool.branch(0) / "e", 1000);
  const NodeId e = pool.walk("e");
  faults->fail({Call::kAny, 1, FaultyBacking::kAlways, pool.branch(1)}, EIO);
  CHECK(attr_of(pool, e).mtime.seconds == 1000);
  faults->reset();
}

TEST_CASE("a directory that one branch alone has is asked of no other while that is known") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW", "RW", "RW"}, with_faults(faults),
                   [](ops::Settings& settings) { settings.entry_valid = std::chrono::hours(1); });
  pool.directory(0, "d");
  const NodeId d = pool.walk("d");
  // What is known lasts for a second at most: whoever begins at its end begins anew.
  std::uint64_t calls = 99;
  for (int tries = 0; tries < 5 && calls > 1; ++tries) {
    (void)attr_of(pool, d);
    (void)attr_of(pool, d);
    faults->reset();
    (void)attr_of(pool, d);
    calls = faults->calls(Call::kAny);
  }
  CHECK(calls == 1);
  // What the pool makes is seen at once.
  auto made = pool.fs().mkdir(pool.as(d), {pool.name("sub"), 0755, 0, {}});
  REQUIRE(made.has_value());
  faults->reset();
  (void)attr_of(pool, d);
  CHECK(faults->calls(Call::kAny) > 1);
}

TEST_CASE("a listing with attributes tells of all copies, as a look-up does") {
  PoolFixture pool({"RW", "RW"});
  pool.directory(0, "d");
  pool.directory(1, "d");
  touch(pool.branch(0) / "d", 1000);
  touch(pool.branch(1) / "d", 2000);
  auto opened = pool.fs().opendir(pool.as(kRootNode), {});
  REQUIRE(opened.has_value());
  const auto handle = pool.keep(*opened, true);
  alignas(8) std::array<std::byte, 4096> buffer;
  proto::DirentPlusPacker packer(buffer, pool.fs());
  REQUIRE(
      pool.fs().readdirplus(pool.as(kRootNode), {handle, 0, buffer.size()}, packer).has_value());
  std::int64_t newest = 0;
  for (std::size_t at = 0; at < packer.size();) {
    proto::abi::Direntplus entry;
    std::memcpy(&entry, buffer.data() + at, sizeof entry);
    newest = std::max(newest, static_cast<std::int64_t>(entry.entry.attr.mtime));
    at += (sizeof entry + entry.dirent.namelen + 7) / 8 * 8;
  }
  CHECK(newest == 2000);
}

}  // namespace bough::test
