#include <dirent.h>
#include <doctest/doctest.h>
#include <sys/xattr.h>

#include <array>
#include <cerrno>
#include <chrono>

#include "test/ops/followed_ground.hpp"

namespace bough::test {

TEST_CASE("follow-symlinks: what is done to the file is done to what the link leads to") {
  if (!may_act_as_root()) return;
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

TEST_CASE("follow-symlinks: a file is one file by whatever leads to it") {
  if (!may_act_as_root()) return;
  const TempDir outside;
  PoolFixture pool({"RW", "RW"}, {}, following(FollowSymlinks::kAll));
  std::filesystem::create_directory(outside.path() / "t");
  write_file(outside.path() / "t/f", "target");
  link_to(outside.path() / "t/f", pool.branch(0) / "a");
  link_to(outside.path() / "t/../t/f", pool.branch(0) / "b");
  link_to(outside.path() / "t/f", pool.branch(1) / "c");
  link_to(outside.path() / "t", pool.branch(0) / "one");
  link_to(outside.path() / "t", pool.branch(1) / "two");
  const auto names = {"a", "b", "c", "one/f", "two/f"};
  SUBCASE("one node, so that locks and caches meet") {
    const NodeId node = pool.walk("a");
    for (const char* const name : names) CHECK(pool.walk(name) == node);
    const auto first = pool.open(pool.walk("b"), O_RDWR);
    CHECK(pool.write(first, "TAR", 0, O_RDWR).has_value());
    CHECK(pool.read(pool.open(pool.walk("two/f"), O_RDONLY)) == "TARget");
  }
  SUBCASE("one number, so that cp does not empty it") {
    using ops::InodeCalc;
    for (const InodeCalc calc :
         {InodeCalc::kPassthrough, InodeCalc::kPathHash, InodeCalc::kPathHash32,
          InodeCalc::kDevinoHash, InodeCalc::kDevinoHash32, InodeCalc::kHybridHash,
          InodeCalc::kHybridHash32}) {
      CAPTURE(static_cast<int>(calc));
      pool.settings().inode_calc = calc;
      const std::uint64_t number = entry(pool, kRootNode, "a").entry.attr.ino;
      for (const char* const name : names) {
        CAPTURE(name);
        CHECK(pool.fs().getattr(pool.as(pool.walk(name)), {})->attr.ino == number);
      }
      CHECK(entry(pool, kRootNode, "c").entry.attr.ino == number);
      CHECK(entry(pool, pool.walk("two"), "f").entry.attr.ino == number);
      for (const NodeId directory : {kRootNode, pool.walk("one"), pool.walk("two")}) {
        auto opened = pool.fs().opendir(pool.as(directory), proto::OpendirRequest{});
        REQUIRE(opened.has_value());
        for (const auto& each : pool.readdir(pool.keep(*opened, true))) {
          if (each.name.size() != 1 || each.name == ".") continue;
          CHECK(each.type == DT_REG);
          CHECK(each.ino == number);
        }
      }
    }
  }
  SUBCASE("any name is enough") {
    const NodeId node = pool.walk("a");
    CHECK(pool.walk("c") == node);
    CHECK(pool.walk("two/f") == node);
    CHECK(pool.fs().unlink(pool.as(kRootNode), {pool.name("a")}));
    CHECK_FALSE(pool.exists(0, "a"));
    CHECK(pool.fs().rename(pool.as(kRootNode), {kRootNode, pool.name("c"), pool.name("e"), 0}));
    CHECK(pool.walk("e") == node);
    CHECK(open_error(pool, node, O_RDWR) == 0);
    // Past the pool, until the last is gone.
    std::filesystem::remove(pool.branch(1) / "e");
    CHECK(open_error(pool, node, O_RDWR) == 0);
    std::filesystem::remove(pool.branch(1) / "two");
    CHECK(open_error(pool, node, O_RDWR) == ESTALE);
    CHECK(text_of(outside.path() / "t/f") == "target");
  }
  SUBCASE("by the link of another branch") {
    const NodeId node = pool.walk("a");
    link_to(outside.path() / "t/f", pool.branch(1) / "a");
    std::filesystem::remove(pool.branch(0) / "a");
    CHECK(open_error(pool, node, O_RDWR) == 0);
    CHECK(pool.fs().getattr(pool.as(node), {}).has_value());
    CHECK(pool.fs().unlink(pool.as(kRootNode), {pool.name("a")}));
    CHECK_FALSE(pool.exists(1, "a"));
  }
  SUBCASE("made without a name") {
    const auto path = pool.walk("one");
    proto::TmpfileRequest request;
    request.flags = O_RDWR | O_TMPFILE;
    request.mode = S_IFREG | 0600;
    auto made = pool.fs().tmpfile(pool.as(path), request);
    REQUIRE(made.has_value());
    const NodeId node = pool.keep(made->entry);
    pool.keep(made->open);
    auto linked = pool.fs().link(pool.as(path), {node, pool.name("new")});
    REQUIRE(linked.has_value());
    CHECK(pool.keep(*linked) == node);
    CHECK(pool.walk("two/new") == node);
  }
}

TEST_CASE("follow-symlinks: what cannot be followed stays a link") {
  if (!may_act_as_root()) return;
  const TempDir outside;
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kRegular));
  std::filesystem::create_directory(outside.path() / "d");
  write_file(outside.path() / "d/f", "text");
  const auto at = [&](const char* path) { return outside.path().string() + "/" + path; };
  link_to(at("nothing"), pool.branch(0) / "dangling");
  link_to(at("loop"), outside.path() / "loop");
  link_to(at("loop"), pool.branch(0) / "loop");
  link_to(at("d"), pool.branch(0) / "directory");
  link_to(at("d/f/"), pool.branch(0) / "slash");
  link_to(at("d/f/."), pool.branch(0) / "dot");
  link_to(std::filesystem::relative(at("d/f"), pool.branch(0)), pool.branch(0) / "relative");
  link_to(at("d/f").substr(1), pool.branch(0) / "rootless");
  link_to("/.././/" + at("d///f"), pool.branch(0) / "crooked");
  for (const char* const name :
       {"dangling", "loop", "directory", "slash", "dot", "relative", "rootless"}) {
    CAPTURE(name);
    CHECK(type(pool, name) == S_IFLNK);
  }
  CHECK(type(pool, "crooked") == S_IFREG);
  CHECK(open_error(pool, pool.walk("dangling"), O_RDONLY) == ELOOP);
  // To these the daemon is not its caller.
  link_to("/proc/self/status", pool.branch(0) / "proc");
  link_to("/sys/kernel/notes", pool.branch(0) / "sys");
  CHECK(type(pool, "proc") == S_IFLNK);
  CHECK(type(pool, "sys") == S_IFLNK);
  // Modes that are not their own would open targets to users.
  pool.settings().shown.umask = 0;
  CHECK(type(pool, "crooked") == S_IFLNK);
  pool.settings().shown.umask = ops::ShownAttributes::kAsTheyAre;
  CHECK(type(pool, "crooked") == S_IFREG);
  // The pool itself is never entered.
  struct stat device {};
  REQUIRE(::stat(outside.path().c_str(), &device) == 0);
  pool.own_device = device.st_dev;
  CHECK(type(pool, "crooked") == S_IFLNK);
  pool.own_device.reset();
  CHECK(type(pool, "crooked") == S_IFLNK);
}

