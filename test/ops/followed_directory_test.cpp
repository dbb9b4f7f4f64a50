#include <doctest/doctest.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

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
constexpr uid_t kOther = 4321;

int error_of(const proto::Result<void>& done) {
  return done ? 0 : done.error().value();
}

template <class T>
int error_of(const proto::Result<T>& done) {
  return done ? 0 : done.error().value();
}

/// What came of opening and reading a directory.
int list_error(PoolFixture& pool, NodeId directory) {
  auto opened = pool.fs().opendir(pool.as(directory), proto::OpendirRequest{});
  if (!opened) return opened.error().value();
  const auto handle = pool.keep(*opened, true);
  std::array<std::byte, 4096> buffer;
  proto::DirentPacker packer(buffer);
  proto::ReaddirRequest request;
  request.handle = handle;
  request.size = buffer.size();
  const int error = error_of(pool.fs().readdir(pool.as(directory), request, packer));
  pool.release(handle);
  return error;
}

int create_error(PoolFixture& pool, NodeId parent, const char* name) {
  auto made = pool.fs().create(pool.as(parent), {pool.name(name), O_RDWR, 0100640, 0, false, {}});
  if (!made) return made.error().value();
  pool.keep(made->entry);
  pool.release(pool.keep(made->open));
  return 0;
}

/// A mount of its own, with the flags of the mount that its place is on and others.
class Mounted {
 public:
  Mounted(const fs::path& at, const char* type, unsigned long more) : at_(at) {
    struct statvfs home {};
    REQUIRE(::statvfs(at.c_str(), &home) == 0);
    unsigned long flags = more;
    if ((home.f_flag & ST_NOSUID) != 0) flags |= MS_NOSUID;
    if ((home.f_flag & ST_NODEV) != 0) flags |= MS_NODEV;
    if ((home.f_flag & ST_NOEXEC) != 0) flags |= MS_NOEXEC;
    if (std::string_view(type) == "bind") {
      REQUIRE(::mount(at.c_str(), at.c_str(), nullptr, MS_BIND, nullptr) == 0);
      REQUIRE(::mount(nullptr, at.c_str(), nullptr, MS_BIND | MS_REMOUNT | flags, nullptr) == 0);
    } else {
      REQUIRE(::mount(type, at.c_str(), type, flags, nullptr) == 0);
    }
    added_ = (flags & ~home.f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY)) != 0;
  }
  ~Mounted() { ::umount2(at_.c_str(), MNT_DETACH); }
  Mounted(const Mounted&) = delete;
  Mounted& operator=(const Mounted&) = delete;
  /// Whether it has a flag that its place has not.
  [[nodiscard]] bool is_narrower() const noexcept { return added_; }

 private:
  fs::path at_;
  bool added_ = false;
};

/// What a user may swap: a link between a directory of his own and one that is not.
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
    link_to(at(name), next, kUser);
    fs::rename(next, link_);
  }

 private:
  const TempDir outside_;
  const fs::path link_;
};

}  // namespace

TEST_CASE("follow-symlinks: a directory is used through the link to it") {
  const TempDir outside;
  PoolFixture pool({"RW", "RW"}, {}, following(FollowSymlinks::kAll));
  std::filesystem::create_directories(outside.path() / "t/sub");
  write_file(outside.path() / "t/f", "target");
  link_to("f", outside.path() / "t/inner");
  link_to(outside.path() / "t", pool.branch(1) / "d");
  const auto shown = entry(pool, kRootNode, "d");
  CHECK(shown.entry.attr.mode == 0040755);
  const NodeId d = shown.entry.node;
  CHECK(pool.list(d) == std::vector<std::string>{"f", "inner", "sub"});
  CHECK(pool.fs().getattr(pool.as(d), {})->attr.mode == 0040755);
  CHECK(pool.read(pool.open(pool.walk("d/f"), O_RDONLY)) == "target");
  CHECK((entry(pool, d, "inner").entry.attr.mode & kType) == S_IFREG);

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

TEST_CASE("follow-symlinks: no way goes in a circle, or into the pool") {
  const TempDir outside;
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kDirectory));
  pool.directory(0, "a/b");
  link_to(".", pool.branch(0) / "a/self");
  link_to("..", pool.branch(0) / "a/b/up");
  link_to("../..", pool.branch(0) / "a/b/top");
  link_to(outside.path(), pool.branch(0) / "a/out");
  link_to(pool.branch(0), outside.path() / "back");
  link_to(pool.branch(0).parent_path(), pool.branch(0) / "above");
  link_to("/", pool.branch(0) / "root");
  CHECK((entry(pool, pool.walk("a"), "self").entry.attr.mode & kType) == S_IFLNK);
  CHECK((entry(pool, pool.walk("a/b"), "up").entry.attr.mode & kType) == S_IFLNK);
  CHECK((entry(pool, pool.walk("a/b"), "top").entry.attr.mode & kType) == S_IFLNK);
  CHECK((entry(pool, pool.walk("a/out"), "back").entry.attr.mode & kType) == S_IFLNK);
  // From above the branch, its own directory leads to where the way came from.
  const NodeId above = pool.walk("above");
  const auto again = pool.lookup(above, pool.branch(0).filename().string());
  if (again) {
    auto found = entry(pool, above, pool.branch(0).filename().string());
    CHECK_FALSE(pool.lookup(found.entry.node, "a").has_value());
  }
  // Other file systems below it may be the kernel's own, or wait for this pool.
  const NodeId root = pool.walk("root");
  CHECK(pool.list(root).size() > 3);
  CHECK(pool.lookup(root, "proc").error().value() == ENOENT);
}

