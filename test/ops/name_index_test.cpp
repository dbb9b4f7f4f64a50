#include "ops/name_index.hpp"

#include <doctest/doctest.h>
#include <linux/magic.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <thread>

#include "test/support/pool_fixture.hpp"

using namespace bough;
using test::Call;
using test::FaultyBacking;
using test::PoolFixture;
namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

int errno_of(const auto& result) {
  return result.has_value() ? 0 : result.error().value();
}

/// Four branches with a directory each; its files lie on the last one. It has been asked about
/// often enough to be listed.
struct Ground {
  using Answer = std::function<std::optional<int>(std::uint32_t, std::span<std::byte>)>;
  explicit Ground(std::uint64_t type = TMPFS_MAGIC, const Answer& control = {})
      : pool({"RW", "RW", "RW", "RW"}, test::with_faults(disks)) {
    disks->bend_statfs([type](ops::FsStat& stat, int) { stat.type = type; });
    if (control) disks->answer_control(control);
    for (std::size_t i = 0; i < 4; ++i) pool.directory(i, "d");
    for (int i = 0; i < 20; ++i) pool.file(3, "d/f" + std::to_string(i), "text");
    d = pool.walk("d");
    for (int i = 0; i < 8; ++i) CHECK(look("f" + std::to_string(i)) == 0);
  }
  int look(const std::string& name) {
    auto found = pool.lookup(d, name);
    const int error = errno_of(found);
    if (found) last = pool.keep(*found);
    return error;
  }
  /// How many branches are asked for a name.
  std::uint64_t asked(const std::string& name, int error) {
    const std::uint64_t before = disks->calls(Call::kStatAt);
    CHECK(look(name) == error);
    return disks->calls(Call::kStatAt) - before;
  }
  FaultyBacking* disks = nullptr;
  PoolFixture pool;
  proto::NodeId d;
  proto::NodeId last;
};

}  // namespace

TEST_CASE("name index: a name that is known is asked for where it is") {
  Ground g;
  CHECK(g.asked("f9", 0) == 1);
  CHECK(g.asked("f10", 0) == 1);
  CHECK(g.asked("none", ENOENT) == 0);
}

TEST_CASE("name index: what comes behind the pool is there at once") {
  Ground g;
  CHECK(g.look("new") == ENOENT);
  g.pool.file(1, "d/new", "a");
  CHECK(g.asked("new", 0) == 1);
  CHECK(g.look("linked") == ENOENT);
  fs::create_hard_link(g.pool.branch(3) / "d/f9", g.pool.branch(3) / "d/linked");
  CHECK(g.asked("linked", 0) == 1);
  // Elsewhere than it was known to be.
  fs::rename(g.pool.branch(3) / "d/f9", g.pool.branch(0) / "d/f9");
  CHECK(g.look("f9") == 0);
  fs::remove(g.pool.branch(3) / "d/f10");
  CHECK(g.look("f10") == ENOENT);
  // In front of the one that was shown.
  CHECK(g.look("f11") == 0);
  g.pool.file(0, "d/f11", "another");
  CHECK(g.look("f11") == 0);
  CHECK(g.pool.read(g.pool.open(g.last, O_RDONLY)) == "another");
}

TEST_CASE("name index: what the pool makes, moves and removes") {
  Ground g;
  auto made = g.pool.fs().mkdir(g.pool.as(g.d), {g.pool.name("sub"), 0755, 0, {}});
  REQUIRE(made);
  g.pool.keep(*made);
  CHECK(g.look("sub") == 0);
  CHECK(g.pool.fs()
            .rename(g.pool.as(g.d), {g.d, g.pool.name("f1"), g.pool.name("f2"), 0})
            .has_value());
  CHECK(g.look("f1") == ENOENT);
  CHECK(g.look("f2") == 0);
  CHECK(g.pool.fs().unlink(g.pool.as(g.d), {g.pool.name("f2")}).has_value());
  CHECK(g.look("f2") == ENOENT);
}

TEST_CASE("name index: a directory that several branches have is always shown whole") {
  Ground g;
  CHECK(g.look("sub") == ENOENT);
  g.pool.directory(2, "d/sub");
  CHECK(g.look("sub") == 0);
  std::this_thread::sleep_for(20ms);
  g.pool.directory(0, "d/sub");
  const auto newest = g.pool.stat(0, "d/sub").st_mtim;
  const auto shown = g.pool.lookup(g.d, "sub");
  REQUIRE(shown);
  CHECK(shown->entry.attr.mtime.seconds == newest.tv_sec);
  CHECK(shown->entry.attr.mtime.nanoseconds == static_cast<std::uint32_t>(newest.tv_nsec));
}

TEST_CASE("name index: a copy of the directory itself goes and comes") {
  Ground g;
  // Noticed as late as a look-up may use what a directory was.
  fs::remove(g.pool.branch(1) / "d");
  CHECK(g.look("f9") == 0);
  CHECK(g.look("none") == ENOENT);
  g.pool.directory(1, "d");
  g.pool.file(1, "d/none", "");
  std::this_thread::sleep_for(1100ms);
  CHECK(g.look("none") == 0);
  fs::create_directories(g.pool.branch(2) / "aside/d");
  g.pool.file(2, "aside/d/moved", "");
  fs::rename(g.pool.branch(2) / "d", g.pool.branch(2) / "before");
  fs::rename(g.pool.branch(2) / "aside/d", g.pool.branch(2) / "d");
  std::this_thread::sleep_for(1100ms);
  CHECK(g.look("moved") == 0);
}

