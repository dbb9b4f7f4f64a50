#include <doctest/doctest.h>

#include "policy/registry.hpp"
#include "test/policy/table_facts.hpp"

using namespace bough::policy;
using bough::test::FixedRandom;
using bough::test::SequenceRandom;
using bough::test::TableFacts;

namespace {
constexpr auto kRead = BranchMode::kReadOnly;
constexpr auto kNoCreate = BranchMode::kNoCreate;
constexpr auto kWrite = BranchMode::kReadWrite;

const auto search_ff = find(search_policies(), "ff") -> choose;
const auto action_epall = find(action_policies(), "epall") -> choose;
}  // namespace

TEST_CASE("search ff takes the first copy, whatever its branch may do, and asks no further") {
  TableFacts facts({{kWrite, false}, {kRead, true, 0, true, 5}, {kWrite, true}});
  FixedRandom random({0});
  const Choice choice = search_ff(facts, random);
  REQUIRE(choice.size() == 1);
  CHECK(choice[0] == 1);
  CHECK(facts.row(0).asked_exists == 1);
  CHECK(facts.row(1).asked_exists == 1);
  CHECK(facts.row(2).asked_exists == 0);
  for (std::size_t i = 0; i < 3; ++i) CHECK(facts.row(i).asked_space == 0);
}

TEST_CASE("a search that finds nothing is ENOENT") {
  TableFacts facts({{kRead, false}, {kWrite, false}});
  FixedRandom random({0});
  CHECK(search_ff(facts, random).empty());
  CHECK(search_ff(facts, random).refusal() == Refusal::kNotFound);
  TableFacts none({});
  CHECK(search_ff(none, random).refusal() == Refusal::kNotFound);
}

TEST_CASE("action epall takes every copy that may be changed, in list order, full branches too") {
  TableFacts facts({{kNoCreate, true, 0, false, 100},
                    {kRead, true},
                    {kWrite, false},
                    {kWrite, true, 1, false, 100},
                    {kWrite, true, 1000, true},
                    {kWrite, true, std::nullopt},
                    {kWrite, true}});
  FixedRandom random({0});
  const Choice choice = action_epall(facts, random);
  REQUIRE(choice.size() == 3);
  CHECK(choice[0] == 0);
  CHECK(choice[1] == 3);
  CHECK(choice[2] == 6);
  CHECK(facts.row(1).asked_exists == 0);
  CHECK(facts.row(2).asked_space == 0);
  for (std::size_t i = 0; i < facts.branches(); ++i) CHECK(facts.row(i).asked_minimum == 0);
}

TEST_CASE("copies on read-only branches alone are EROFS, none at all ENOENT") {
  FixedRandom random({0});
  TableFacts read_only({{kRead, true}, {kWrite, false}});
  CHECK(action_epall(read_only, random).refusal() == Refusal::kReadOnly);
  TableFacts mounted({{kWrite, true, 10, true}});
  CHECK(action_epall(mounted, random).refusal() == Refusal::kReadOnly);
  TableFacts none({{kWrite, false}, {kNoCreate, false}});
  CHECK(action_epall(none, random).refusal() == Refusal::kNotFound);
}

TEST_CASE("no action ever touches a read-only branch") {
  SequenceRandom dice(5);
  for (int round = 0; round < 2000; ++round) {
    std::vector<TableFacts::Row> rows(dice.next() % 10);
    for (TableFacts::Row& row : rows) {
      row.mode = static_cast<BranchMode>(dice.next() % 3);
      row.exists = dice.next() % 2 == 0;
      row.read_only = dice.next() % 3 == 0;
    }
    TableFacts facts(rows);
    const Choice choice = action_epall(facts, dice);
    std::size_t next = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (rows[i].mode == kRead || !rows[i].exists || rows[i].read_only) continue;
      REQUIRE(next < choice.size());
      CHECK(choice[next++] == i);
    }
    CHECK(next == choice.size());
  }
}
