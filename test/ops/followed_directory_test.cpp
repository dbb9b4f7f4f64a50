#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include "ops/followed_path.hpp"
#include "test/ops/followed_ground.hpp"
#include "test/support/branch_tree.hpp"

// Links that are shown as directories, and who could get where by them.
namespace bough::test {
namespace {

namespace fs = std::filesystem;
constexpr uid_t kUser = 1234;

/// A link that is swapped between two directories.
class Swap {
 public:
  explicit Swap(const fs::path& link) : link_(link) {
    for (const char* const name : {"open", "secret"}) {
      fs::create_directory(outside_.path() / name);
      write_file(outside_.path() / name / "f", name);
      fs::create_directory(outside_.path() / name / "sub");
    }
    REQUIRE(::chown((outside_.path() / "open").c_str(), kUser, kUser) == 0);
    REQUIRE(::chmod((outside_.path() / "open").c_str(), 0777) == 0);
    to("open");
  }
  [[nodiscard]] fs::path at(const std::string& path) const { return outside_.path() / path; }
  void to(const char* name) const {
    const fs::path next = link_.string() + ".next";
    link_to(at(name), next);
    fs::rename(next, link_);
  }

 private:
  const TempDir outside_;
  const fs::path link_;
};

}  // namespace

TEST_CASE("follow-symlinks: a directory is used through the link to it") {
  if (!may_act_as_root()) return;
  const TempDir outside;
  PoolFixture pool({"RW", "RW"}, {}, following(FollowSymlinks::kAll));
  std::filesystem::create_directories(outside.path() / "t/sub");
  write_file(outside.path() / "t/f", "target");
  link_to(outside.path() / "t/f", outside.path() / "t/inner");
  link_to(outside.path() / "t", pool.branch(1) / "d");
  const auto shown = entry(pool, kRootNode, "d");
  CHECK(shown.entry.attr.mode == 0040755);
  const NodeId d = shown.entry.node;
  CHECK(pool.list(d) == std::vector<std::string>{"f", "inner", "sub"});
  CHECK(pool.fs().getattr(pool.as(d), {})->attr.mode == 0040755);
  CHECK(pool.read(pool.open(pool.walk("d/f"), O_RDONLY)) == "target");
  // One way is led by one link.
  CHECK((entry(pool, d, "inner").entry.attr.mode & kType) == S_IFLNK);
  CHECK(pool.list(pool.walk("d/sub")).empty());

  // However often it is asked (NameIndex).
  for (int times = 0; times < 50; ++times) CHECK(pool.walk("d/f") != proto::kNoNode);
  CHECK(pool.lookup(d, "late").error().value() == ENOENT);
  write_file(outside.path() / "t/late", "late");
  CHECK(pool.walk("d/late") != proto::kNoNode);
  std::filesystem::remove(outside.path() / "t/late");

  // What is new comes into the target, whatever branch the policy likes best.
  auto made = pool.fs().mkdir(pool.as(pool.walk("d/sub")), {pool.name("deep"), 0750, 0, {}});
  REQUIRE(made.has_value());
  pool.keep(*made);
  CHECK(std::filesystem::is_directory(outside.path() / "t/sub/deep"));
  const proto::CreateRequest create{pool.name("new"), O_RDWR, 0100640, 0, false, {}};
  auto created = pool.fs().create(pool.as(d), create);
  REQUIRE(created.has_value());
  pool.keep(created->entry);
  CHECK(pool.write(pool.keep(created->open), "text", 0, O_RDWR).has_value());
  CHECK(text_of(outside.path() / "t/new") == "text");
  CHECK_FALSE(pool.exists(0, "d"));
  CHECK(
      pool.fs().rename(pool.as(d), {pool.walk("d/sub"), pool.name("new"), pool.name("moved"), 0}));
  CHECK(text_of(outside.path() / "t/sub/moved") == "text");
  CHECK(pool.fs().unlink(pool.as(d), {pool.name("f")}));
  CHECK_FALSE(std::filesystem::exists(outside.path() / "t/f"));
  proto::SetattrRequest mode;
  mode.mode = 0700;
  REQUIRE(pool.fs().setattr(pool.as(d), mode).has_value());
  struct stat target {};
  REQUIRE(::stat((outside.path() / "t").c_str(), &target) == 0);
  CHECK(target.st_mode == 0040700);

  CHECK(pool.fs().rename(pool.as(kRootNode), {kRootNode, pool.name("d"), pool.name("e"), 0}));
  CHECK(pool.stat(1, "e").st_mode == 0120777);
  CHECK(pool.walk("e") == d);
  CHECK(pool.list(d) == std::vector<std::string>{"inner", "sub"});
  CHECK(pool.fs().rmdir(pool.as(kRootNode), {pool.name("e")}));
  CHECK_FALSE(pool.exists(1, "e"));
  CHECK(std::filesystem::exists(outside.path() / "t/sub/moved"));
}

TEST_CASE("follow-symlinks: below a followed directory a link stays a link") {
  if (!may_act_as_root()) return;
  const TempDir outside;
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kAll));
  fs::create_directories(outside.path() / "t/sub");
  fs::create_directory(outside.path() / "other");
  link_to(outside.path() / "other", outside.path() / "t/link");
  link_to(outside.path() / "t", outside.path() / "t/sub/up");
  link_to(outside.path() / "t", pool.branch(0) / "d");
  CHECK((entry(pool, pool.walk("d"), "link").entry.attr.mode & kType) == S_IFLNK);
  CHECK((entry(pool, pool.walk("d/sub"), "up").entry.attr.mode & kType) == S_IFLNK);
  std::array<std::byte, 4096> text{};
  const auto size = pool.fs().readlink(pool.as(pool.walk("d/link")), {}, text);
  REQUIRE(size.has_value());
  CHECK(std::string(reinterpret_cast<const char*>(text.data()), *size) ==
        (outside.path() / "other").string());
  CHECK(pool.fs().unlink(pool.as(pool.walk("d")), {pool.name("link")}));
  CHECK(fs::exists(outside.path() / "other"));
}

