#include "ops/pool_facts.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "ops/freed_space.hpp"
#include "test/ops/small_pool.hpp"

using namespace bough::ops;
using bough::test::Call;
using bough::test::FaultyBacking;
using bough::test::open_descriptors;
using bough::test::SmallPool;
namespace fs = std::filesystem;

TEST_CASE("a name is looked for once on each branch, and what was found is kept") {
  SmallPool p({"RW", "RO", "NC"});
  fs::create_directories(p.path(1) / "d");
  fs::create_directories(p.path(2) / "d");
  std::ofstream(p.path(2) / "d/f") << "12345";
  const auto set = p.pool.branches.snapshot();
  const std::size_t descriptors = open_descriptors();
  p.faults.reset();
  {
    PoolFacts facts(p.pool, *set, "d", "f");
    CHECK(facts.branches() == 3);
    CHECK(facts.mode(1) == BranchMode::kReadOnly);
    CHECK(facts.mode(2) == BranchMode::kNoCreate);
    CHECK(p.faults.calls(Call::kAny) == 0);
    for (int again = 0; again < 2; ++again) {
      CHECK_FALSE(facts.exists(0));
      CHECK_FALSE(facts.exists(1));
      CHECK(facts.exists(2));
    }
    CHECK(facts.stat(2).size == 5);
    CHECK(p.faults.calls(Call::kOpenDirectory) == 3);
    CHECK(p.faults.calls(Call::kStatAt) == 2);
    CHECK(p.faults.calls(Call::kStatfs) == 0);
    CHECK_FALSE(facts.first_error().has_value());
    CHECK(facts.directory(2).fd() >= 0);
    const DirRef directory = facts.take_directory(2);
    CHECK(p.faults.stat_at(directory.fd(), "f").has_value());
  }
  CHECK(open_descriptors() == descriptors);
}

TEST_CASE("without a name the question is about the directory itself") {
  SmallPool p;
  fs::create_directories(p.path(1) / "d");
  std::ofstream(p.path(0) / "d") << "a file";
  const auto set = p.pool.branches.snapshot();
  PoolFacts facts(p.pool, *set, "d");
  CHECK_FALSE(facts.exists(0));
  CHECK(facts.exists(1));
  CHECK(p.faults.calls(Call::kStatAt) == 0);
  PoolFacts root(p.pool, *set, "");
  CHECK(root.exists(0));
  CHECK(root.exists(1));
}

TEST_CASE("a failing branch counts as without it, and its first error is kept") {
  SmallPool p({"RW", "RW", "RW"});
  for (std::size_t i = 0; i < 3; ++i) std::ofstream(p.path(i) / "f") << "x";
  const auto set = p.pool.branches.snapshot();
  p.faults.fail({Call::kStatAt, 1, 1, p.path(0).string()}, EIO);
  p.faults.fail({Call::kStatAt, 1, 1, p.path(1).string()}, EACCES);
  PoolFacts facts(p.pool, *set, "", "f");
  CHECK_FALSE(facts.exists(0));
  CHECK_FALSE(facts.exists(1));
  CHECK(facts.exists(2));
  CHECK(facts.first_error() == Errno{EIO});
}

TEST_CASE("space is asked for once, in bytes") {
  SmallPool p;
  const auto set = p.pool.branches.snapshot();
  p.faults.reset();
  PoolFacts facts(p.pool, *set, "");
  const auto space = facts.space(0);
  REQUIRE(space.has_value());
  const auto native = fs::space(p.path(0));
  CHECK(space->available + space->used == native.capacity);
  CHECK_FALSE(space->read_only);
  static_cast<void>(facts.space(0));
  static_cast<void>(facts.minimum_free(0));
  CHECK(p.faults.calls(Call::kStatfs) == 1);
  p.faults.fail({Call::kStatfs}, EIO);
  CHECK_FALSE(facts.space(1).has_value());
  CHECK_FALSE(facts.space(1).has_value());
  CHECK(p.faults.calls(Call::kStatfs) == 2);
}

TEST_CASE("the minimum free space is the branch's own, else the pool's, else follows the size") {
  SmallPool p({"RW,7k", "RW"});
  const auto set = p.pool.branches.snapshot();
  const std::uint64_t size = fs::space(p.path(1)).capacity;
  p.faults.reset();
  {
    PoolFacts facts(p.pool, *set, "");
    CHECK(facts.minimum_free(0) == 7168);
    CHECK(p.faults.calls(Call::kStatfs) == 0);
    CHECK(facts.minimum_free(1) == std::min(std::uint64_t{4} << 30U, size / 20));
  }
  p.settings.min_free = 9;
  PoolFacts facts(p.pool, *set, "");
  CHECK(facts.minimum_free(0) == 7168);
  CHECK(facts.minimum_free(1) == 9);
}

