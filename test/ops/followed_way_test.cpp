#include <doctest/doctest.h>
#include <sys/xattr.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "test/ops/followed_ground.hpp"

// How far links lead, and which are followed at all.
namespace bough::test {
namespace {

namespace fs = std::filesystem;
constexpr uid_t kUser = 1234;

}  // namespace

TEST_CASE("follow-symlinks: nothing of a branch, nor what a branch lies in, is a target") {
  if (!may_act_as_root()) return;
  const TempDir outside;
  PoolFixture pool({"RW", "RW"}, {}, following(FollowSymlinks::kAll));
  pool.file(0, "a/f", "text");
  pool.file(1, "a/f", "text");
  const auto shown = [&](const fs::path& target) {
    link_to(target, pool.branch(0) / "link");
    const std::uint32_t found = type(pool, "link");
    fs::remove(pool.branch(0) / "link");
    return found;
  };
  for (const std::size_t i : {0U, 1U}) {
    CHECK(shown(pool.branch(i)) == S_IFLNK);
    CHECK(shown(pool.branch(i) / "a") == S_IFLNK);
    CHECK(shown(pool.branch(i) / "a/f") == S_IFLNK);
    CHECK(shown(pool.branch(i) / "a/..") == S_IFLNK);
  }
  CHECK(shown(pool.branch(0).parent_path()) == S_IFLNK);
  CHECK(shown("/") == S_IFLNK);
  // Beside them, also where the name begins like theirs.
  fs::create_directory(pool.branch(0).string() + "-more");
  CHECK(shown(pool.branch(0).string() + "-more") == S_IFDIR);
  SUBCASE("by mounts from elsewhere") {
    for (const fs::path& from :
         {pool.branch(1), pool.branch(1) / "a", pool.branch(1).parent_path()}) {
      CAPTURE(from);
      const fs::path at = outside.path() / "mount";
      fs::create_directory(at);
      link_to(outside.path(), pool.branch(0) / "above");
      const NodeId before = pool.walk("above/mount");
      {
        const Mounted mounted(at, "bind", 0, from);
        CHECK(shown(at) == S_IFLNK);
        if (fs::exists(at / "a")) CHECK(shown(at / "a") == S_IFLNK);
        CHECK(type(pool, "above") == S_IFDIR);
        CHECK(pool.lookup(pool.walk("above"), "mount").error().value() == EACCES);
        CHECK(list_error(pool, before) == ESTALE);
      }
      CHECK(shown(at) == S_IFDIR);
      fs::remove(pool.branch(0) / "above");
      fs::remove(at);
    }
  }
  SUBCASE("by mounts in a branch") {
    const fs::path at = pool.branch(1) / "mount";
    fs::create_directory(at);
    fs::create_directories(outside.path() / "t/sub");
    CHECK(shown(outside.path() / "t") == S_IFDIR);
    const Mounted mounted(at, "bind", 0, outside.path() / "t");
    CHECK(shown(outside.path() / "t") == S_IFLNK);
    CHECK(shown(outside.path() / "t/sub") == S_IFLNK);
    CHECK(shown(outside.path()) == S_IFLNK);
  }
  SUBCASE("under another name of the file") {
    write_file(outside.path() / "f", "text");
    CHECK(shown(outside.path() / "f") == S_IFREG);
    fs::create_hard_link(outside.path() / "f", pool.branch(1) / "f");
    CHECK(shown(outside.path() / "f") == S_IFLNK);
  }
}

TEST_CASE("follow-symlinks: where a place is must be known") {
  if (!may_act_as_root()) return;
  FaultyBacking* faults = nullptr;
  const TempDir outside;
  PoolFixture pool({"RW"}, with_faults(faults), following(FollowSymlinks::kAll));
  fs::create_directory(outside.path() / "d");
  link_to(outside.path() / "d", pool.branch(0) / "d");
  CHECK(type(pool, "d") == S_IFDIR);
  for (const Call call : {Call::kPathOf, Call::kMounts, Call::kMountId}) {
    faults->fail({call, 1, FaultyBacking::kAlways, {}}, ENOENT);
    CHECK(type(pool, "d") == S_IFLNK);
    faults->reset();
  }
  CHECK(type(pool, "d") == S_IFDIR);
}

TEST_CASE("follow-symlinks: only links of root's in directories of root's count on the way") {
  if (!may_act_as_root()) return;
  const TempDir outside;
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kAll));
  const auto at = [&](const std::string& path) { return outside.path() / path; };
  fs::create_directories(at("secret/t"));
  REQUIRE(::chmod(at("secret").c_str(), 0700) == 0);
  fs::create_directory(at("links"));
  link_to("../secret/t", at("links/roots"));
  link_to(at("secret/t"), at("links/his"), kUser);
  link_to(at("links/roots"), at("links/twice"));
  link_to(at("links/his"), at("links/to_his"));
  link_to(at("secret"), at("links/directory"));
  const auto shown = [&](const std::string& target) {
    link_to(at(target), pool.branch(0) / "link");
    const std::uint32_t found = type(pool, "link");
    fs::remove(pool.branch(0) / "link");
    return found;
  };
  for (const char* const good : {"secret/t", "links/roots", "links/twice", "links/directory/t"})
    CHECK(shown(good) == S_IFDIR);
  CHECK(shown("links/his") == S_IFLNK);
  CHECK(shown("links/to_his") == S_IFLNK);
  for (const mode_t mode : {0775U, 0757U, 01777U}) {
    REQUIRE(::chmod(at("links").c_str(), mode) == 0);
    CHECK(shown("links/roots") == S_IFLNK);
    CHECK(shown("links/directory/t") == S_IFLNK);
  }
  REQUIRE(::chmod(at("links").c_str(), 0755) == 0);
  CHECK(shown("links/roots") == S_IFDIR);
  REQUIRE(::chown(at("links").c_str(), kUser, kUser) == 0);
  CHECK(shown("links/roots") == S_IFLNK);
  REQUIRE(::chown(at("links").c_str(), 0, 0) == 0);
  // As many as the kernel follows.
  fs::path last = at("secret/t");
  for (int i = 1; i <= 40; ++i) {
    const fs::path next = at("links/n" + std::to_string(i));
    link_to(last, next);
    last = next;
  }
  CHECK(shown("links/n39") == S_IFDIR);
  CHECK(shown("links/n40") == S_IFLNK);
}