TEST_CASE("follow-symlinks: a directory below is the one that was looked up") {
  if (!may_act_as_root()) return;
  const TempDir outside;
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kAll));
  const auto at = [&](const char* path) { return outside.path() / path; };
  for (const char* const name : {"t/open/in", "t/secret/in"}) fs::create_directories(at(name));
  write_file(at("t/open/f"), "open");
  link_to(at("t"), pool.branch(0) / "one");
  link_to(at("t"), pool.branch(0) / "two");
  const NodeId one = pool.walk("one");
  const NodeId open = pool.walk("two/open");
  const NodeId in = pool.walk("two/open/in");
  CHECK(pool.walk("one/open") != open);
  const auto secret = tree_of(at("t/secret"));
  const auto stale = [&] {
    CHECK(list_error(pool, open) == ESTALE);
    CHECK(create_error(pool, open, "new") == ESTALE);
    CHECK(error_of(pool.lookup(open, "in")) == ESTALE);
    CHECK(error_of(pool.fs().unlink(pool.as(open), {pool.name("f")})) == ESTALE);
    CHECK(error_of(pool.fs().getattr(pool.as(open), {})) == ESTALE);
    CHECK(create_error(pool, in, "new") == ESTALE);
  };
  SUBCASE("by another link") {
    CHECK(pool.fs().rename(pool.as(one), {one, pool.name("open"), pool.name("away"), 0}));
    stale();
    CHECK(pool.fs().rename(pool.as(one), {one, pool.name("secret"), pool.name("open"), 0}));
    stale();
    CHECK(tree_of(at("t/open")) == secret);
    // Who looks now gets what is there now.
    CHECK(pool.walk("two/open") != open);
    CHECK(pool.list(pool.walk("two/open")) == std::vector<std::string>{"in"});
    CHECK(pool.list(pool.walk("two/away")) == std::vector<std::string>{"f", "in"});
  }
  SUBCASE("past the pool") {
    fs::rename(at("t/open"), at("away"));
    fs::rename(at("t/secret"), at("t/open"));
    stale();
    CHECK(tree_of(at("t/open")) == secret);
  }
  SUBCASE("the names move with a rename in the pool") {
    const NodeId two = pool.walk("two");
    CHECK(pool.fs().rename(pool.as(two), {two, pool.name("open"), pool.name("away"), 0}));
    CHECK(pool.walk("two/away") == open);
    CHECK(pool.list(open) == std::vector<std::string>{"f", "in"});
    CHECK(create_error(pool, in, "new") == 0);
    CHECK(fs::exists(at("t/away/in/new")));
    CHECK(pool.fs().unlink(pool.as(in), {pool.name("new")}));
    CHECK(pool.fs().rmdir(pool.as(open), {pool.name("in")}));
    CHECK(pool.list(open) == std::vector<std::string>{"f"});
  }
}

