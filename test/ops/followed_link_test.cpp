#include <dirent.h>
#include <doctest/doctest.h>
#include <sys/xattr.h>

#include <array>
#include <cerrno>
#include <chrono>

#include "test/ops/followed_ground.hpp"

namespace bough::test {

TEST_CASE("follow-symlinks: what is done to the file is done to what the link leads to") {
  const TempDir outside;
  PoolFixture pool({"RW", "RW"}, {}, following(FollowSymlinks::kRegular));
  write_file(outside.path() / "t", "target", 0640);
  link_to(outside.path() / "t", pool.branch(0) / "f");
  // A copy of the path elsewhere is no copy of the target.
  pool.file(1, "f", "other", 0600);
  const auto shown = entry(pool, kRootNode, "f");
  CHECK(shown.entry.attr.mode == 0100640);
  CHECK(shown.entry.attr.size == 6);
  const NodeId node = shown.entry.node;
  const auto attr = pool.fs().getattr(pool.as(node), {});
  REQUIRE(attr.has_value());
  CHECK(attr->attr.mode == 0100640);
  CHECK(attr->attr.ino == shown.entry.attr.ino);
  std::array<std::byte, 100> text{};
  CHECK(pool.fs().readlink(pool.as(node), {}, text).error().value() == EINVAL);

  const auto handle = pool.open(node, O_RDWR);
  CHECK(pool.read(handle) == "target");
  CHECK(pool.write(handle, "TAR", 0, O_RDWR).has_value());
  CHECK(text_of(outside.path() / "t") == "TARget");
  proto::SetattrRequest change;
  change.mode = 0600;
  change.size = 3;
  const auto changed = pool.fs().setattr(pool.as(node), change);
  REQUIRE(changed.has_value());
  CHECK(changed->attr.mode == 0100600);
  CHECK(text_of(outside.path() / "t") == "TAR");
  proto::SetattrRequest owner;
  owner.uid = 1234;
  CHECK(pool.fs().setattr(pool.as(node), owner).has_value());
  struct stat target {};
  REQUIRE(::stat((outside.path() / "t").c_str(), &target) == 0);
  CHECK(target.st_uid == 1234);
  CHECK(target.st_mode == 0100600);
  CHECK(pool.stat(0, "f").st_uid == 0);
  CHECK(pool.stat(1, "f").st_uid == 0);
  CHECK(pool.text(1, "f") == "other");
  CHECK(pool.walk("f") == node);

  pool.settings().links.follow = FollowSymlinks::kNever;
  CHECK(type(pool, "f") == S_IFLNK);
  CHECK(pool.walk("f") != node);
  CHECK(pool.read(handle) == "TAR");
}

TEST_CASE("follow-symlinks: a target on a branch has the number of its own name") {
  PoolFixture pool({"RW", "RW"}, {}, following(FollowSymlinks::kRegular));
  pool.file(1, "d/target", "text");
  link_to(pool.branch(1) / "d/target", pool.branch(0) / "across");
  link_to("d/target", pool.branch(1) / "relative");
  link_to("relative", pool.branch(1) / "twice");
  const auto target = pool.fs().getattr(pool.as(pool.walk("d/target")), {});
  REQUIRE(target.has_value());
  for (const char* const name : {"across", "relative", "twice"}) {
    CAPTURE(name);
    const auto shown = entry(pool, kRootNode, name);
    CHECK(shown.entry.attr.mode == 0100644);
    CHECK(shown.entry.attr.ino == target->attr.ino);
    auto opened = pool.fs().opendir(pool.as(kRootNode), proto::OpendirRequest{});
    REQUIRE(opened.has_value());
    const auto handle = pool.keep(*opened, true);
    for (const auto& each : pool.readdir(handle))
      if (each.name == name) {
        CHECK(each.type == DT_REG);
        CHECK(each.ino == target->attr.ino);
      }
  }
}

TEST_CASE("follow-symlinks: what cannot be followed stays a link") {
  const TempDir outside;
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kRegular));
  pool.file(0, "d/f", "text");
  link_to("nothing", pool.branch(0) / "dangling");
  link_to("loop2", pool.branch(0) / "loop1");
  link_to("loop1", pool.branch(0) / "loop2");
  link_to("self", pool.branch(0) / "self");
  link_to("d", pool.branch(0) / "directory");
  link_to("d/f/", pool.branch(0) / "slash");
  link_to("d/f/.", pool.branch(0) / "dot");
  link_to("//../.././/" + (pool.branch(0) / "d///f").string(), pool.branch(0) / "crooked");
  for (const char* const name : {"dangling", "loop1", "self", "directory", "slash", "dot"}) {
    CAPTURE(name);
    CHECK(type(pool, name) == S_IFLNK);
  }
  CHECK(type(pool, "crooked") == S_IFREG);
  CHECK(open_error(pool, pool.walk("dangling"), O_RDONLY) == ELOOP);
  // To these the daemon is not its caller.
  link_to("/proc/self/status", pool.branch(0) / "proc");
  link_to("/sys/kernel", pool.branch(0) / "sys");
  CHECK(type(pool, "proc") == S_IFLNK);
  CHECK(type(pool, "sys") == S_IFLNK);
  // Modes that are not their own would open targets to users.
  pool.settings().shown.umask = 0;
  CHECK(type(pool, "crooked") == S_IFLNK);
  pool.settings().shown.umask = ops::ShownAttributes::kAsTheyAre;
  CHECK(type(pool, "crooked") == S_IFREG);
  // The pool itself is never entered.
  write_file(outside.path() / "t", "");
  link_to(outside.path() / "t", pool.branch(0) / "out");
  CHECK(type(pool, "out") == S_IFREG);
  struct stat device {};
  REQUIRE(::stat(outside.path().c_str(), &device) == 0);
  pool.own_device = device.st_dev;
  CHECK(type(pool, "out") == S_IFLNK);
  pool.own_device.reset();
  CHECK(type(pool, "out") == S_IFLNK);
}

