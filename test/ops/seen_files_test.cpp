#include "ops/seen_files.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <vector>

using namespace bough;

TEST_CASE("SeenFiles: unchanged only if nothing that tells files apart has changed") {
  const auto seen = std::make_unique<ops::SeenFiles>();
  constexpr std::int64_t kSecond = 1'000'000'000;
  const proto::NodeId node{77};
  ops::FileStat stat;
  stat.id = {1, 2, 3};
  stat.size = 10;
  stat.mtime = {100, 5};
  stat.ctime = {100, 5};
  const std::int64_t later = 200 * kSecond;
  CHECK_FALSE(seen->unchanged(node, stat, later));
  CHECK(seen->unchanged(node, stat, later));
  CHECK_FALSE(seen->unchanged(proto::NodeId{78}, stat, later));
  const auto change = [&](auto what) {
    CHECK(seen->unchanged(node, stat, later));
    ops::FileStat changed = stat;
    what(changed);
    CHECK_FALSE(seen->unchanged(node, changed, later));
    CHECK(seen->unchanged(node, changed, later));
    CHECK_FALSE(seen->unchanged(node, stat, later));
  };
  change([](ops::FileStat& each) { each.id.device = 9; });
  change([](ops::FileStat& each) { each.id.ino = 9; });
  change([](ops::FileStat& each) { each.id.birth_ns = 9; });
  change([](ops::FileStat& each) { each.size = 11; });
  change([](ops::FileStat& each) { each.mtime.nanoseconds = 6; });
  change([](ops::FileStat& each) { each.mtime.seconds = 99; });
  change([](ops::FileStat& each) { each.ctime.nanoseconds = 6; });

  // Changed a moment ago, it may be changed again without another time to show for it.
  const std::int64_t soon = 100 * kSecond + 5 + ops::SeenFiles::kSettled;
  CHECK_FALSE(seen->unchanged(node, stat, soon));
  CHECK_FALSE(seen->unchanged(node, stat, soon));
  CHECK_FALSE(seen->unchanged(node, stat, soon + 1));
  CHECK(seen->unchanged(node, stat, soon + 1));
  CHECK_FALSE(seen->unchanged(node, stat, 99 * kSecond));

  // On FAT two changes within two seconds have the same times.
  stat.ctime = {100, 0};
  const std::int64_t slowly = 100 * kSecond + ops::SeenFiles::kSlowlySettled;
  CHECK_FALSE(seen->unchanged(node, stat, slowly));
  CHECK_FALSE(seen->unchanged(node, stat, slowly));
  CHECK_FALSE(seen->unchanged(node, stat, slowly + 1));
  CHECK(seen->unchanged(node, stat, slowly + 1));
}

TEST_CASE("SeenFiles: a directory is unchanged only if every copy of it is") {
  const auto seen = std::make_unique<ops::SeenFiles>();
  constexpr std::int64_t kSecond = 1'000'000'000;
  const proto::NodeId node{77};
  std::vector<ops::FileStat> copies(2);
  for (ops::FileStat& each : copies) {
    each.id = {1, 2, 3};
    each.mtime = each.ctime = {100, 5};
  }
  copies[1].id.ino = 4;
  const std::int64_t later = 200 * kSecond;
  CHECK_FALSE(seen->unchanged(node, copies, later));
  CHECK(seen->unchanged(node, copies, later));
  copies[1].mtime.nanoseconds = 6;
  CHECK_FALSE(seen->unchanged(node, copies, later));
  CHECK(seen->unchanged(node, copies, later));
  copies.pop_back();
  CHECK_FALSE(seen->unchanged(node, copies, later));
  CHECK(seen->unchanged(node, copies, later));

  const std::int64_t settled = 100 * kSecond + 5 + ops::SeenFiles::kSlowlySettled;
  CHECK_FALSE(seen->unchanged(node, copies, settled));
  CHECK_FALSE(seen->unchanged(node, copies, settled + 1));
  CHECK(seen->unchanged(node, copies, settled + 1));
}