TEST_CASE("follow-symlinks: nothing comes in or out by a rename or a link") {
  if (!may_act_as_root()) return;
  const TempDir outside;
  PoolFixture pool({"RW", "RW"}, {}, following(FollowSymlinks::kAll));
  fs::create_directories(outside.path() / "t/sub");
  fs::create_directory(outside.path() / "other");
  write_file(outside.path() / "t/f", "outside");
  write_file(outside.path() / "g", "outside");
  pool.directory(1, "second");
  link_to(outside.path() / "other", pool.branch(1) / "second/d");
  pool.file(0, "plain/f", "inside");
  link_to(outside.path() / "t", pool.branch(0) / "d");
  link_to(outside.path() / "g", pool.branch(0) / "g");
  const NodeId d = pool.walk("d");
  const NodeId plain = pool.walk("plain");
  const auto moved = [&](NodeId from, const char* name, NodeId to) {
    return error_of(pool.fs().rename(pool.as(from), {to, pool.name(name), pool.name("new"), 0}));
  };
  const auto linked = [&](const char* name, NodeId to) {
    return error_of(pool.fs().link(pool.as(to), {pool.walk(name), pool.name("new")}));
  };
  CHECK(moved(d, "f", plain) == EXDEV);
  CHECK(moved(d, "sub", plain) == EXDEV);
  CHECK(moved(plain, "f", d) == EXDEV);
  CHECK(linked("d/f", plain) == EXDEV);
  CHECK(linked("g", plain) == EXDEV);
  CHECK(linked("plain/f", d) == EXDEV);
  // Nor from one branch's link to another's.
  CHECK(moved(d, "f", pool.walk("second/d")) == EXDEV);
  CHECK(linked("d/f", pool.walk("second/d")) == EXDEV);
  CHECK_FALSE(pool.exists(0, "second"));
  CHECK(moved(d, "f", pool.walk("d/sub")) == 0);
  auto second = pool.fs().link(pool.as(d), {pool.walk("d/sub/new"), pool.name("new")});
  REQUIRE(second.has_value());
  CHECK(pool.keep(*second) == pool.walk("d/sub/new"));
  CHECK(text_of(outside.path() / "t/new") == "outside");
}