TEST_CASE("follow-symlinks: a directory where the link's owner may not go stays a link") {
  const TempDir outside;
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kAll));
  std::filesystem::create_directories(outside.path() / "secret/t");
  REQUIRE(::chmod((outside.path() / "secret").c_str(), 0700) == 0);
  link_to(outside.path() / "secret/t", pool.branch(0) / "roots");
  link_to(outside.path() / "secret/t", pool.branch(0) / "his", 1234);
  CHECK(type(pool, "roots") == S_IFDIR);
  CHECK(type(pool, "his") == S_IFLNK);
  const NodeId roots = pool.walk("roots");
  REQUIRE(::lchown((pool.branch(0) / "roots").c_str(), 1234, 1234) == 0);
  pool.fs().idle();
  CHECK_FALSE(pool.fs().opendir(pool.as(roots), proto::OpendirRequest{}).has_value());
}

TEST_CASE("follow-symlinks: a followed directory is its branch's alone") {
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
  PoolFixture pool({"RW", "RW"}, {}, following(FollowSymlinks::kAll));
  pool.directory(0, "home");
  REQUIRE(::chown((pool.branch(0) / "home").c_str(), kUser, kUser) == 0);
  const Swap swap(pool.branch(0) / "home/d");
  const NodeId d = pool.walk("home/d");
  const NodeId sub = pool.walk("home/d/sub");
  const NodeId f = pool.walk("home/d/f");
  const NodeId home = pool.walk("home");
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
    CHECK(error_of(pool.fs().rename(pool.as(d), {home, pool.name("f"), pool.name("stolen"), 0})) ==
          ESTALE);
    CHECK(error_of(pool.fs().rename(pool.as(home), {d, pool.name("own"), pool.name("f"), 0})) ==
          ESTALE);
    proto::SetattrRequest mode;
    mode.mode = 0777;
    CHECK(error_of(pool.fs().setattr(pool.as(d), mode)) == ESTALE);
    CHECK(list_error(pool, sub) == ESTALE);
    const int in_sub = create_error(pool, sub, "new");
    CHECK((in_sub == ESTALE || in_sub == ENOENT));
    CHECK(open_error(pool, f, O_RDONLY) == ESTALE);
    CHECK(tree_of(swap.at("secret")) == secret);
    CHECK_FALSE(pool.exists(0, "home/stolen"));
  };
  pool.file(0, "home/own", "own");
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
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, with_faults(faults), following(FollowSymlinks::kDirectory));
  const Swap swap(pool.branch(0) / "d");
  const auto secret = tree_of(swap.at("secret"));
  const NodeId d = pool.walk("d");
  // Whoever swaps is another thread than the one that acts as the link's owner.
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

TEST_CASE("follow-symlinks: a link on the way of another user's link") {
  const TempDir outside;
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kAll));
  const auto at = [&](const char* path) { return outside.path() / path; };
  fs::create_directories(at("secret/t"));
  fs::create_directory(at("open"));
  REQUIRE(::chmod(at("secret").c_str(), 0700) == 0);
  link_to(at("secret/t"), at("root_to_secret"));
  link_to(at("secret/t"), at("his_to_secret"), kUser);
  link_to(at("open"), at("root_to_open"));
  link_to(at("open"), at("his_to_open"), kUser);
  link_to(at("his_to_open"), at("root_to_his"));
  const auto shown = [&](const char* target, uid_t owner) {
    link_to(at(target), pool.branch(0) / "link", owner);
    const std::uint32_t found = type(pool, "link");
    fs::remove(pool.branch(0) / "link");
    return found;
  };
  CHECK(shown("root_to_secret", 0) == S_IFDIR);
  CHECK(shown("root_to_secret", kUser) == S_IFLNK);
  CHECK(shown("his_to_secret", 0) == S_IFLNK);
  CHECK(shown("his_to_secret", kUser) == S_IFLNK);
  CHECK(shown("root_to_open", kUser) == S_IFDIR);
  CHECK(shown("his_to_open", 0) == S_IFDIR);
  CHECK(shown("his_to_open", kUser) == S_IFDIR);
  CHECK(shown("his_to_open", kOther) == S_IFLNK);
  CHECK(shown("root_to_his", kUser) == S_IFDIR);
  CHECK(shown("root_to_his", kOther) == S_IFLNK);
}

