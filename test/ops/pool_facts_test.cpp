#include "ops/pool_facts.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <thread>

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

TEST_CASE("the room of a moment ago does where there is plenty, and is asked anew where not") {
  constexpr std::uint64_t kGiB = std::uint64_t{1} << 30U;
  SmallPool p({"RW"});
  p.faults.bend_statfs([](FsStat& stat) {
    stat.fragment_size = 4096;
    stat.blocks = 100 * kGiB / 4096;
    stat.blocks_available = 10 * kGiB / 4096;
  });
  const auto set = p.pool.branches.snapshot();
  const auto asks = [&](std::uint64_t minimum) {
    p.pool.settings.min_free = minimum;
    p.faults.reset();
    PoolFacts facts(p.pool, *set, "");
    const auto space = facts.space(0);
    REQUIRE(space.has_value());
    CHECK(space->available == 10 * kGiB);
    return p.faults.calls(Call::kStatfs);
  };
  CHECK(asks(0) == 1);
  CHECK(asks(0) == 0);
  CHECK(asks(9 * kGiB) == 0);
  CHECK(asks(9 * kGiB + 1) == 1);
  std::this_thread::sleep_for(std::chrono::milliseconds(260));
  CHECK(asks(0) == 1);
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