TEST_CASE("follow-symlinks: no link is followed in a directory with the sticky bit") {
  if (!may_act_as_root()) return;
  const TempDir outside;
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kAll));
  write_file(outside.path() / "f", "text");
  pool.directory(0, "shared");
  link_to(outside.path() / "f", pool.branch(0) / "shared/file");
  const auto shown = [&] {
    return entry(pool, pool.walk("shared"), "file").entry.attr.mode & kType;
  };
  CHECK(shown() == S_IFREG);
  REQUIRE(::chmod((pool.branch(0) / "shared").c_str(), 01777) == 0);
  CHECK(shown() == S_IFLNK);
}

TEST_CASE("follow-symlinks: a target on a mount with less rights stays a link") {
  if (!may_act_as_root()) return;
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
  if (!may_act_as_root()) return;
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
    bool served = false;
  };
  for (const Kind& kind :
       {Kind{"fuse.boughfs", 0, false}, Kind{"fuse", 0, false}, Kind{"fuseblk", 8, false},
        Kind{"overlay", 0, false}, Kind{"nfs4", 0, false}, Kind{"cifs", 0, false},
        Kind{"autofs", 0, false}, Kind{"proc", 0, false}, Kind{"sysfs", 0, false},
        Kind{"9p", 0, false}, Kind{"devtmpfs", 0, false}, Kind{"ramfs", 0, true},
        Kind{"btrfs", 0, true}, Kind{"zfs", 0, true}, Kind{"bcachefs", 0, true},
        Kind{"ext4", 8, true}, Kind{"xfs", 253, true}, Kind{"vfat", 8, true},
        Kind{"ext4", 7, false, true}}) {
    CAPTURE(kind.type);
    CAPTURE(kind.major);
    faults->serve_devices(kind.served);
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
  // A branch's own file system may be any.
  faults->bend_mount([](ops::Mount& mount) { mount.type = "fuse"; });
  link_to(outside.path() / "other", pool.branch(0) / "beside");
  CHECK(type(pool, "beside") == S_IFDIR);
  faults->bend_mount([](ops::Mount&) {});
  // A kernel that does not number its mounts.
  faults->fail({Call::kMountId, 1, FaultyBacking::kAlways, {}}, ENOSYS);
  CHECK(reached() == Reached{false, false, false});
  faults->reset();
  CHECK(reached() == Reached{true, true, true});
}