TEST_CASE("more branches than have room inside are served as well") {
  SmallPool p(std::vector<std::string>(20, "RW"));
  std::ofstream(p.path(17) / "f") << "123";
  const auto set = p.pool.branches.snapshot();
  PoolFacts facts(p.pool, *set, "", "f");
  for (std::size_t i = 0; i < 20; ++i) CHECK(facts.exists(i) == (i == 17));
  CHECK(facts.stat(17).size == 3);
}

TEST_CASE("when descriptors run out, idle ones are let go of and the branch asked again") {
  SmallPool p;
  fs::create_directories(p.path(0) / "d");
  const auto set = p.pool.branches.snapshot();
  p.faults.fail({Call::kOpenDirectory}, EMFILE);
  PoolFacts facts(p.pool, *set, "d");
  CHECK(facts.exists(0));
  CHECK(p.pool.figures.descriptor_shortages == 1);
  p.faults.fail({Call::kOpenDirectory, 1, FaultyBacking::kAlways}, ENFILE);
  PoolFacts never(p.pool, *set, "d");
  CHECK_FALSE(never.exists(0));
  CHECK(never.first_error() == Errno{ENFILE});
}

namespace {

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30U;

/// A branch of 100 TiB with so much free.
void bend_room(SmallPool& p, const std::uint64_t& free) {
  p.faults.bend_statfs([&free](FsStat& stat, int) {
    stat.fragment_size = 4096;
    stat.blocks = 100'000 * kGiB / 4096;
    stat.blocks_available = free / 4096;
  });
}

/// What a decision of its own is told.
std::optional<std::uint64_t> ask_room(SmallPool& p) {
  const auto set = p.pool.branches.snapshot();
  PoolFacts facts(p.pool, *set, "");
  const auto space = facts.space(0);
  if (!space) return std::nullopt;
  return space->available;
}

bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 2000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

}  // namespace