TEST_CASE("follow-symlinks: a link leads where its owner may go, and no further") {
  const TempDir outside;
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kRegular));
  std::filesystem::create_directory(outside.path() / "secret");
  write_file(outside.path() / "secret/t", "secret");
  write_file(outside.path() / "open", "open", 0600);
  REQUIRE(::chmod((outside.path() / "secret").c_str(), 0700) == 0);
  link_to(outside.path() / "secret/t", pool.branch(0) / "roots");
  link_to(outside.path() / "secret/t", pool.branch(0) / "his", 1234);
  link_to(outside.path() / "open", pool.branch(0) / "shown", 1234);
  CHECK(type(pool, "roots") == S_IFREG);
  CHECK(type(pool, "his") == S_IFLNK);
  // Who may read it is the kernel's to say, by the target's own mode.
  const auto shown = entry(pool, kRootNode, "shown");
  CHECK(shown.entry.attr.mode == 0100600);
  CHECK(shown.entry.attr.uid == 0);
  const NodeId roots = pool.walk("roots");
  REQUIRE(::lchown((pool.branch(0) / "roots").c_str(), 1234, 1234) == 0);
  CHECK(open_error(pool, roots, O_RDONLY) != 0);
  CHECK(type(pool, "roots") == S_IFLNK);
}

TEST_CASE("follow-symlinks: removing and renaming do it to the link") {
  const TempDir outside;
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kRegular));
  write_file(outside.path() / "t", "target");
  link_to(outside.path() / "t", pool.branch(0) / "f");
  link_to(outside.path() / "t", pool.branch(0) / "g");
  pool.file(0, "h", "replaced");
  const NodeId f = pool.walk("f");
  const auto handle = pool.open(f, O_RDONLY);
  CHECK(pool.fs().unlink(pool.as(kRootNode), {pool.name("f")}));
  CHECK_FALSE(pool.exists(0, "f"));
  CHECK(text_of(outside.path() / "t") == "target");
  CHECK(pool.read(handle) == "target");
  CHECK(pool.fs().getattr(pool.as(f), {}).has_value());
  pool.release(handle);
  CHECK(pool.fs().getattr(pool.as(f), {}).has_value());

  const NodeId g = pool.walk("g");
  (void)pool.walk("h");
  CHECK(pool.fs().rename(pool.as(kRootNode), {kRootNode, pool.name("g"), pool.name("h"), 0}));
  CHECK(pool.stat(0, "h").st_mode == 0120777);
  CHECK(pool.walk("h") == g);
  CHECK(open_error(pool, g, O_RDWR) == 0);
  CHECK(text_of(outside.path() / "t") == "target");
}