TEST_CASE("follow-symlinks: a root's link in a directory of others has their rights") {
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kAll));
  pool.directory(0, "home/private/t");
  REQUIRE(::chmod((pool.branch(0) / "home/private").c_str(), 0700) == 0);
  link_to("private/t", pool.branch(0) / "home/link");
  const NodeId home = pool.walk("home");
  CHECK((entry(pool, home, "link").entry.attr.mode & kType) == S_IFDIR);
  // He may call anything of root's there "private".
  REQUIRE(::chown((pool.branch(0) / "home").c_str(), kUser, kUser) == 0);
  CHECK((entry(pool, home, "link").entry.attr.mode & kType) == S_IFLNK);
  REQUIRE(::chmod((pool.branch(0) / "home/private").c_str(), 0755) == 0);
  CHECK((entry(pool, home, "link").entry.attr.mode & kType) == S_IFDIR);
}

TEST_CASE("follow-symlinks: no link is followed in a directory with the sticky bit") {
  const TempDir outside;
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kAll));
  write_file(outside.path() / "f", "text");
  fs::create_directory(outside.path() / "d");
  pool.directory(0, "shared");
  link_to(outside.path() / "f", pool.branch(0) / "shared/file");
  link_to(outside.path() / "d", pool.branch(0) / "shared/d", kUser);
  const auto types = [&] {
    const NodeId shared = pool.walk("shared");
    return std::array{entry(pool, shared, "file").entry.attr.mode & kType,
                      entry(pool, shared, "d").entry.attr.mode & kType};
  };
  using Types = std::array<std::uint32_t, 2>;
  CHECK(types() == Types{S_IFREG, S_IFDIR});
  REQUIRE(::chmod((pool.branch(0) / "shared").c_str(), 01777) == 0);
  CHECK(types() == Types{S_IFLNK, S_IFLNK});
  // On the way it is as with protected_symlinks.
  link_to("shared/d", pool.branch(0) / "through");
  CHECK(type(pool, "through") == S_IFLNK);
  REQUIRE(::lchown((pool.branch(0) / "shared/d").c_str(), 0, 0) == 0);
  CHECK(type(pool, "through") == S_IFDIR);
}

TEST_CASE("follow-symlinks: a target on a mount with less rights stays a link") {
  const TempDir outside;
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kAll));
  for (const char* const kind : {"bind", "tmpfs"}) {
    for (const unsigned long flag : {0UL, MS_NOSUID + 0UL, MS_NODEV + 0UL, MS_NOEXEC + 0UL}) {
      CAPTURE(kind);
      CAPTURE(flag);
      const fs::path at = outside.path() / "mount";
      fs::create_directory(at);
      const Mounted mounted(at, kind, flag);
      write_file(at / "f", "text");
      fs::create_directory(at / "d");
      const std::uint32_t expected = mounted.is_narrower() ? S_IFLNK : 0;
      for (const char* const name : {"f", "d"}) {
        link_to(at / name, pool.branch(0) / "link");
        const std::uint32_t found = type(pool, "link");
        CHECK((found == S_IFLNK) == (expected == S_IFLNK));
        fs::remove(pool.branch(0) / "link");
      }
      // From above it is not there.
      link_to(outside.path(), pool.branch(0) / "above");
      const auto seen = pool.lookup(pool.walk("above"), "mount");
      CHECK(seen.has_value() == !mounted.is_narrower());
      fs::remove(pool.branch(0) / "above");
      fs::remove(at / "f");
      fs::remove(at / "d");
    }
    fs::remove_all(outside.path() / "mount");
  }
}