TEST_CASE("follow-symlinks: a followed directory is its branch's alone") {
  if (!may_act_as_root()) return;
  const TempDir outside;
  PoolFixture pool({"RW", "RW", "RW"}, {}, following(FollowSymlinks::kDirectory));
  fs::create_directories(outside.path() / "sub");
  write_file(outside.path() / "f", "linked");
  pool.file(0, "d2/f", "first");
  link_to(outside.path(), pool.branch(1) / "d");
  link_to(outside.path(), pool.branch(1) / "d2");
  pool.file(2, "d/f", "plain");
  pool.file(2, "d/plain", "plain");
  pool.directory(2, "d/sub/deep");
  const auto before = trees_of(pool, 3);

  SUBCASE("the link is shown") {
    const NodeId d = pool.walk("d");
    CHECK(pool.list(d) == std::vector<std::string>{"f", "sub"});
    CHECK(pool.list(pool.walk("d/sub")).empty());
    CHECK(pool.read(pool.open(pool.walk("d/f"), O_RDONLY)) == "linked");
    CHECK(pool.lookup(d, "plain").error().value() == ENOENT);
    // Nothing is made, changed or removed elsewhere, whatever the policies say.
    for (const char* const word : {"mfs", "epmfs", "lfs", "pfrd", "ff", "all"}) {
      CAPTURE(word);
      pool.settings().create = policy::find(policy::create_policies(), word);
      CHECK(create_error(pool, d, "new") == 0);
      CHECK(fs::remove(outside.path() / "new"));
      auto made = pool.fs().mkdir(pool.as(pool.walk("d/sub")), {pool.name("new"), 0700, 0, {}});
      REQUIRE(made.has_value());
      pool.keep(*made);
      CHECK(pool.fs().rmdir(pool.as(pool.walk("d/sub")), {pool.name("new")}));
    }
    CHECK(pool.fs().rename(pool.as(d), {pool.walk("d/sub"), pool.name("f"), pool.name("g"), 0}));
    CHECK(text_of(outside.path() / "sub/g") == "linked");
    CHECK(pool.fs().unlink(pool.as(pool.walk("d/sub")), {pool.name("g")}));
    proto::SetattrRequest mode;
    mode.mode = 0700;
    CHECK(pool.fs().setattr(pool.as(d), mode).has_value());
    CHECK(pool.fs().setattr(pool.as(pool.walk("d/sub")), mode).has_value());
    CHECK(pool.stat(2, "d").st_mode == 0040755);
    CHECK(pool.stat(2, "d/sub").st_mode == 0040755);
    CHECK(trees_of(pool, 3) == before);
    // Its name is a link's: that goes, and the directory that it hid is seen.
    CHECK(pool.fs().rmdir(pool.as(kRootNode), {pool.name("d")}));
    CHECK_FALSE(pool.exists(1, "d"));
    CHECK(pool.text(2, "d/plain") == "plain");
    CHECK(pool.list(pool.walk("d")) == std::vector<std::string>{"f", "plain", "sub"});
    CHECK(error_of(pool.fs().getattr(pool.as(d), {})) == ESTALE);
  }
  SUBCASE("a directory is shown") {
    const NodeId d = pool.walk("d2");
    CHECK(pool.list(d) == std::vector<std::string>{"f"});
    CHECK(pool.lookup(d, "sub").error().value() == ENOENT);
    CHECK(create_error(pool, d, "new") == 0);
    CHECK_FALSE(fs::exists(outside.path() / "new"));
    CHECK(pool.fs().unlink(pool.as(d), {pool.name("f")}));
    CHECK(text_of(outside.path() / "f") == "linked");
    CHECK(pool.fs().unlink(pool.as(d), {pool.name("new")}));
    CHECK(pool.fs().rmdir(pool.as(kRootNode), {pool.name("d2")}));
    CHECK(pool.exists(1, "d2"));
    CHECK(fs::exists(outside.path() / "sub"));
  }
}

TEST_CASE("follow-symlinks: nothing is made below a link of a read-only branch") {
  if (!may_act_as_root()) return;
  const TempDir outside;
  PoolFixture pool({"RO", "RW"}, {}, following(FollowSymlinks::kDirectory));
  link_to(outside.path(), pool.branch(0) / "d");
  fs::create_directory(outside.path() / "sub");
  const NodeId d = pool.walk("d");
  for (const NodeId directory : {d, pool.walk("d/sub")}) {
    CHECK(create_error(pool, directory, "new") == EROFS);
    CHECK(error_of(pool.fs().mkdir(pool.as(directory), {pool.name("new"), 0700, 0, {}})) == EROFS);
  }
  CHECK(error_of(pool.fs().rmdir(pool.as(d), {pool.name("sub")})) == EROFS);
  CHECK(error_of(pool.fs().rmdir(pool.as(kRootNode), {pool.name("d")})) == EROFS);
  CHECK(fs::is_empty(pool.branch(1)));
  CHECK(fs::exists(outside.path() / "sub"));
}

