#include <doctest/doctest.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include <filesystem>
#include <fstream>

#include "test/support/full_root.hpp"
#include "test/support/pool_fixture.hpp"

using namespace bough;
using proto::kRootNode;
using test::Call;
using test::FaultyBacking;
using test::PoolFixture;

namespace {

struct statvfs native(const std::filesystem::path& path) {
  struct statvfs result {};
  REQUIRE(::statvfs(path.c_str(), &result) == 0);
  return result;
}

/// A file system of its own on a branch, from before the pool is made until after it is gone.
class Tmpfs {
 public:
  explicit Tmpfs(std::filesystem::path at, const char* options) : at_(std::move(at)) {
    std::filesystem::create_directories(at_);
    REQUIRE(::mount("tmpfs", at_.c_str(), "tmpfs", MS_NOSUID, options) == 0);
  }
  ~Tmpfs() { ::umount2(at_.c_str(), MNT_DETACH); }
  Tmpfs(const Tmpfs&) = delete;
  Tmpfs& operator=(const Tmpfs&) = delete;

 private:
  std::filesystem::path at_;
};

}  // namespace

TEST_CASE("statfs: two branches of one file system count once") {
  PoolFixture pool({"RW", "RW"});
  const auto reply = pool.fs().statfs(pool.as(kRootNode), {});
  REQUIRE(reply.has_value());
  const auto expected = native(pool.branch(0));
  CHECK(reply->blocks == expected.f_blocks);
  CHECK(reply->files == expected.f_files);
  CHECK(reply->fragment_size == expected.f_frsize);
  CHECK(reply->block_size == expected.f_bsize);
  CHECK(reply->name_max == expected.f_namemax);
  CHECK(reply->blocks_available <= reply->blocks_free);
  CHECK(reply->blocks_free <= reply->blocks);
}

TEST_CASE("statfs: file systems add up") {
  if (!test::may_act_as_root()) return;
  test::TempDir other;
  const Tmpfs mounted(other.path() / "disk", "size=8m,nr_inodes=1000");
  PoolFixture pool({"RW"}, {}, [&](ops::Settings& settings) {
    settings.branches += ":" + (other.path() / "disk").string();
  });
  const auto reply = pool.fs().statfs(pool.as(kRootNode), {});
  REQUIRE(reply.has_value());
  const auto first = native(pool.branch(0));
  CHECK(reply->blocks * reply->fragment_size == first.f_blocks * first.f_frsize + (8U << 20));
  CHECK(reply->files == first.f_files + 1000);
  CHECK(reply->name_max == 255);
}

TEST_CASE("statfs: a branch that does not answer is left out; none at all is all zero") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW"}, test::with_faults(faults));
  faults->fail({Call::kStatfs, 1, 1, {}}, EIO);
  auto reply = pool.fs().statfs(pool.as(kRootNode), {});
  REQUIRE(reply.has_value());
  CHECK(reply->blocks == native(pool.branch(0)).f_blocks);
  faults->reset();
  faults->fail({Call::kStatfs, 1, FaultyBacking::kAlways, {}}, EIO);
  reply = pool.fs().statfs(pool.as(kRootNode), {});
  REQUIRE(reply.has_value());
  CHECK(reply->blocks == 0);
  faults->reset();
  test::fail_each_call(pool, *faults, EIO, [&] {
    return pool.fs().statfs(pool.as(kRootNode), {}).has_value() ? 0 : EINVAL;
  });
}