TEST_CASE("follow-symlinks: only links of root's, or of whom the daemon runs as") {
  if (!may_act_as_root()) return;
  const TempDir outside;
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kRegular));
  std::filesystem::create_directory(outside.path() / "secret");
  write_file(outside.path() / "secret/t", "secret", 0600);
  write_file(outside.path() / "open", "open", 0666);
  REQUIRE(::chmod((outside.path() / "secret").c_str(), 0700) == 0);
  link_to(outside.path() / "secret/t", pool.branch(0) / "roots");
  link_to(outside.path() / "open", pool.branch(0) / "his", 1234);
  CHECK(type(pool, "his") == S_IFLNK);
  REQUIRE(::chown((outside.path() / "open").c_str(), 1234, 1234) == 0);
  CHECK(type(pool, "his") == S_IFLNK);
  // Who may read it is the kernel's to say, by the target's own mode.
  const auto shown = entry(pool, kRootNode, "roots");
  CHECK(shown.entry.attr.mode == 0100600);
  CHECK(shown.entry.attr.uid == 0);
  // chown -h is the administrator's word for it.
  REQUIRE(::lchown((pool.branch(0) / "his").c_str(), 0, 0) == 0);
  CHECK(type(pool, "his") == S_IFREG);
  const NodeId roots = pool.walk("roots");
  REQUIRE(::lchown((pool.branch(0) / "roots").c_str(), 1234, 1234) == 0);
  CHECK(open_error(pool, roots, O_RDONLY) != 0);
  CHECK(type(pool, "roots") == S_IFLNK);
}

TEST_CASE("follow-symlinks: removing and renaming do it to the link") {
  if (!may_act_as_root()) return;
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
  if (!may_act_as_root()) return;
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
  if (!may_act_as_root()) return;
  const TempDir outside;
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kRegular));
  write_file(outside.path() / "t", "text");
  const std::string target = outside.path() / "t";
  auto made = pool.fs().symlink(pool.as(kRootNode), {pool.name("f"), target, {}});
  REQUIRE(made.has_value());
  pool.keep(*made);
  CHECK((made->entry.attr.mode & kType) == S_IFLNK);
  CHECK(made->entry.entry_valid.count() == 0);
  CHECK(made->entry.attr_valid.count() == 0);
  CHECK(type(pool, "f") == S_IFREG);
  CHECK(pool.walk("f") != made->entry.node);
}

TEST_CASE("follow-symlinks: with never, a link costs what a file costs") {
  if (!may_act_as_root()) return;
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
  if (!may_act_as_root()) return;
  const TempDir outside;
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kNever));
  std::filesystem::create_directory(outside.path() / "d");
  write_file(outside.path() / "f", "text");
  REQUIRE(::mkfifo((outside.path() / "fifo").c_str(), 0600) == 0);
  for (const char* const name : {"d", "f", "fifo"})
    link_to(outside.path() / name, pool.branch(0) / (std::string("to_") + name));
  const auto types = [&](FollowSymlinks which) {
    pool.settings().links.follow = which;
    return std::array{type(pool, "to_d"), type(pool, "to_f"), type(pool, "to_fifo")};
  };
  using Types = std::array<std::uint32_t, 3>;
  CHECK(types(FollowSymlinks::kNever) == Types{S_IFLNK, S_IFLNK, S_IFLNK});
  CHECK(types(FollowSymlinks::kDirectory) == Types{S_IFDIR, S_IFLNK, S_IFLNK});
  CHECK(types(FollowSymlinks::kRegular) == Types{S_IFLNK, S_IFREG, S_IFLNK});
  CHECK(types(FollowSymlinks::kAll) == Types{S_IFDIR, S_IFREG, S_IFLNK});
  // A directory's node is not one any more when its name is a link again.
  const NodeId directory = pool.walk("to_d");
  pool.settings().links.follow = FollowSymlinks::kNever;
  const NodeId link = pool.walk("to_d");
  CHECK(link != directory);
  CHECK_FALSE(pool.fs().opendir(pool.as(directory), proto::OpendirRequest{}).has_value());
}

}  // namespace bough::test