TEST_CASE("follow-symlinks: what may wait for the pool is not entered") {
  FaultyBacking* faults = nullptr;
  const TempDir outside;
  PoolFixture pool({"RW"}, with_faults(faults), following(FollowSymlinks::kAll));
  const fs::path at = outside.path() / "mount";
  fs::create_directory(at);
  const Mounted mounted(at, "tmpfs", 0);
  fs::create_directory(at / "d");
  link_to(at / "d", pool.branch(0) / "to_it");
  link_to(outside.path(), pool.branch(0) / "above");
  link_to(at / "d/../../other", pool.branch(0) / "through");
  fs::create_directory(outside.path() / "other");
  const auto reached = [&] {
    const bool below = pool.lookup(pool.walk("above"), "mount").has_value();
    return std::array{type(pool, "to_it") == S_IFDIR, below, type(pool, "through") == S_IFDIR};
  };
  using Reached = std::array<bool, 3>;
  CHECK(reached() == Reached{true, true, true});
  const NodeId in_it = pool.walk("above/mount/d");
  struct Kind {
    const char* type;
    std::uint32_t major;
    bool allowed;
  };
  for (const Kind& kind :
       {Kind{"fuse.boughfs", 0, false}, Kind{"fuse", 0, false}, Kind{"fuseblk", 8, false},
        Kind{"overlay", 0, false}, Kind{"nfs4", 0, false}, Kind{"cifs", 0, false},
        Kind{"autofs", 0, false}, Kind{"proc", 0, false}, Kind{"sysfs", 0, false},
        Kind{"9p", 0, false}, Kind{"devtmpfs", 0, false}, Kind{"ramfs", 0, true},
        Kind{"btrfs", 0, true}, Kind{"zfs", 0, true}, Kind{"bcachefs", 0, true},
        Kind{"ext4", 8, true}, Kind{"xfs", 253, true}, Kind{"vfat", 8, true}}) {
    CAPTURE(kind.type);
    faults->bend_mount([&](ops::Mount& mount) {
      if (mount.type != "tmpfs") return;
      mount.type = kind.type;
      mount.device_major = kind.major;
    });
    // Nothing in it is asked for anything.
    faults->reset();
    const auto found = reached();
    if (!kind.allowed) CHECK(faults->calls(Call::kStatfs) == 0);
    const bool passed = kind.allowed || std::string_view(kind.type) == "devtmpfs";
    CHECK(found == Reached{kind.allowed, kind.allowed, passed});
    CHECK((list_error(pool, in_it) == 0) == kind.allowed);
  }
  faults->bend_mount([](ops::Mount&) {});
  // A branch's own file system may be any.
  faults->fail({Call::kMount, 1, FaultyBacking::kAlways, {}}, ENOENT);
  CHECK(reached() == Reached{false, false, false});
  faults->reset();
  // A kernel that does not number its mounts.
  faults->fail({Call::kMountId, 1, FaultyBacking::kAlways, {}}, ENOSYS);
  CHECK(reached() == Reached{false, false, false});
  faults->reset();
  CHECK(reached() == Reached{true, true, true});
}

TEST_CASE("follow-symlinks: without posix-acl nothing that has an ACL") {
  const TempDir outside;
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kAll));
  fs::create_directory(outside.path() / "d");
  write_file(outside.path() / "d/open", "text");
  write_file(outside.path() / "d/f", "text", 0660);
  // user::rw-, user:1234:rw-, group::---, mask::rw-, other::---: the mode says that the group may.
  const std::array<std::uint16_t, 22> acl{2,      0,      1,    6, 0xffff, 0xffff, 2,    6,
                                          kUser,  0,      4,    0, 0xffff, 0xffff, 0x10, 6,
                                          0xffff, 0xffff, 0x20, 0, 0xffff, 0xffff};
  const auto give = [&](const char* path) {
    return ::setxattr((outside.path() / path).c_str(), "system.posix_acl_access", acl.data(),
                      sizeof(acl), 0);
  };
  REQUIRE(give("d/f") == 0);
  link_to(outside.path() / "d", pool.branch(0) / "d");
  link_to(outside.path() / "d/f", pool.branch(0) / "f");
  CHECK(type(pool, "f") == S_IFLNK);
  CHECK(pool.lookup(pool.walk("d"), "f").error().value() == ENOENT);
  CHECK(pool.walk("d/open") != proto::kNoNode);
  pool.settings().posix_acl = true;
  CHECK(type(pool, "f") == S_IFREG);
  CHECK(pool.walk("d/f") != proto::kNoNode);
  pool.settings().posix_acl = false;
  REQUIRE(give("d") == 0);
  CHECK(type(pool, "d") == S_IFLNK);
}

TEST_CASE("follow-symlinks: not where the kernel maps ids") {
  const TempDir outside;
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kAll));
  link_to(outside.path(), pool.branch(0) / "d");
  const NodeId d = pool.walk("d");
  pool.settings().allow_idmap = true;
  CHECK(type(pool, "d") == S_IFLNK);
  CHECK(list_error(pool, d) == ESTALE);
}

TEST_CASE("follow-symlinks: users are told paths as they know them") {
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