TEST_CASE("follow-symlinks: without posix-acl nothing that has an ACL") {
  if (!may_act_as_root()) return;
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
  // Not absent: the kernel would have names made, or renamed over it, without a look at rights.
  CHECK(pool.lookup(pool.walk("d"), "f").error().value() == EACCES);
  const NodeId d = pool.walk("d");
  const auto renamed = pool.fs().rename(pool.as(d), {d, pool.name("open"), pool.name("f"), 0});
  CHECK(renamed.error().value() == EACCES);
  CHECK(text_of(outside.path() / "d/f") == "text");
  CHECK(pool.walk("d/open") != proto::kNoNode);
  pool.settings().posix_acl = true;
  CHECK(type(pool, "f") == S_IFREG);
  CHECK(pool.walk("d/f") != proto::kNoNode);
  pool.settings().posix_acl = false;
  REQUIRE(give("d") == 0);
  CHECK(type(pool, "d") == S_IFLNK);
  // What is made in it would have one.
  fs::create_directories(outside.path() / "e/sub");
  link_to(outside.path() / "e", pool.branch(0) / "e");
  CHECK(type(pool, "e") == S_IFDIR);
  const auto give_default = [&](const char* path) {
    return ::setxattr((outside.path() / path).c_str(), "system.posix_acl_default", acl.data(),
                      sizeof(acl), 0);
  };
  REQUIRE(give_default("e/sub") == 0);
  CHECK(pool.lookup(pool.walk("e"), "sub").error().value() == EACCES);
  REQUIRE(give_default("e") == 0);
  CHECK(type(pool, "e") == S_IFLNK);
}

TEST_CASE("follow-symlinks: an ACL that a file gets below a followed directory counts at once") {
  if (!may_act_as_root()) return;
  const TempDir outside;
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kAll));
  write_file(outside.path() / "f", "text", 0660);
  link_to(outside.path(), pool.branch(0) / "d");
  const NodeId f = pool.walk("d/f");
  CHECK(open_error(pool, f, O_RDONLY) == 0);
  const std::array<std::uint16_t, 22> acl{2,      0,      1,    6, 0xffff, 0xffff, 2,    6,
                                          kUser,  0,      4,    0, 0xffff, 0xffff, 0x10, 6,
                                          0xffff, 0xffff, 0x20, 0, 0xffff, 0xffff};
  REQUIRE(::setxattr((outside.path() / "f").c_str(), "system.posix_acl_access", acl.data(),
                     sizeof(acl), 0) == 0);
  CHECK(open_error(pool, f, O_RDONLY) != 0);
}

TEST_CASE("follow-symlinks: no link is followed where a copy of its directory has the sticky bit") {
  if (!may_act_as_root()) return;
  const TempDir outside;
  PoolFixture pool({"RW", "RW"}, {}, following(FollowSymlinks::kAll));
  write_file(outside.path() / "f", "text");
  pool.directory(0, "p");
  pool.directory(1, "p");
  link_to(outside.path() / "f", pool.branch(1) / "p/f");
  const NodeId p = pool.walk("p");
  CHECK((entry(pool, p, "f").entry.attr.mode & kType) == S_IFREG);
  REQUIRE(::chmod((pool.branch(0) / "p").c_str(), 01777) == 0);
  CHECK((entry(pool, p, "f").entry.attr.mode & kType) == S_IFLNK);
}

TEST_CASE("follow-symlinks: not where the kernel maps ids") {
  if (!may_act_as_root()) return;
  const TempDir outside;
  PoolFixture pool({"RW"}, {}, following(FollowSymlinks::kAll));
  link_to(outside.path(), pool.branch(0) / "d");
  const NodeId d = pool.walk("d");
  pool.settings().allow_idmap = true;
  CHECK(type(pool, "d") == S_IFLNK);
  CHECK(list_error(pool, d) == ESTALE);
  // Said once.
  const std::vector<std::string> said{"follow-symlinks follows nothing: allow-idmap is on"};
  CHECK(pool.heard() == said);
}

}  // namespace bough::test