TEST_CASE("the room of a moment ago does where there is plenty, and is asked anew where not") {
  SmallPool p({"RW"});
  p.settings.statfs_valid = std::chrono::seconds(100);
  const std::uint64_t free = 10'000 * kGiB;
  bend_room(p, free);
  const auto asks = [&](std::uint64_t minimum) {
    p.pool.settings.min_free = minimum;
    p.faults.reset();
    CHECK(ask_room(p) == free);
    return p.faults.calls(Call::kStatfs);
  };
  CHECK(asks(0) == 1);
  CHECK(asks(0) == 0);
  CHECK(asks(9'900 * kGiB) == 0);
  CHECK(asks(9'999 * kGiB + 1) == 1);
  p.settings.statfs_valid = std::chrono::seconds(0);
  CHECK(asks(0) == 1);
  CHECK(asks(0) == 1);
}

TEST_CASE("too old a figure does once more where there is plenty for its age") {
  SmallPool p({"RW"});
  p.settings.min_free = 0;
  p.settings.statfs_valid = std::chrono::milliseconds(1);
  std::uint64_t free = 3 * kGiB / 2;
  bend_room(p, free);
  CHECK(ask_room(p) == free);
  std::this_thread::sleep_for(std::chrono::milliseconds(260));
  // In a quarter of a second a disk may have taken in more than that.
  p.faults.reset();
  CHECK(ask_room(p) == free);
  CHECK(p.faults.calls(Call::kStatfs) == 1);
  CHECK(p.pool.refresher.stop(std::chrono::seconds(20)));
  CHECK(p.faults.calls(Call::kStatfs) == 1);
}

TEST_CASE("a long cache.statfs hides no disk that fills up") {
  SmallPool p({"RW"});
  p.settings.min_free = 0;
  p.settings.statfs_valid = std::chrono::seconds(1000);
  std::uint64_t free = 3 * kGiB / 2;
  bend_room(p, free);
  CHECK(ask_room(p) == free);
  std::this_thread::sleep_for(std::chrono::milliseconds(260));
  free = 4096;
  CHECK(ask_room(p) == 4096);
}

TEST_CASE("no request waits while a branch is asked anew, and that happens once at a time") {
  using std::chrono::steady_clock;
  SmallPool p({"RW"});
  p.settings.min_free = 0;
  p.settings.statfs_valid = std::chrono::milliseconds(20);
  std::uint64_t free = 50'000 * kGiB;
  bend_room(p, free);
  // There is no figure at all: this one waits.
  p.faults.delay({Call::kStatfs, 1, 1, {}}, std::chrono::milliseconds(300));
  const auto begin = steady_clock::now();
  CHECK(ask_room(p) == 50'000 * kGiB);
  CHECK(steady_clock::now() - begin >= std::chrono::milliseconds(300));
  std::this_thread::sleep_for(std::chrono::milliseconds(30));

  p.faults.reset();
  p.faults.delay({Call::kStatfs, 1, FaultyBacking::kAlways, {}}, std::chrono::milliseconds(500));
  const auto until = steady_clock::now() + std::chrono::milliseconds(300);
  while (steady_clock::now() < until) {
    const auto asked = steady_clock::now();
    CHECK(ask_room(p) == 50'000 * kGiB);
    CHECK(steady_clock::now() - asked < std::chrono::milliseconds(200));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  CHECK(p.faults.calls(Call::kStatfs) == 1);
  CHECK(p.pool.refresher.stop(std::chrono::seconds(20)));
}

TEST_CASE("a figure made anew counts, and one that could not be made is forgotten") {
  SmallPool p({"RW"});
  p.settings.min_free = 0;
  p.settings.statfs_valid = std::chrono::milliseconds(20);
  std::atomic<std::uint64_t> free = 50'000 * kGiB;
  p.faults.bend_statfs([&free](FsStat& stat, int) {
    stat.fragment_size = 4096;
    stat.blocks = 100'000 * kGiB / 4096;
    stat.blocks_available = free / 4096;
  });
  CHECK(ask_room(p) == 50'000 * kGiB);
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  free = 40'000 * kGiB;
  CHECK(ask_room(p) == 50'000 * kGiB);
  const auto set = p.pool.branches.snapshot();
  Branch& branch = (*set)[0];
  CHECK(eventually([&] {
    const auto last = branch.last_statfs();
    return last && last->stat.blocks_available == 40'000 * kGiB / 4096;
  }));
  CHECK(ask_room(p) == 40'000 * kGiB);

  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  p.faults.fail({Call::kStatfs, 1, FaultyBacking::kAlways, {}}, EIO);
  CHECK(ask_room(p) == 40'000 * kGiB);
  CHECK(eventually([&] { return !branch.last_statfs().has_value(); }));
  CHECK_FALSE(ask_room(p).has_value());
  p.faults.reset();
  CHECK(ask_room(p) == 40'000 * kGiB);
}

TEST_CASE("what is forgotten while a branch is asked anew stays forgotten") {
  SmallPool p({"RW"});
  p.settings.min_free = 0;
  p.settings.statfs_valid = std::chrono::milliseconds(10);
  const std::uint64_t free = 50'000 * kGiB;
  bend_room(p, free);
  CHECK(ask_room(p) == free);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const auto set = p.pool.branches.snapshot();
  Branch& branch = (*set)[0];
  std::atomic<bool> answered{false};
  // A file takes much of the disk between the answer and its being noted.
  p.faults.before({Call::kStatfs}, [&] { branch.forget_statfs(); });
  p.faults.before({Call::kStatfs}, [&] { answered = true; });
  CHECK(ask_room(p) == free);
  CHECK(eventually([&] { return answered.load(); }));
  CHECK(p.pool.refresher.stop(std::chrono::seconds(20)));
  CHECK_FALSE(branch.last_statfs().has_value());
}

TEST_CASE("when a disk turns out to be full, every branch is asked again") {
  SmallPool p({"RW"});
  p.settings.statfs_valid = std::chrono::seconds(100);
  p.settings.min_free = 0;
  const std::uint64_t free = 50'000 * kGiB;
  bend_room(p, free);
  CHECK(ask_room(p) == free);
  const auto full = with_freed_space(p.pool, [] { return Result<void>(Errno{ENOSPC}); });
  CHECK(full.error() == Errno{ENOSPC});
  CHECK_FALSE((*p.pool.branches.snapshot())[0].last_statfs().has_value());
}

TEST_CASE("a disk that an idle pool has let go of is not reached for") {
  SmallPool p({"RW"});
  p.settings.min_free = 0;
  p.settings.statfs_valid = std::chrono::milliseconds(10);
  const std::uint64_t free = 50'000 * kGiB;
  bend_room(p, free);
  CHECK(ask_room(p) == free);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const auto set = p.pool.branches.snapshot();
  Branch& branch = (*set)[0];
  branch.let_go();
  p.faults.reset();
  const std::size_t descriptors = open_descriptors();
  CHECK(ask_room(p) == free);
  CHECK(eventually([&] { return !branch.last_statfs().has_value(); }));
  CHECK(p.faults.calls(Call::kAny) == 0);
  CHECK(open_descriptors() == descriptors);
}

TEST_CASE("a branch that hangs keeps neither the others from being asked nor the end from coming") {
  SmallPool p({"RW", "RW"});
  p.settings.min_free = 0;
  p.settings.statfs_valid = std::chrono::milliseconds(10);
  const std::uint64_t free = 50'000 * kGiB;
  bend_room(p, free);
  const auto set = p.pool.branches.snapshot();
  const auto ask_both = [&] {
    PoolFacts facts(p.pool, *set, "");
    for (const std::size_t i : {0U, 1U}) CHECK(facts.space(i).has_value());
  };
  ask_both();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  p.faults.reset();
  std::atomic<bool> hangs{true};
  p.faults.before({Call::kStatfs, 1, FaultyBacking::kAlways, p.path(0).string()}, [&] {
    while (hangs) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  std::atomic<int> second{0};
  p.faults.before({Call::kStatfs, 1, FaultyBacking::kAlways, p.path(1).string()},
                  [&] { ++second; });
  CHECK(eventually([&] {
    ask_both();
    return second >= 3;
  }));
  CHECK_FALSE(p.pool.refresher.stop(std::chrono::milliseconds(50)));
  hangs = false;
  CHECK(p.pool.refresher.stop(std::chrono::seconds(20)));
}

TEST_CASE("the threads end in the quiet and come again") {
  SmallPool p({"RW"});
  p.settings.min_free = 0;
  p.settings.statfs_valid = std::chrono::milliseconds(10);
  const std::uint64_t free = 50'000 * kGiB;
  bend_room(p, free);
  const auto threads = [] {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& each : fs::directory_iterator("/proc/self/task")) ++count;
    return count;
  };
  const std::size_t before = threads();
  for (int round = 0; round < 2; ++round) {
    p.faults.reset();
    CHECK(ask_room(p) == free);
    CHECK(eventually([&] {
      CHECK(ask_room(p) == free);
      return p.faults.calls(Call::kStatfs) >= 2;
    }));
    CHECK(threads() > before);
    p.pool.refresher.rest();
    CHECK(eventually([&] { return threads() == before; }));
  }
}

TEST_CASE("a branch that answers EIO is reached anew the next time") {
  SmallPool p({"RW", "RW"});
  fs::create_directories(p.path(0) / "d");
  const auto set = p.pool.branches.snapshot();
  const auto ask = [&] {
    PoolFacts facts(p.pool, *set, "d", "f", PoolFacts::Directories::kRecent);
    CHECK_FALSE(facts.exists(0));
    return facts.first_error();
  };
  CHECK_FALSE(ask().has_value());
  p.faults.fail({Call::kStatAt, 1, 1, {}}, EIO);
  CHECK(ask() == Errno{EIO});
  // The disk was unmounted, and its mount point is no branch.
  fs::rename(p.path(0), p.path(0).string() + "-away");
  fs::create_directory(p.path(0));
  CHECK(ask() == Errno{ESTALE});
}

TEST_CASE("a failure is told, of asking for room too, and not hidden by a disk that is gone") {
  SmallPool p({"RW", "RW", "RW"});
  const auto set = p.pool.branches.snapshot();
  const auto below = [&](std::size_t branch) { return p.path(branch).string(); };
  p.faults.fail({Call::kOpenDirectory, 1, 1, below(0)}, ESTALE);
  p.faults.fail({Call::kOpenDirectory, 1, 1, below(1)}, EIO);
  p.faults.fail({Call::kOpenDirectory, 1, 1, below(2)}, EACCES);
  PoolFacts facts(p.pool, *set, "d");
  for (const std::size_t i : {0U, 1U, 2U}) CHECK_FALSE(facts.exists(i));
  CHECK(facts.first_error() == Errno{EIO});

  p.faults.reset();
  p.faults.fail({Call::kStatfs, 1, 1, below(1)}, EIO);
  PoolFacts room(p.pool, *set, "");
  CHECK(room.space(0).has_value());
  CHECK_FALSE(room.space(1).has_value());
  CHECK(room.first_error() == Errno{EIO});
}