TEST_CASE("follow-symlinks: a link that is swapped after the look-up gets nothing") {
  if (!may_act_as_root()) return;
  PoolFixture pool({"RW", "RW"}, {}, following(FollowSymlinks::kAll));
  pool.directory(0, "home");
  REQUIRE(::chown((pool.branch(0) / "home").c_str(), kUser, kUser) == 0);
  const Swap swap(pool.branch(0) / "home/d");
  const NodeId d = pool.walk("home/d");
  const NodeId sub = pool.walk("home/d/sub");
  const NodeId f = pool.walk("home/d/f");
  const auto secret = tree_of(swap.at("secret"));
  const auto nothing = [&] {
    CHECK(list_error(pool, d) == ESTALE);
    CHECK(error_of(pool.lookup(d, "f")) == ESTALE);
    CHECK(error_of(pool.lookup(d, "new")) == ESTALE);
    CHECK(error_of(pool.fs().getattr(pool.as(d), {})) == ESTALE);
    CHECK(error_of(pool.fs().unlink(pool.as(d), {pool.name("f")})) == ESTALE);
    CHECK(error_of(pool.fs().rmdir(pool.as(d), {pool.name("sub")})) == ESTALE);
    CHECK(create_error(pool, d, "new") == ESTALE);
    CHECK(error_of(pool.fs().mkdir(pool.as(d), {pool.name("new"), 0700, 0, {}})) == ESTALE);
    CHECK(error_of(pool.fs().symlink(pool.as(d), {pool.name("new"), "x", {}})) == ESTALE);
    CHECK(error_of(pool.fs().link(pool.as(d), {f, pool.name("new")})) == ESTALE);
    CHECK(error_of(pool.fs().rename(pool.as(d), {d, pool.name("f"), pool.name("stolen"), 0})) ==
          ESTALE);
    proto::SetattrRequest mode;
    mode.mode = 0777;
    CHECK(error_of(pool.fs().setattr(pool.as(d), mode)) == ESTALE);
    CHECK(list_error(pool, sub) == ESTALE);
    const int in_sub = create_error(pool, sub, "new");
    CHECK((in_sub == ESTALE || in_sub == ENOENT));
    CHECK(open_error(pool, f, O_RDONLY) == ESTALE);
    CHECK(tree_of(swap.at("secret")) == secret);
  };
  SUBCASE("to another directory") {
    swap.to("secret");
    nothing();
    // Who looks now sees the other directory, as another node.
    const NodeId other = pool.walk("home/d");
    CHECK(other != d);
    CHECK(pool.read(pool.open(pool.walk("home/d/f"), O_RDONLY)) == "secret");
    nothing();
    swap.to("open");
    CHECK(error_of(pool.fs().unlink(pool.as(other), {pool.name("f")})) == ESTALE);
    CHECK(text_of(swap.at("open/f")) == "open");
    CHECK(tree_of(swap.at("secret")) == secret);
  }
  SUBCASE("to a directory that is none of a link") {
    fs::remove(pool.branch(0) / "home/d");
    pool.file(0, "home/d/f", "plain");
    nothing();
    CHECK(pool.text(0, "home/d/f") == "plain");
  }
  SUBCASE("to nothing") {
    fs::remove(pool.branch(0) / "home/d");
    nothing();
  }
  SUBCASE("and back") {
    swap.to("secret");
    nothing();
    swap.to("open");
    CHECK(pool.list(d) == std::vector<std::string>{"f", "sub"});
    CHECK(pool.walk("home/d") == d);
    CHECK(create_error(pool, d, "new") == 0);
    CHECK(fs::exists(swap.at("open/new")));
  }
  SUBCASE("by a link that is not followed any more") {
    pool.settings().links.follow = FollowSymlinks::kRegular;
    CHECK(list_error(pool, d) == ESTALE);
    CHECK(create_error(pool, d, "new") == ESTALE);
    CHECK(type(pool, "home") == S_IFDIR);
  }
}

TEST_CASE("follow-symlinks: a link that is swapped during a call gets nothing") {
  if (!may_act_as_root()) return;
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, with_faults(faults), following(FollowSymlinks::kDirectory));
  const Swap swap(pool.branch(0) / "d");
  const auto secret = tree_of(swap.at("secret"));
  const NodeId d = pool.walk("d");
  // Whoever swaps is another thread than the one that acts as its caller.
  std::atomic<int> turn{0};
  std::thread swapper([&] {
    for (;;) {
      turn.wait(0);
      if (turn == 2) return;
      swap.to("secret");
      turn = 0;
      turn.notify_all();
    }
  });
  // At each call into the kernel that a request makes.
  for (std::uint64_t nth = 1; nth < 80; ++nth) {
    CAPTURE(nth);
    for (const bool unlinks : {true, false}) {
      swap.to("open");
      write_file(swap.at("open/f"), "open");
      faults->reset();
      faults->before({Call::kAny, nth, 1, {}}, [&] {
        turn = 1;
        turn.notify_all();
        turn.wait(1);
      });
      const int error = unlinks ? error_of(pool.fs().unlink(pool.as(d), {pool.name("f")}))
                                : create_error(pool, d, "new");
      faults->reset();
      CHECK((error == 0 || error == ESTALE));
      CHECK(tree_of(swap.at("secret")) == secret);
      if (error == 0 && unlinks) CHECK_FALSE(fs::exists(swap.at("open/f")));
      if (error == 0 && !unlinks) CHECK(fs::exists(swap.at("open/new")));
      fs::remove(swap.at("open/new"));
    }
  }
  turn = 2;
  turn.notify_all();
  swapper.join();
}