TEST_CASE("statfs-ignore leaves the room of branches out that nothing is created on") {
  if (!test::may_act_as_root()) return;
  test::TempDir other;
  const Tmpfs read_only(other.path() / "ro", "size=8m");
  const Tmpfs no_create(other.path() / "nc", "size=8m");
  PoolFixture pool({"RW"}, {}, [&](ops::Settings& settings) {
    settings.branches +=
        ":" + (other.path() / "ro").string() + "=RO:" + (other.path() / "nc").string() + "=NC";
  });
  const auto available = [&pool](ops::StatfsIgnore ignore) {
    pool.settings().statfs_ignore = ignore;
    const auto reply = pool.fs().statfs(pool.as(kRootNode), {});
    REQUIRE(reply.has_value());
    return reply->blocks_available * reply->fragment_size;
  };
  constexpr std::uint64_t kDisk = 8U << 20U;
  const std::uint64_t all = available(ops::StatfsIgnore::kNone);
  const std::uint64_t neither = available(ops::StatfsIgnore::kRo);
  const std::uint64_t without_nc = available(ops::StatfsIgnore::kNc);
  // The first branch's own file system is others' as well.
  constexpr std::uint64_t kStir = 1U << 20U;
  CHECK(all - neither > 2 * kDisk - kStir);
  CHECK(all - neither < 2 * kDisk + kStir);
  CHECK(all - without_nc > kDisk - kStir);
  CHECK(all - without_nc < kDisk + kStir);
}

TEST_CASE("statfs-ignore: of several branches on one file system the first decides") {
  if (!test::may_act_as_root()) return;
  test::TempDir other;
  const Tmpfs disk(other.path() / "disk", "size=8m");
  for (const char* name : {"a", "b"})
    std::filesystem::create_directory(other.path() / "disk" / name);
  const auto available = [&](const std::string& first, const std::string& second) {
    PoolFixture pool({"RO"}, {}, [&](ops::Settings& settings) {
      settings.branches += ":" + (other.path() / "disk/a").string() + "=" + first + ":" +
                           (other.path() / "disk/b").string() + "=" + second;
      settings.statfs_ignore = ops::StatfsIgnore::kRo;
    });
    const auto reply = pool.fs().statfs(pool.as(kRootNode), {});
    REQUIRE(reply.has_value());
    return reply->blocks_available * reply->fragment_size;
  };
  CHECK(available("NC", "RW") == 0);
  CHECK(available("RW", "NC") > 7U << 20U);
}

TEST_CASE("statfs: the room of a read-only disk counts, unless its branch is RO as well") {
  if (!test::may_act_as_root()) return;
  test::TempDir other;
  const Tmpfs disk(other.path() / "disk", "size=8m,ro");
  const Tmpfs writable(other.path() / "writable", "size=8m");
  const auto available = [&](const std::string& branch) {
    PoolFixture pool({"NC"}, {}, [&](ops::Settings& settings) {
      settings.branches += ":" + (other.path() / branch).string();
      settings.statfs_ignore = ops::StatfsIgnore::kNc;
    });
    const auto reply = pool.fs().statfs(pool.as(kRootNode), {});
    REQUIRE(reply.has_value());
    return reply->blocks_available * reply->fragment_size;
  };
  CHECK(available("disk=RW") > 7U << 20U);
  CHECK(available("disk=RO") == 0);
  CHECK(available("writable=RO") > 7U << 20U);
}

TEST_CASE("statfs=full adds up only what holds the path") {
  if (!test::may_act_as_root()) return;
  test::TempDir other;
  const Tmpfs disk(other.path() / "disk", "size=8m");
  const Tmpfs inside(other.path() / "disk/d/inside", "size=4m");
  PoolFixture pool({"RW"}, {}, [&](ops::Settings& settings) {
    settings.branches += ":" + (other.path() / "disk").string();
    settings.statfs_of = ops::StatfsOf::kFull;
  });
  std::ofstream(other.path() / "disk/d/f") << "text";
  const auto bytes = [&pool](std::string_view path) {
    const auto reply = pool.fs().statfs(pool.as(pool.walk(path)), {});
    REQUIRE(reply.has_value());
    return reply->blocks * reply->fragment_size;
  };
  CHECK(bytes("d") == 8U << 20U);
  CHECK(bytes("d/f") == 8U << 20U);
  CHECK(bytes("d/inside") == 4U << 20U);
  CHECK(bytes("") > 8U << 20U);
  pool.settings().statfs_of = ops::StatfsOf::kBase;
  CHECK(bytes("d") == bytes(""));
}
