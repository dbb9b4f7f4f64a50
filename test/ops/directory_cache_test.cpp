#include "ops/directory_cache.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <stdio.h>

#include <filesystem>

#include "test/support/pool_fixture.hpp"

using namespace bough;
using namespace std::chrono_literals;
using proto::kRootNode;
using test::Call;
using test::FaultyBacking;
using test::PoolFixture;
using test::with_faults;
namespace fs = std::filesystem;

namespace {

int errno_of(const proto::Result<proto::EntryReply>& reply) {
  return reply ? 0 : reply.error().value();
}

std::shared_ptr<const ops::Fd> some_descriptor() {
  return std::make_shared<const ops::Fd>(::dup(0));
}

}  // namespace

TEST_CASE("directory cache: by branch and path, not longer than it may, and not after a move") {
  ops::DirectoryCache cache;
  const auto kept = some_descriptor();
  cache.put(1, "a/b", kept, cache.changes());
  CHECK(cache.find(1, "a/b", 1h) == kept);
  CHECK(cache.find(2, "a/b", 1h) == nullptr);
  CHECK(cache.find(1, "a", 1h) == nullptr);
  CHECK(cache.find(1, "a/b", 0s) == nullptr);
  cache.moved();
  CHECK(cache.find(1, "a/b", 1h) == nullptr);

  const auto before = cache.changes();
  cache.moved();
  cache.put(1, "a/b", kept, before);
  CHECK(cache.find(1, "a/b", 1h) == nullptr);

  const auto earlier = cache.changes();
  cache.put(1, "a", kept, earlier);
  cache.put(1, "a/b", kept, earlier);
  cache.put(2, "a/b", kept, earlier);
  cache.removed(1, "a/b");
  CHECK(cache.find(1, "a", 1h) == kept);
  CHECK(cache.find(1, "a/b", 1h) == nullptr);
  CHECK(cache.find(2, "a/b", 1h) == kept);
  cache.put(1, "a/b", kept, earlier);
  CHECK(cache.find(1, "a/b", 1h) == nullptr);

  cache.put(1, std::string(600, 'x'), kept, cache.changes());
  CHECK(cache.find(1, std::string(600, 'x'), 1h) == nullptr);
}

TEST_CASE("directory cache: all copies of a directory at once, on however many branches") {
  ops::DirectoryCache cache;
  const auto kept = some_descriptor();
  for (ops::BranchId branch = 0; branch < 128; ++branch)
    cache.put(branch, "a/b", kept, cache.changes());
  for (ops::BranchId branch = 0; branch < 128; ++branch)
    CHECK(cache.find(branch, "a/b", 1h) == kept);
}

TEST_CASE("directory cache: bounded, and empty when cleared") {
  ops::DirectoryCache cache;
  const auto before = test::open_descriptors();
  for (int i = 0; i < 5000; ++i)
    cache.put(1, std::to_string(i), some_descriptor(), cache.changes());
  CHECK(test::open_descriptors() <= before + 256);
  cache.clear();
  CHECK(test::open_descriptors() == before);
}

TEST_CASE("directory cache: a look-up in a directory that is known opens nothing") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW"}, with_faults(faults));
  pool.directory(0, "d/e");
  pool.file(1, "d/e/f", "x");
  const auto e = pool.walk("d/e");
  CHECK(errno_of(pool.lookup(e, "f")) == 0);
  faults->reset();
  CHECK(errno_of(pool.lookup(e, "f")) == 0);
  CHECK(errno_of(pool.lookup(e, "none")) == ENOENT);
  CHECK(faults->calls(Call::kOpenDirectory) == 0);
  CHECK(faults->calls(Call::kStatAt) == 4);
}

TEST_CASE("directory cache: not longer than the kernel keeps names") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, with_faults(faults),
                   [](ops::Settings& settings) { settings.entry_valid = 0s; });
  pool.file(0, "d/f", "x");
  const auto d = pool.walk("d");
  CHECK(errno_of(pool.lookup(d, "f")) == 0);
  faults->reset();
  CHECK(errno_of(pool.lookup(d, "f")) == 0);
  CHECK(faults->calls(Call::kOpenDirectory) == 1);
}

