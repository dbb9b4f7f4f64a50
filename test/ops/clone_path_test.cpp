#include "ops/clone_path.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "test/ops/small_pool.hpp"

using namespace bough::ops;
using bough::test::Call;
using bough::test::open_descriptors;
using bough::test::SmallPool;
namespace fs = std::filesystem;

namespace {

struct stat stat_of(const fs::path& path) {
  struct stat found;
  REQUIRE(::lstat(path.c_str(), &found) == 0);
  return found;
}

void set_times(const fs::path& path, long seconds) {
  const timespec times[2] = {{seconds, 111}, {seconds + 1, 222}};
  REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
}

/// FS_IOC_GETFLAGS; nothing where the file system has none.
std::optional<int> flags_of(const fs::path& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  int flags = 0;
  if (::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) != 0) return std::nullopt;
  return flags;
}

bool set_flags(const fs::path& path, int flags) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return ::ioctl(fd.get(), FS_IOC_SETFLAGS, &flags) == 0;
}

std::string xattr_of(const fs::path& path, const char* name) {
  char value[256];
  const ssize_t size = ::lgetxattr(path.c_str(), name, value, sizeof value);
  return size < 0 ? std::string("none") : std::string(value, static_cast<std::size_t>(size));
}

/// A minimal POSIX ACL in the kernel's form: owner, one named user, group, mask, others.
std::string acl_for(std::uint32_t user) {
  std::string acl;
  const auto put16 = [&](unsigned value) {
    acl += static_cast<char>(value & 0xffU);
    acl += static_cast<char>(value >> 8U);
  };
  const auto entry = [&](unsigned tag, unsigned permissions, std::uint32_t id) {
    put16(tag);
    put16(permissions);
    put16(id & 0xffffU);
    put16(id >> 16U);
  };
  put16(2);
  put16(0);
  entry(0x01, 7, 0xffffffff);
  entry(0x02, 5, user);
  entry(0x04, 5, 0xffffffff);
  entry(0x10, 5, 0xffffffff);
  entry(0x20, 0, 0xffffffff);
  return acl;
}

std::size_t entries(const fs::path& path) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(path), fs::directory_iterator()));
}

}  // namespace

TEST_CASE("a missing path is made as the source has it, what exists stays") {
  SmallPool p;
  const std::size_t descriptors = open_descriptors();
  fs::create_directories(p.path(0) / "a/b/c");
  fs::create_directories(p.path(1) / "a");
  REQUIRE(::chmod((p.path(0) / "a").c_str(), 0700) == 0);
  REQUIRE(::chmod((p.path(1) / "a").c_str(), 0755) == 0);
  REQUIRE(::chmod((p.path(0) / "a/b").c_str(), 03775) == 0);
  REQUIRE(::chmod((p.path(0) / "a/b/c").c_str(), 01711) == 0);
  set_times(p.path(0) / "a/b/c", 1000);
  set_times(p.path(0) / "a/b", 2000);
  {
    const auto made = clone_path(p.pool, p.branch(0), p.branch(1), "a/b/c");
    REQUIRE(made.has_value());
    CHECK(p.faults.stat(made->fd())->id.ino == stat_of(p.path(1) / "a/b/c").st_ino);
  }
  CHECK((stat_of(p.path(1) / "a").st_mode & 07777U) == 0755);
  CHECK((stat_of(p.path(1) / "a/b").st_mode & 07777U) == 03775);
  CHECK((stat_of(p.path(1) / "a/b/c").st_mode & 07777U) == 01711);
  for (const auto& [path, seconds] : {std::pair{"a/b", 2000L}, std::pair{"a/b/c", 1000L}}) {
    const auto found = stat_of(p.path(1) / path);
    CHECK(found.st_atim.tv_sec == seconds);
    CHECK(found.st_atim.tv_nsec == 111);
    CHECK(found.st_mtim.tv_sec == seconds + 1);
    CHECK(found.st_mtim.tv_nsec == 222);
  }
  CHECK(entries(p.path(1) / "a") == 1);
  CHECK(entries(p.path(1) / "a/b") == 1);
  CHECK(open_descriptors() == descriptors);

  const auto inode = stat_of(p.path(1) / "a/b/c").st_ino;
  CHECK(clone_path(p.pool, p.branch(0), p.branch(1), "a/b/c").has_value());
  CHECK(stat_of(p.path(1) / "a/b/c").st_ino == inode);
  CHECK(clone_path(p.pool, p.branch(0), p.branch(1), "").has_value());
}