TEST_CASE("follow-symlinks: users are told paths as they know them") {
  if (!may_act_as_root()) return;
  const TempDir outside;
  PoolFixture pool({"RW", "RW"}, {}, [](ops::Settings& settings) {
    settings.links.follow = FollowSymlinks::kAll;
    settings.links.rename_exdev = ops::RenameExdev::kRelative;
    settings.links.link_exdev = ops::LinkExdev::kRelative;
  });
  fs::create_directory(outside.path() / "sub");
  write_file(outside.path() / "sub/f", "text");
  link_to(outside.path(), pool.branch(1) / "d");
  pool.file(0, "other", "text");
  const NodeId f = pool.walk("d/sub/f");
  const auto told = [&](NodeId node, const char* key) {
    std::array<std::byte, 4096> text{};
    const auto size = pool.fs().getxattr(pool.as(node), {key, text.size()}, text);
    REQUIRE(size.has_value());
    return std::string(reinterpret_cast<const char*>(text.data()), *size);
  };
  CHECK(told(f, "user.mergerfs.relpath") == "d/sub/f");
  CHECK(told(f, "user.mergerfs.fullpath") == (pool.branch(1) / "d/sub/f").string());
  CHECK(told(f, "user.mergerfs.allpaths") == (pool.branch(1) / "d/sub/f").string());
  CHECK(told(pool.walk("d/sub"), "user.mergerfs.relpath") == "d/sub");
  // Only the link's branch is asked about.
  const std::string why = told(pool.walk("d/sub"), "user.boughfs.explain.create");
  CHECK(why.find(pool.branch(1).string()) != std::string::npos);
  CHECK(why.find(pool.branch(0).string()) == std::string::npos);
  // Between the link's branch and another nothing is put aside or linked by its text.
  const NodeId sub = pool.walk("d/sub");
  const NodeId other = pool.walk("other");
  CHECK(error_of(pool.fs().rename(pool.as(kRootNode),
                                  {sub, pool.name("other"), pool.name("new"), 0})) == EXDEV);
  CHECK(error_of(pool.fs().link(pool.as(sub), {other, pool.name("new")})) == EXDEV);
  CHECK(pool.exists(0, "other"));
  CHECK(pool.list(sub) == std::vector<std::string>{"f"});
}

TEST_CASE("a followed directory in a path is told by its node") {
  const std::string marked =
      "a/" + std::string(ops::MarkedName("link", NodeId{0x1234}).view()) + "/b";
  CHECK(ops::is_followed(marked));
  CHECK_FALSE(ops::is_followed("a/link/b"));
  CHECK(ops::plain_path(marked) == "a/link/b");
  CHECK(ops::plain_path("") == "");
  CHECK(ops::plain_part(marked) == "a");
  CHECK(ops::plain_part(std::string_view(marked).substr(2)) == "");
  std::string_view path = marked;
  CHECK(ops::take_step(path).followed == proto::kNoNode);
  const ops::PathStep link = ops::take_step(path);
  CHECK(link.name == "link");
  CHECK(link.followed == NodeId{0x1234});
  CHECK(path == "b");
  // As plain text it leads nowhere.
  PoolFixture pool({"RW"});
  pool.directory(0, "a/link/b");
  const auto root = pool.backing().open_root(pool.branch(0).string());
  REQUIRE(root.has_value());
  for (const auto openat2 : {ops::Openat2::kUse, ops::Openat2::kAvoid}) {
    const auto backing = ops::make_posix_backing(openat2);
    CHECK(backing->open_directory(root->get(), "a/link/b", O_PATH, false).has_value());
    CHECK(error_of(backing->open_directory(root->get(), marked, O_PATH, false)) == ELOOP);
  }
}

}  // namespace bough::test