TEST_CASE("follow-symlinks: a link that leads elsewhere is another node") {
  const TempDir outside;
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kRegular));
  write_file(outside.path() / "one", "one");
  write_file(outside.path() / "two", "two");
  link_to(outside.path() / "one", pool.branch(0) / "f");
  const NodeId one = pool.walk("f");
  std::filesystem::remove(pool.branch(0) / "f");
  link_to(outside.path() / "two", pool.branch(0) / "f");
  CHECK(open_error(pool, one, O_RDWR) == ESTALE);
  CHECK(pool.fs().getattr(pool.as(one), {}).error().value() == ESTALE);
  const NodeId two = pool.walk("f");
  CHECK(two != one);
  CHECK(pool.read(pool.open(two, O_RDONLY)) == "two");
  std::filesystem::remove(outside.path() / "two");
  CHECK(type(pool, "f") == S_IFLNK);
}

TEST_CASE("follow-symlinks: a new link is told of as a link, for no time") {
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kRegular));
  pool.file(0, "t", "text");
  auto made = pool.fs().symlink(pool.as(kRootNode), {pool.name("f"), "t", {}});
  REQUIRE(made.has_value());
  pool.keep(*made);
  CHECK((made->entry.attr.mode & kType) == S_IFLNK);
  CHECK(made->entry.entry_valid.count() == 0);
  CHECK(made->entry.attr_valid.count() == 0);
  CHECK(type(pool, "f") == S_IFREG);
  CHECK(pool.walk("f") != made->entry.node);
}

TEST_CASE("follow-symlinks: with never, a link costs what a file costs") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW"}, with_faults(faults));
  pool.file(0, "file");
  link_to("file", pool.branch(0) / "link");
  const auto calls = [&](const char* name) {
    (void)pool.walk(name);
    const std::uint64_t before = faults->calls(Call::kAny);
    (void)pool.walk(name);
    return faults->calls(Call::kAny) - before;
  };
  CHECK(calls("link") == calls("file"));
  const auto asked = calls("link");
  pool.settings().links.follow = FollowSymlinks::kRegular;
  CHECK(calls("link") > asked);
  CHECK(calls("file") == asked);
}

TEST_CASE("follow-symlinks: each value follows what it says") {
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kNever));
  pool.directory(0, "d");
  pool.file(0, "f");
  REQUIRE(::mkfifo((pool.branch(0) / "fifo").c_str(), 0600) == 0);
  link_to("d", pool.branch(0) / "to_d");
  link_to("f", pool.branch(0) / "to_f");
  link_to("fifo", pool.branch(0) / "to_fifo");
  const auto types = [&](FollowSymlinks which) {
    pool.settings().links.follow = which;
    return std::array{type(pool, "to_d"), type(pool, "to_f"), type(pool, "to_fifo")};
  };
  using Types = std::array<std::uint32_t, 3>;
  CHECK(types(FollowSymlinks::kNever) == Types{S_IFLNK, S_IFLNK, S_IFLNK});
  CHECK(types(FollowSymlinks::kDirectory) == Types{S_IFDIR, S_IFLNK, S_IFLNK});
  CHECK(types(FollowSymlinks::kRegular) == Types{S_IFLNK, S_IFREG, S_IFLNK});
  CHECK(types(FollowSymlinks::kAll) == Types{S_IFDIR, S_IFREG, S_IFIFO});
  // A directory's node is not one any more when its name is a link again.
  const NodeId directory = pool.walk("to_d");
  pool.settings().links.follow = FollowSymlinks::kNever;
  const NodeId link = pool.walk("to_d");
  CHECK(link != directory);
  CHECK_FALSE(pool.fs().opendir(pool.as(directory), proto::OpendirRequest{}).has_value());
}

}  // namespace bough::test
