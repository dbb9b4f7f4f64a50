#include "ops/file_copy.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "test/ops/small_pool.hpp"
#include "test/support/branch_tree.hpp"

namespace bough::test {
namespace {

constexpr std::uint64_t kFar = 128U << 10U;

/// A file with everything on it, on branch 0.
struct Ground {
  Ground() {
    const std::string path = pool.path(0) / "f";
    std::ofstream(path) << "begin";
    Fd fd = opened(path, O_WRONLY);
    REQUIRE(::pwrite(fd.get(), "middle", 6, static_cast<off_t>(kFar)) == 6);
    REQUIRE(::ftruncate(fd.get(), static_cast<off_t>(2 * kFar + 1)) == 0);
    has_xattr = ::fsetxattr(fd.get(), "user.about", "text", 4, 0) == 0;
    if (::geteuid() == 0) REQUIRE(::fchown(fd.get(), 1234, 567) == 0);
    REQUIRE(::fchmod(fd.get(), 04751) == 0);
    const timespec times[2] = {{1000, 5}, {2000, 123456789}};
    REQUIRE(::futimens(fd.get(), times) == 0);
    source = opened(path, O_RDONLY);
    target = opened(pool.path(1), O_PATH | O_DIRECTORY);
  }
  using Fd = ops::Fd;
  static Fd opened(const std::string& path, int flags) {
    Fd fd(::open(path.c_str(), flags | O_CLOEXEC));
    REQUIRE(fd.get() >= 0);
    return fd;
  }
  ops::Result<ops::FileStat> copy() {
    return ops::copy_file(pool.pool, source.get(), target.get(), "g", {0, 0});
  }
  void check() const {
    struct stat from {};
    struct stat to {};
    REQUIRE(::fstat(source.get(), &from) == 0);
    REQUIRE(::lstat((pool.path(1) / "g").c_str(), &to) == 0);
    CHECK(to.st_size == from.st_size);
    CHECK(to.st_mode == from.st_mode);
    CHECK(to.st_uid == from.st_uid);
    CHECK(to.st_gid == from.st_gid);
    CHECK(to.st_blocks == from.st_blocks);
    CHECK(to.st_mtim.tv_sec == 2000);
    CHECK(to.st_mtim.tv_nsec == 123456789);
    CHECK(tree_of(pool.path(1)).at("g") == tree_of(pool.path(0)).at("f"));
    char value[8];
    if (has_xattr)
      CHECK(::getxattr((pool.path(1) / "g").c_str(), "user.about", value, sizeof value) == 4);
  }

  SmallPool pool;
  bool has_xattr = false;
  Fd source;
  Fd target;
};

}  // namespace

TEST_CASE("a copied file has its data, holes, owner, mode, xattrs and times") {
  Ground ground;
  const auto copied = ground.copy();
  REQUIRE(copied.has_value());
  CHECK(copied->size == 2 * kFar + 1);
  ground.check();
  CHECK(ground.copy().error() == proto::Errno{EEXIST});
  ground.check();
}

TEST_CASE("where the kernel has no copy of its own the file is read and written") {
  for (const int error : {EXDEV, EOPNOTSUPP, EINVAL, ENOSYS}) {
    CAPTURE(error);
    Ground ground;
    ground.pool.faults.fail({Call::kCopyRange, 1, FaultyBacking::kAlways, {}}, error);
    ground.pool.faults.shorten({Call::kWrite, 1, FaultyBacking::kAlways, {}}, 3000);
    REQUIRE(ground.copy().has_value());
    ground.check();
  }
}

TEST_CASE("a file system that tells no holes is copied whole") {
  Ground ground;
  ground.pool.faults.fail({Call::kSeek, 1, FaultyBacking::kAlways, {}}, EINVAL);
  REQUIRE(ground.copy().has_value());
  CHECK(tree_of(ground.pool.path(1)).at("g") == tree_of(ground.pool.path(0)).at("f"));
}

TEST_CASE("a file that changes while it is copied is not copied") {
  for (const Call call : {Call::kCopyRange, Call::kSync}) {
    Ground ground;
    ground.pool.faults.before({call, 1, 1, {}}, [&] {
      std::ofstream(ground.pool.path(0) / "f", std::ios::app) << "more";
    });
    CHECK(ground.copy().error() == proto::Errno{EBUSY});
    CHECK(tree_of(ground.pool.path(1)).empty());
  }
  Ground ground;
  ground.pool.faults.before({Call::kCopyRange, 1, 1, {}},
                            [&] { std::filesystem::resize_file(ground.pool.path(0) / "f", 0); });
  CHECK(ground.copy().error() == proto::Errno{EBUSY});
  CHECK(tree_of(ground.pool.path(1)).empty());
}

TEST_CASE("whichever call of a file's copy fails, it is whole or not there") {
  std::uint64_t failed = 0;
  for (const int error : {EIO, ENOSPC, EDQUOT, EPERM}) {
    for (std::uint64_t k = 1;; ++k) {
      CAPTURE(error);
      CAPTURE(k);
      REQUIRE(k < 200);
      Ground ground;
      ground.pool.faults.fail({Call::kAny, k, 1, {}}, error);
      const auto copied = ground.copy();
      const bool hit = ground.pool.faults.failures() > 0;
      ground.pool.faults.reset();
      if (!hit) {
        CHECK(copied.has_value());
        break;
      }
      if (copied) {
        // Only what describes a file may be missing of it, where it could not be held.
        CHECK(tree_of(ground.pool.path(1)).at("g").size() ==
              tree_of(ground.pool.path(0)).at("f").size());
        CHECK(ground.pool.pool.backing.stat(ground.source.get())->size == copied->size);
      } else {
        ++failed;
        CHECK(copied.error() == proto::Errno{error});
        CHECK(tree_of(ground.pool.path(1)).empty());
      }
      CHECK(ground.pool.path(0).string().size() > 0);
      CHECK(tree_of(ground.pool.path(0)).size() == 1);
    }
  }
  CHECK(failed > 20);
}

TEST_CASE("until it is whole, nobody but its owner may open a copy") {
  Ground ground;
  mode_t seen = 07777;
  ground.pool.faults.before({Call::kListXattr, 1, 1, {}}, [&] {
    struct stat info {};
    if (::lstat((ground.pool.path(1) / "g").c_str(), &info) == 0) seen = info.st_mode & 07777U;
  });
  REQUIRE(ground.copy().has_value());
  CHECK(seen == (::geteuid() == 0 ? 0 : 0600));
}

}  // namespace bough::test
