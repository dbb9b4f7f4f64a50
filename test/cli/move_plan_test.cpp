#include "cli/move_plan.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cli/move_report.hpp"
#include "cli/move_rounds.hpp"
#include "cli/mover.hpp"

namespace bough::cli {
namespace {

Shelf shelf(const std::string& branch, std::uint64_t used, std::vector<std::uint64_t> sizes) {
  Shelf made{used, 100, branch, {}};
  for (const std::uint64_t size : sizes)
    made.items.push_back({{branch + std::to_string(size)}, branch, "", size});
  return made;
}

std::vector<std::pair<std::string, std::string>> told(const std::vector<MoveItem>& items) {
  std::vector<std::pair<std::string, std::string>> all;
  for (const MoveItem& item : items) all.emplace_back(item.names.front(), item.to);
  return all;
}

}  // namespace

TEST_CASE("balance: the largest that does not overshoot goes from the fullest to the emptiest") {
  using Moves = std::vector<std::pair<std::string, std::string>>;
  CHECK(told(level({shelf("a", 80, {60, 25, 5, 5}), shelf("b", 20, {})}, 2)) ==
        Moves{{"a25", "b"}, {"a5", "b"}});
  CHECK(told(level({shelf("a", 51, {1}), shelf("b", 49, {})}, 2)).empty());
  CHECK(told(level({shelf("a", 90, {80}), shelf("b", 10, {})}, 2)).empty());
  CHECK(told(level({shelf("a", 60, {10, 10}), shelf("b", 60, {10}), shelf("c", 0, {})}, 5)) ==
        Moves{{"a10", "c"}, {"b10", "c"}, {"a10", "c"}});
  CHECK(level({}, 2).empty());
  CHECK(level({shelf("a", 0, {})}, 2).empty());
}

TEST_CASE("move: what was added twice is planned once") {
  MovePlan plan;
  plan.items = {{{"d/f", "e/g"}, "/a", "/c", 1},
                {{"e/g", "d/f"}, "/a", "/c", 1},
                {{"d/f"}, "/b", "/c", 1},
                {{"d"}, "/a", "/c", 0, true},
                {{"d"}, "/a", "/c", 0, true}};
  plan.stays = {{"/a/x", "one"}, {"/a/x", "one"}};
  drop_duplicates(plan);
  CHECK(plan.items.size() == 3);
  CHECK(plan.items[1].from == "/b");
  CHECK(plan.stays.size() == 1);
}

TEST_CASE(
    "move: what has come or was renamed is tried, what failed is not, unless it may be empty now") {
  MovePlan done;
  done.stays = {{"/a/d/busy", "busy", true},
                {"/a/d", "full", true},
                {"/a/gone", "busy", true},
                {"/a/dark", "closed"}};
  MovePlan found;
  found.items = {{{"d/busy"}, "/a", "", 1}, {{"d"}, "/a", "", 0, true}};
  MovePlan left = what_is_left(done, found);
  CHECK(left.items.empty());
  REQUIRE(left.stays.size() == 2);
  CHECK(left.stays[0].path == "/a/d/busy");
  CHECK(left.stays[1].path == "/a/d");
  found.items.insert(found.items.begin(), {{"d/renamed"}, "/a", "", 1});
  left = what_is_left(done, found);
  CHECK(told(left.items) ==
        std::vector<std::pair<std::string, std::string>>{{"d/renamed", ""}, {"d", ""}});
  CHECK(left.stays.size() == 1);
}

TEST_CASE("move: what is under way is read from what the pool tells") {
  CHECK(copied_bytes("") == 0);
  CHECK(copied_bytes("a/b from /x to /y: 12 KiB of 80 KiB") == 12 << 10);
  CHECK(copied_bytes("a: b from /x to /y: 12 MiB of 80 MiB, 3 MiB/s, 22 s left; "
                     "c from /x to /y: 1 KiB of 2 KiB") == (12 << 20) + (1 << 10));
  CHECK(copied_bytes("a; b: c") == 0);
}

TEST_CASE("move: progress for people") {
  CHECK(progress_text({1, 3, 10 << 20, 30 << 20, 2}) ==
        "1 of 3 files, 10.0M of 30.0M, 5.0M/s, 4 s left");
  CHECK(progress_text({0, 1, 0, 100, 0}) == "0 of 1 file, 0B of 100B");
}

}  // namespace bough::cli