TEST_CASE("owners, xattrs and ACLs go along") {
  if (!bough::test::is_full_root()) {
    MESSAGE("not run: only root can give files away");
    return;
  }
  SmallPool p;
  const fs::path source = p.path(0) / "d";
  fs::create_directory(source);
  REQUIRE(::chown(source.c_str(), 1234, 2345) == 0);
  REQUIRE(::chmod(source.c_str(), 02750) == 0);
  REQUIRE(::lsetxattr(source.c_str(), "user.color", "green", 5, 0) == 0);
  REQUIRE(::lsetxattr(source.c_str(), "trusted.t", "x", 1, 0) == 0);
  const std::string acl = acl_for(4321);
  const bool acls =
      ::lsetxattr(source.c_str(), "system.posix_acl_access", acl.data(), acl.size(), 0) == 0;
  REQUIRE(acls);
  REQUIRE(::lsetxattr(source.c_str(), "system.posix_acl_default", acl.data(), acl.size(), 0) == 0);
  REQUIRE(clone_path(p.pool, p.branch(0), p.branch(1), "d").has_value());
  const fs::path copy = p.path(1) / "d";
  CHECK(stat_of(copy).st_uid == 1234);
  CHECK(stat_of(copy).st_gid == 2345);
  CHECK(stat_of(copy).st_mode == stat_of(source).st_mode);
  CHECK((stat_of(copy).st_mode & S_ISGID) != 0);
  CHECK(xattr_of(copy, "user.color") == "green");
  CHECK(xattr_of(copy, "trusted.t") == "x");
  CHECK(xattr_of(copy, "system.posix_acl_access") == xattr_of(source, "system.posix_acl_access"));
  CHECK(xattr_of(copy, "system.posix_acl_default") == acl);
}

TEST_CASE("an ACL that only the target's parent has is not inherited") {
  SmallPool p;
  fs::create_directories(p.path(0) / "up/d");
  fs::create_directories(p.path(1) / "up");
  REQUIRE(::chmod((p.path(0) / "up/d").c_str(), 0751) == 0);
  const std::string acl = acl_for(::geteuid());
  REQUIRE(::lsetxattr((p.path(1) / "up").c_str(), "system.posix_acl_default", acl.data(),
                      acl.size(), 0) == 0);
  REQUIRE(clone_path(p.pool, p.branch(0), p.branch(1), "up/d").has_value());
  CHECK(xattr_of(p.path(1) / "up/d", "system.posix_acl_access") == "none");
  CHECK(xattr_of(p.path(1) / "up/d", "system.posix_acl_default") == "none");
  CHECK((stat_of(p.path(1) / "up/d").st_mode & 07777U) == 0751);
}

TEST_CASE("immutable and append-only are not copied, other flags are") {
  SmallPool p;
  fs::create_directories(p.path(0) / "still/inner");
  fs::create_directories(p.path(0) / "log");
  const auto before = flags_of(p.path(0) / "still");
  if (!before || !set_flags(p.path(0) / "still", *before | FS_IMMUTABLE_FL | FS_NOATIME_FL) ||
      !set_flags(p.path(0) / "log", *before | FS_APPEND_FL | FS_NODUMP_FL)) {
    if (before) set_flags(p.path(0) / "still", *before);
    MESSAGE("not run: this file system or user cannot make a directory immutable");
    return;
  }
  CHECK(clone_path(p.pool, p.branch(0), p.branch(1), "still/inner").has_value());
  CHECK(clone_path(p.pool, p.branch(0), p.branch(1), "log").has_value());
  set_flags(p.path(0) / "still", *before);
  set_flags(p.path(0) / "log", *before);
  const int still = flags_of(p.path(1) / "still").value();
  const int log = flags_of(p.path(1) / "log").value();
  CHECK((still & FS_IMMUTABLE_FL) == 0);
  CHECK((still & FS_NOATIME_FL) != 0);
  CHECK((log & FS_APPEND_FL) == 0);
  CHECK((log & FS_NODUMP_FL) != 0);
}

TEST_CASE("the source must be a directory all the way, so must what exists") {
  SmallPool p;
  fs::create_directories(p.path(0) / "d");
  fs::create_directories(p.path(1) / "elsewhere");
  fs::create_directory_symlink("d", p.path(0) / "link");
  std::ofstream(p.path(0) / "file") << "x";
  std::ofstream(p.path(1) / "d") << "x";
  const auto error = [&](std::string_view path) {
    const auto made = clone_path(p.pool, p.branch(0), p.branch(1), path);
    REQUIRE_FALSE(made.has_value());
    return made.error();
  };
  CHECK(error("none") == Errno{ENOENT});
  CHECK(error("file") == Errno{ENOTDIR});
  CHECK(error("link") == Errno{ELOOP});
  CHECK(error("d") == Errno{ENOTDIR});
  CHECK(error(std::string(300, 'x')) == Errno{ENAMETOOLONG});
  CHECK(entries(p.path(1)) == 2);
}