TEST_CASE("name index: what moved away is not watched on") {
  Ground g;
  const auto watches = [] {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator("/proc/self/fdinfo")) {
      std::ifstream info(entry.path());
      for (std::string line; std::getline(info, line);)
        count += line.starts_with("inotify") ? 1 : 0;
    }
    return count;
  };
  const std::size_t before = watches();
  fs::rename(g.pool.branch(0) / "d", g.pool.branch(0) / "elsewhere");
  CHECK(g.look("f9") == 0);
  CHECK(watches() == before - 1);
}

TEST_CASE("name index: more happens than the kernel keeps") {
  Ground g;
  for (int i = 0; i < 20000; ++i) {
    const std::string one = g.pool.branch(1) / "d" / (i % 2 == 0 ? "x" : "y");
    const std::string other = g.pool.branch(1) / "d" / (i % 2 == 0 ? "y" : "x");
    if (i == 0) g.pool.file(1, "d/x", "");
    fs::rename(one, other);
  }
  g.pool.file(1, "d/last", "");
  CHECK(g.look("last") == 0);
  CHECK(g.look("x") == 0);
}

TEST_CASE("name index: an idle pool watches nothing") {
  Ground g;
  const std::size_t watching = test::open_descriptors();
  g.pool.fs().idle();
  CHECK(test::open_descriptors() < watching);
  CHECK(g.asked("f9", 0) == 4);
}

TEST_CASE("name index: where a listing proves nothing every branch is asked") {
  Ground g(MSDOS_SUPER_MAGIC);
  CHECK(g.asked("f9", 0) == 4);
  CHECK(g.asked("none", ENOENT) == 4);
}

TEST_CASE("name index: where names fold case every branch is asked") {
  constexpr std::uint32_t kCasefold = 0x40000000;
  constexpr std::uint32_t kEncrypted = 0x800;
  constexpr std::uint32_t kXfsIgnoresCase = 1U << 13U;
  struct Kind {
    std::uint64_t type;
    std::size_t flags_at;
    std::uint32_t flags;
    std::uint64_t asked;
  };
  for (const Kind& kind :
       {Kind{EXT4_SUPER_MAGIC, 0, 0, 1}, Kind{EXT4_SUPER_MAGIC, 0, kCasefold, 4},
        Kind{EXT4_SUPER_MAGIC, 0, kEncrypted, 4}, Kind{TMPFS_MAGIC, 0, kCasefold, 4},
        Kind{XFS_SUPER_MAGIC, 92, 0, 1}, Kind{XFS_SUPER_MAGIC, 92, kXfsIgnoresCase, 4}}) {
    CAPTURE(kind.type);
    CAPTURE(kind.flags);
    Ground g(kind.type, [&kind](std::uint32_t, std::span<std::byte> argument) {
      std::fill(argument.begin(), argument.end(), std::byte{0});
      std::memcpy(argument.data() + kind.flags_at, &kind.flags, sizeof kind.flags);
      return 0;
    });
    CHECK(g.asked("f9", 0) == kind.asked);
  }
}

TEST_CASE("name index: a directory that comes to fold case is not believed for long") {
  std::atomic<std::uint32_t> flags = 0;
  Ground g(EXT4_SUPER_MAGIC, [&flags](std::uint32_t, std::span<std::byte> argument) {
    const std::uint32_t now = flags;
    std::memcpy(argument.data(), &now, sizeof now);
    return 0;
  });
  CHECK(g.asked("none", ENOENT) == 0);
  flags = 0x40000000;
  std::this_thread::sleep_for(1100ms);
  for (int i = 0; i < 8; ++i) CHECK(g.look("none") == ENOENT);
  CHECK(g.asked("none", ENOENT) == 4);
}

TEST_CASE("name index: a branch that cannot be listed fails no look-up") {
  Ground g;
  g.pool.fs().idle();
  g.disks->fail({Call::kList, 1, FaultyBacking::kAlways}, EIO);
  for (int i = 0; i < 10; ++i) CHECK(g.look("f" + std::to_string(i)) == 0);
  CHECK(g.asked("f11", 0) == 4);
  g.pool.file(2, "d/other", "");
  CHECK(g.look("other") == 0);
  CHECK(g.look("none") == ENOENT);
}

TEST_CASE("name index: so many names and no more") {
  ops::NameSet names;
  std::uint64_t count = 0;
  while (names.add(++count * 7919, 2)) {
  }
  CHECK(names.size() == ops::NameSet::kMost);
  for (std::uint64_t i = 1; i < count; ++i) CHECK(names.branches_with(i * 7919) == 2);
  CHECK(names.branches_with(3) == 0);
  CHECK(names.add(7919, 4));
  CHECK(names.branches_with(7919) == 6);
}