TEST_CASE("directory cache: what another directory took the place of is not looked in") {
  PoolFixture pool({"RW"});
  pool.file(0, "d/in_d", "x");
  pool.file(0, "e/in_e", "x");
  const auto d = pool.walk("d");
  CHECK(errno_of(pool.lookup(d, "in_d")) == 0);
  SUBCASE("exchanged") {
    const auto e = pool.walk("e");
    CHECK(errno_of(pool.lookup(e, "in_e")) == 0);
    CHECK(pool.fs()
              .rename(pool.as(kRootNode),
                      {kRootNode, pool.name("d"), pool.name("e"), RENAME_EXCHANGE})
              .has_value());
    CHECK(errno_of(pool.lookup(d, "in_d")) == 0);
    CHECK(errno_of(pool.lookup(e, "in_e")) == 0);
    CHECK(errno_of(pool.lookup(d, "in_e")) == ENOENT);
  }
  SUBCASE("removed and made anew") {
    REQUIRE(pool.fs().unlink(pool.as(d), {pool.name("in_d")}).has_value());
    REQUIRE(pool.fs().rmdir(pool.as(kRootNode), {pool.name("d")}).has_value());
    pool.file(0, "d/other", "x");
    CHECK(errno_of(pool.lookup(pool.walk("d"), "other")) == 0);
  }
}

TEST_CASE("directory cache: what is made goes to where the path leads now") {
  PoolFixture pool({"RW", "RW"});
  pool.file(0, "d/f", "x");
  const auto d = pool.walk("d");
  CHECK(errno_of(pool.lookup(d, "f")) == 0);
  // Behind the pool, as a tool that empties a disk does it.
  fs::create_directory(pool.branch(1) / "d");
  fs::rename(pool.branch(0) / "d", pool.branch(0) / "away");
  auto made = pool.fs().mkdir(pool.as(d), {pool.name("new"), 0755, 0, {}});
  CHECK(errno_of(made) == 0);
  CHECK(pool.exists(0, "d/new") != pool.exists(1, "d/new"));
  CHECK_FALSE(pool.exists(0, "away/new"));
}

TEST_CASE("directory cache: what is changed is where the path leads now") {
  PoolFixture pool({"RW", "RW"});
  pool.file(0, "d/f", "x");
  pool.file(1, "d/f", "x");
  const auto d = pool.walk("d");
  CHECK(errno_of(pool.lookup(d, "none")) == ENOENT);
  const auto f = pool.walk("d/f");
  // Behind the pool: on the second branch it is another file now.
  fs::rename(pool.branch(1) / "d", pool.branch(1) / "away");
  proto::SetattrRequest change;
  change.mode = 0640;
  CHECK(pool.fs().setattr(pool.as(f), change).has_value());
  CHECK(pool.stat(0, "d/f").st_mode == 0100640);
  CHECK(pool.stat(1, "away/f").st_mode == 0100644);
}

TEST_CASE(
    "directory cache: a name that was exchanged behind the pool is removed or moved as it is") {
  PoolFixture pool({"RW", "RW"});
  pool.file(0, "d/old", "old");
  const auto d = pool.walk("d");
  CHECK(errno_of(pool.lookup(d, "old")) == 0);
  // Behind the pool: the directory is another one now, with other things in it.
  fs::rename(pool.branch(0) / "d", pool.branch(0) / "away");
  pool.file(0, "d/f", "file");
  pool.directory(0, "d/e");
  SUBCASE("unlink") {
    CHECK(pool.fs().unlink(pool.as(d), {pool.name("f")}).has_value());
    CHECK_FALSE(pool.exists(0, "d/f"));
    CHECK(pool.fs().unlink(pool.as(d), {pool.name("old")}).error() == proto::Errno{ENOENT});
    CHECK(pool.exists(0, "away/old"));
  }
  SUBCASE("rmdir") {
    CHECK(pool.fs().rmdir(pool.as(d), {pool.name("e")}).has_value());
    CHECK_FALSE(pool.exists(0, "d/e"));
  }
  SUBCASE("rename") {
    CHECK(pool.fs().rename(pool.as(d), {d, pool.name("f"), pool.name("new"), 0}).has_value());
    CHECK(pool.text(0, "d/new") == "file");
    CHECK(pool.fs().rename(pool.as(d), {d, pool.name("old"), pool.name("x"), 0}).error() ==
          proto::Errno{ENOENT});
    CHECK(pool.exists(0, "away/old"));
  }
  SUBCASE("attributes") {
    fs::permissions(pool.branch(0) / "away", fs::perms::owner_all);
    fs::remove_all(pool.branch(0) / "away");
    const auto attr = pool.fs().getattr(pool.as(d), {});
    REQUIRE(attr.has_value());
    CHECK(attr->attr.mode == 040755);
  }
}