TEST_CASE("a component that cannot be made leaves nothing of itself, wherever it fails") {
  for (const Call call : {Call::kMkdirAt, Call::kChown, Call::kListXattr, Call::kGetXattr,
                          Call::kSetXattr, Call::kChmod, Call::kSetTimes, Call::kRenameAt}) {
    for (const int errnum : {EIO, ENOSPC, EROFS}) {
      SmallPool p;
      fs::create_directories(p.path(0) / "a/b");
      for (const char* name : {"a", "a/b"})
        REQUIRE(::lsetxattr((p.path(0) / name).c_str(), "user.x", "1", 1, 0) == 0);
      const std::size_t descriptors = open_descriptors();
      p.faults.fail({call, 1, bough::test::FaultyBacking::kAlways}, errnum);
      const auto made = clone_path(p.pool, p.branch(0), p.branch(1), "a/b");
      INFO("call " << static_cast<int>(call));
      REQUIRE_FALSE(made.has_value());
      CHECK(made.error() == Errno{errnum});
      CHECK(entries(p.path(1)) == 0);
      CHECK(open_descriptors() == descriptors);
    }
  }
}

TEST_CASE("a failure further down leaves the whole components above") {
  SmallPool p;
  fs::create_directories(p.path(0) / "a/b");
  p.faults.fail({Call::kChmod, 2}, EIO);
  CHECK(clone_path(p.pool, p.branch(0), p.branch(1), "a/b").error() == Errno{EIO});
  CHECK(entries(p.path(1)) == 1);
  CHECK(entries(p.path(1) / "a") == 0);
}

TEST_CASE("what the target cannot hold is left out, set-id bits with the owner") {
  SmallPool p;
  fs::create_directories(p.path(0) / "d");
  REQUIRE(::chmod((p.path(0) / "d").c_str(), 02771) == 0);
  REQUIRE(::lsetxattr((p.path(0) / "d").c_str(), "user.x", "1", 1, 0) == 0);
  p.faults.fail({Call::kChown}, EPERM);
  p.faults.fail({Call::kSetXattr}, EOPNOTSUPP);
  REQUIRE(clone_path(p.pool, p.branch(0), p.branch(1), "d").has_value());
  CHECK((stat_of(p.path(1) / "d").st_mode & 07777U) == 0771);
  CHECK(xattr_of(p.path(1) / "d", "user.x") == "none");
}

TEST_CASE("a file system without rename flags is served by a plain rename") {
  SmallPool p;
  fs::create_directories(p.path(0) / "d");
  p.faults.fail({Call::kRenameAt}, EINVAL);
  CHECK(clone_path(p.pool, p.branch(0), p.branch(1), "d").has_value());
  CHECK(p.faults.calls(Call::kRenameAt) == 2);
  CHECK(entries(p.path(1)) == 1);
}

TEST_CASE("who comes second uses the directory of who came first") {
  SmallPool p;
  fs::create_directories(p.path(0) / "d");
  p.faults.before({Call::kRenameAt}, [&] { fs::create_directories(p.path(1) / "d/theirs"); });
  const auto made = clone_path(p.pool, p.branch(0), p.branch(1), "d");
  REQUIRE(made.has_value());
  CHECK(p.faults.stat(made->fd())->id.ino == stat_of(p.path(1) / "d").st_ino);
  CHECK(fs::exists(p.path(1) / "d/theirs"));
  CHECK(entries(p.path(1)) == 1);
}

TEST_CASE("threads that clone the same path all get the same directory") {
  SmallPool p;
  const std::string path = "a/b/c/d/e";
  fs::create_directories(p.path(0) / path);
  std::vector<std::thread> threads;
  std::vector<std::uint64_t> inodes(6);
  const auto descriptors = open_descriptors();
  for (std::size_t i = 0; i < inodes.size(); ++i)
    threads.emplace_back([&, i] {
      const auto made = clone_path(p.pool, p.branch(0), p.branch(1), path);
      if (made) inodes[i] = p.faults.stat(made->fd())->id.ino;
    });
  for (auto& thread : threads) thread.join();
  for (const std::uint64_t inode : inodes) CHECK(inode == stat_of(p.path(1) / path).st_ino);
  CHECK(open_descriptors() == descriptors);
  for (fs::path at = p.path(1); at != p.path(1) / path; at = fs::directory_iterator(at)->path())
    CHECK(entries(at) == 1);
}
