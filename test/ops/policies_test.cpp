#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "policy/registry.hpp"
#include "test/support/pool_fixture.hpp"

// What the operations make of policies other than the defaults.

namespace bough::test {
namespace {

using proto::Errno;
using proto::kRootNode;
using proto::NodeId;

PoolFixture::Tune with(std::string_view create, std::string_view search = "ff",
                       std::string_view action = "epall") {
  return [=](ops::Settings& settings) {
    settings.create = policy::find(policy::create_policies(), create);
    settings.search = policy::find(policy::search_policies(), search);
    settings.action = policy::find(policy::action_policies(), action);
  };
}

template <class Reply>
int errno_of(PoolFixture& pool, proto::Result<Reply> reply) {
  if (!reply) return reply.error().value();
  pool.keep(*reply);
  return 0;
}
int mkdir(PoolFixture& pool, NodeId parent, std::string_view name) {
  return errno_of(pool, pool.fs().mkdir(pool.as(parent), {pool.name(name), 0755, 0, {}}));
}
int symlink(PoolFixture& pool, std::string_view name) {
  return errno_of(pool, pool.fs().symlink(pool.as(kRootNode), {pool.name(name), "there", {}}));
}
int mkfifo(PoolFixture& pool, std::string_view name) {
  return errno_of(pool,
                  pool.fs().mknod(pool.as(kRootNode), {pool.name(name), S_IFIFO | 0644, 0, 0, {}}));
}
int create(PoolFixture& pool, NodeId parent, std::string_view name) {
  auto made =
      pool.fs().create(pool.as(parent), {pool.name(name), O_RDWR | O_CREAT, 0100644, 0, false, {}});
  if (!made) return made.error().value();
  pool.keep(made->entry);
  pool.keep(made->open);
  return 0;
}
int chmod(PoolFixture& pool, NodeId node, std::uint32_t mode) {
  proto::SetattrRequest request;
  request.mode = mode;
  const auto changed = pool.fs().setattr(pool.as(node), request);
  return changed ? 0 : changed.error().value();
}
int rename(PoolFixture& pool, std::string_view from, NodeId to, std::string_view name) {
  return pool.fs()
      .rename(pool.as(kRootNode), {to, pool.name(from), pool.name(name), 0})
      .error()
      .value();
}

void set_mtime(PoolFixture& pool, std::size_t branch, const std::string& path, std::int64_t when) {
  const timespec both[2]{{when, 0}, {when, 0}};
  REQUIRE(::utimensat(AT_FDCWD, (pool.branch(branch) / path).c_str(), both, 0) == 0);
}

}  // namespace

TEST_CASE("create policy all: directories, links and fifos on every branch, a file on the first") {
  for (const char* policy : {"all", "epall"}) {
    CAPTURE(policy);
    PoolFixture pool({"RW", "RO", "RW", "NC", "RW"}, {}, with(policy));
    CHECK(mkdir(pool, kRootNode, "d") == 0);
    CHECK(symlink(pool, "l") == 0);
    CHECK(mkfifo(pool, "p") == 0);
    CHECK(create(pool, kRootNode, "f") == 0);
    for (const std::size_t i : {0U, 2U, 4U})
      for (const char* name : {"d", "l", "p"}) CHECK(pool.exists(i, name));
    for (const std::size_t i : {1U, 3U})
      for (const char* name : {"d", "l", "p", "f"}) CHECK_FALSE(pool.exists(i, name));
    CHECK(pool.exists(0, "f"));
    CHECK_FALSE(pool.exists(2, "f"));
    CHECK(pool.stat(4, "d").st_mode == 040755);
    CHECK(pool.list(kRootNode) == std::vector<std::string>{"d", "f", "l", "p"});
  }
}

TEST_CASE("create policy all: a file makes no directories where it does not go") {
  PoolFixture pool({"RW", "RW"}, {}, with("all"));
  pool.directory(0, "d");
  const NodeId d = pool.walk("d");
  CHECK(create(pool, d, "f") == 0);
  CHECK(pool.exists(0, "d/f"));
  CHECK_FALSE(pool.exists(1, "d"));
  CHECK(mkdir(pool, d, "e") == 0);
  CHECK(pool.exists(1, "d/e"));
}

TEST_CASE("create policy all: one branch that can is enough") {
  PoolFixture pool({"RW", "RW", "RW"}, {}, with("all"));
  pool.directory(1, "d");
  const NodeId d = pool.walk("d");
  pool.file(0, "d", "in the way, and hidden from nobody who looks at branch 1 alone");
  pool.file(2, "d", "as well");
  CHECK(mkdir(pool, d, "e") == 0);
  CHECK(pool.exists(1, "d/e"));
}

TEST_CASE("msp policies make what is missing on the branch that has most of the path") {
  PoolFixture pool({"RW", "RW", "RO"}, {}, with("mspmfs"));
  pool.directory(0, "elsewhere");
  pool.directory(1, "a/b", 0750);
  pool.directory(2, "a/b/c", 0700);
  CHECK(create(pool, pool.walk("a/b/c"), "f") == 0);
  CHECK(pool.exists(1, "a/b/c/f"));
  CHECK(pool.stat(1, "a/b/c").st_mode == 040700);
  CHECK_FALSE(pool.exists(0, "a"));
  // Nobody may write at all: an error, and at once.
  PoolFixture none({"RO", "NC"}, {}, with("mspmfs"));
  none.directory(0, "a/b");
  CHECK(create(none, none.walk("a/b"), "f") == EROFS);
}

TEST_CASE("create policy newest goes where the directory was changed last") {
  PoolFixture pool({"RW", "RW", "RW"}, {}, with("newest"));
  for (const std::size_t i : {0U, 1U, 2U}) pool.directory(i, "d");
  set_mtime(pool, 0, "d", 100);
  set_mtime(pool, 1, "d", 300);
  set_mtime(pool, 2, "d", 200);
  CHECK(create(pool, pool.walk("d"), "f") == 0);
  CHECK(pool.exists(1, "d/f"));
}

TEST_CASE("erofs refuses everything that it rules") {
  PoolFixture pool({"RW", "RW"}, {}, with("erofs", "ff", "erofs"));
  pool.file(0, "f", "text");
  pool.directory(1, "d");
  CHECK(create(pool, kRootNode, "g") == EROFS);
  CHECK(mkdir(pool, kRootNode, "e") == EROFS);
  CHECK(chmod(pool, pool.walk("f"), 0600) == EROFS);
  CHECK(chmod(pool, pool.walk("d"), 0700) == EROFS);
  CHECK(rename(pool, "f", kRootNode, "g") == EROFS);
  CHECK(pool.fs().unlink(pool.as(kRootNode), {pool.name("f")}).error() == Errno{EROFS});
  CHECK(pool.fs().rmdir(pool.as(kRootNode), {pool.name("d")}).error() == Errno{EROFS});
  CHECK(pool.text(0, "f") == "text");
}

TEST_CASE("search newest shows the copy that was changed last, wherever it is") {
  PoolFixture pool({"RW", "RW", "RW"}, {}, with("ff", "newest"));
  pool.file(0, "f", "old");
  pool.file(1, "f", "newest");
  pool.file(2, "f", "older still");
  set_mtime(pool, 0, "f", 200);
  set_mtime(pool, 1, "f", 300);
  set_mtime(pool, 2, "f", 100);
  const NodeId f = pool.walk("f");
  CHECK(pool.fs().getattr(pool.as(f), {})->attr.size == 6);
  CHECK(pool.read(pool.open(f, O_RDONLY)) == "newest");
}

TEST_CASE("search newest: a rename leaves no copy of the new name that users would see instead") {
  PoolFixture pool({"RW", "RW", "RW"}, {}, with("ff", "newest"));
  pool.file(0, "f", "mine");
  pool.file(0, "g", "replaced");
  pool.file(2, "g", "newer than all");
  set_mtime(pool, 0, "f", 100);
  CHECK(rename(pool, "f", kRootNode, "g") == 0);
  CHECK(pool.text(0, "g") == "mine");
  CHECK_FALSE(pool.exists(2, "g"));
  CHECK(pool.fs().getattr(pool.as(pool.walk("g")), {})->attr.size == 4);

  PoolFixture kept({"RW", "RW", "RO"}, {}, with("ff", "newest"));
  kept.file(0, "f", "mine");
  kept.file(2, "g", "newer, and there to stay");
  set_mtime(kept, 0, "f", 100);
  CHECK(rename(kept, "f", kRootNode, "g") == EROFS);
  CHECK(kept.text(0, "f") == "mine");
}

TEST_CASE("action policies choose the copies that change beside the one that users see") {
  PoolFixture pool({"RW", "RW", "RW"}, {}, with("ff", "ff", "ff"));
  for (const std::size_t i : {0U, 1U, 2U}) {
    pool.file(i, "f", "copy");
    pool.directory(i, "d");
  }
  CHECK(chmod(pool, pool.walk("f"), 0600) == 0);
  CHECK(chmod(pool, pool.walk("d"), 0700) == 0);
  CHECK((pool.stat(0, "f").st_mode & 0777) == 0600);
  CHECK((pool.stat(0, "d").st_mode & 0777) == 0700);
  for (const std::size_t i : {1U, 2U}) {
    CHECK((pool.stat(i, "f").st_mode & 0777) != 0600);
    CHECK((pool.stat(i, "d").st_mode & 0777) != 0700);
  }
  CHECK(pool.fs().unlink(pool.as(kRootNode), {pool.name("f")}).has_value());
  CHECK_FALSE(pool.exists(0, "f"));
  CHECK(pool.exists(1, "f"));
}

TEST_CASE("path preserving create policies: no directories are made for rename and link") {
  const auto tune = [](bool ignore) -> PoolFixture::Tune {
    return [ignore](ops::Settings& settings) {
      with("epmfs")(settings);
      settings.clone_on_rename = ignore;
    };
  };
  PoolFixture pool({"RW", "RW"}, {}, tune(false));
  pool.file(0, "f", "text");
  pool.directory(0, "here");
  pool.directory(1, "there");
  CHECK(rename(pool, "f", pool.walk("there"), "f") == EXDEV);
  const NodeId f = pool.walk("f");
  CHECK(pool.fs().link(pool.as(pool.walk("there")), {f, pool.name("g")}).error() == Errno{EXDEV});
  CHECK_FALSE(pool.exists(0, "there"));
  CHECK(pool.text(0, "f") == "text");
  auto linked = pool.fs().link(pool.as(pool.walk("here")), {f, pool.name("g")});
  REQUIRE(linked.has_value());
  pool.keep(*linked);
  CHECK(rename(pool, "f", pool.walk("here"), "f") == 0);
  CHECK(pool.text(0, "here/f") == "text");

  PoolFixture ignoring({"RW", "RW"}, {}, tune(true));
  ignoring.file(0, "f", "text");
  ignoring.directory(1, "there");
  CHECK(rename(ignoring, "f", ignoring.walk("there"), "f") == 0);
  CHECK(ignoring.text(0, "there/f") == "text");
}

TEST_CASE("path preserving create policies: rename says what is wrong, not EXDEV") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW"}, with_faults(faults), with("epmfs"));
  pool.file(0, "f", "text");
  pool.file(0, "full/inside", "text");
  pool.directory(0, "empty");
  pool.directory(1, "there");
  CHECK(rename(pool, "empty", kRootNode, "full") == ENOTEMPTY);
  CHECK(rename(pool, "f", kRootNode, "empty") == EISDIR);
  CHECK(rename(pool, "empty", kRootNode, "f") == ENOTDIR);
  CHECK(rename(pool, "none", kRootNode, "g") == ENOENT);
  faults->fail({Call::kRenameAt, 1, FaultyBacking::kAlways, {}}, EACCES);
  CHECK(rename(pool, "f", kRootNode, "g") == EACCES);
  faults->reset();
  CHECK(rename(pool, "f", pool.walk("there"), "f") == EXDEV);
  CHECK(pool.text(0, "f") == "text");
  CHECK(pool.text(0, "full/inside") == "text");
}

}  // namespace bough::test
