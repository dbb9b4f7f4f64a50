#include <doctest/doctest.h>

#include <array>
#include <limits>

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

const auto create_ff = find(create_policies(), "ff") -> choose;
const auto create_mfs = find(create_policies(), "mfs") -> choose;
const auto create_epmfs = find(create_policies(), "epmfs") -> choose;
const auto create_pfrd = find(create_policies(), "pfrd") -> choose;

Choice run(Choice (*policy)(Facts&, Random&), std::vector<TableFacts::Row> rows,
           std::uint64_t number = 0) {
  TableFacts facts(std::move(rows));
  FixedRandom random({number});
  return policy(facts, random);
}

std::size_t only(const Choice& choice) {
  REQUIRE(choice.size() == 1);
  return choice[0];
}

const std::array kAll{create_ff, create_mfs, create_epmfs, create_pfrd};

}  // namespace

TEST_CASE("ff takes the first branch with room, whether the parent is there or not") {
  CHECK(only(run(create_ff, {{}, {}})) == 0);
  CHECK(only(run(create_ff, {{kWrite, false}, {}})) == 0);
  CHECK(only(run(create_ff, {{kRead}, {kNoCreate}, {}, {}})) == 2);
  CHECK(only(run(create_ff, {{kWrite, true, 99, false, 100}, {kWrite, true, 100, false, 100}})) ==
        1);
  CHECK(only(run(create_ff, {{kWrite, true, 1000, true}, {}})) == 1);
  CHECK(only(run(create_ff, {{kWrite, true, std::nullopt}, {}})) == 1);
}

TEST_CASE("ff asks nothing of the branches after the one that it takes, nor about the path") {
  TableFacts facts({{kRead}, {}, {}});
  FixedRandom random({0});
  CHECK(only(create_ff(facts, random)) == 1);
  CHECK(facts.row(0).asked_space == 0);
  CHECK(facts.row(1).asked_space == 1);
  CHECK(facts.row(1).asked_minimum == 1);
  CHECK(facts.row(2).asked_space == 0);
  for (std::size_t i = 0; i < 3; ++i) CHECK(facts.row(i).asked_exists == 0);
}

TEST_CASE("mfs takes the most available, the last of equals") {
  CHECK(only(run(create_mfs, {{kWrite, true, 10}, {kWrite, true, 30}, {kWrite, true, 20}})) == 1);
  CHECK(only(run(create_mfs, {{kWrite, true, 30}, {kWrite, true, 30}, {kWrite, true, 20}})) == 1);
  CHECK(only(run(create_mfs, {{kWrite, false, 30}, {kWrite, true, 20}})) == 0);
  CHECK(only(run(create_mfs, {{kRead, true, 90}, {kWrite, true, 20}})) == 1);
  CHECK(only(run(create_mfs, {{kWrite, true, 0}, {kWrite, true, 0}})) == 1);
}

TEST_CASE("epmfs chooses only among the branches that have the parent") {
  CHECK(only(run(create_epmfs, {{kWrite, true, 10}, {kWrite, false, 30}})) == 0);
  CHECK(only(run(create_epmfs, {{kWrite, true, 10}, {kWrite, true, 10}})) == 1);
  const Choice none = run(create_epmfs, {{kWrite, false, 10}, {kWrite, false, 30}});
  CHECK(none.empty());
  CHECK(none.refusal() == Refusal::kNotFound);
}

TEST_CASE("epmfs asks for space only where the parent is, each fact once") {
  TableFacts facts({{kWrite, false}, {kWrite, true}});
  FixedRandom random({0});
  CHECK(only(create_epmfs(facts, random)) == 1);
  CHECK(facts.row(0).asked_exists == 1);
  CHECK(facts.row(0).asked_space == 0);
  CHECK(facts.row(1).asked_exists == 1);
  CHECK(facts.row(1).asked_space == 1);
  CHECK(facts.row(1).asked_minimum == 1);
}

TEST_CASE("pfrd walks the branches by their available space") {
  const std::vector<TableFacts::Row> rows{
      {kWrite, false, 10}, {kRead, true, 1000}, {kWrite, true, 0}, {kWrite, true, 30}};
  CHECK(only(run(create_pfrd, rows, 0)) == 0);
  CHECK(only(run(create_pfrd, rows, 9)) == 0);
  CHECK(only(run(create_pfrd, rows, 10)) == 3);
  CHECK(only(run(create_pfrd, rows, 39)) == 3);
  CHECK(only(run(create_pfrd, rows, 40)) == 0);
}

TEST_CASE("pfrd shares in proportion") {
  TableFacts facts({{kWrite, true, 1000}, {kWrite, true, 3000}});
  SequenceRandom random(7);
  std::array<int, 2> taken{};
  constexpr int kRounds = 20000;
  for (int i = 0; i < kRounds; ++i) ++taken[only(create_pfrd(facts, random))];
  CHECK(taken[0] > kRounds * 23 / 100);
  CHECK(taken[0] < kRounds * 27 / 100);
}

TEST_CASE("pfrd bears absurd sizes") {
  constexpr auto kHuge = std::numeric_limits<std::uint64_t>::max();
  const std::vector<TableFacts::Row> rows{
      {kWrite, true, kHuge}, {kWrite, true, kHuge}, {kWrite, true, kHuge}};
  for (const std::uint64_t number : {std::uint64_t{0}, kHuge / 2, kHuge - 1, kHuge})
    CHECK(run(create_pfrd, rows, number).size() == 1);
  CHECK(only(run(create_pfrd, rows, kHuge - 3)) == 2);
}

TEST_CASE("without any space at all the answer is ENOSPC") {
  const Choice none = run(create_pfrd, {{kWrite, true, 0}, {kWrite, true, 0}});
  CHECK(none.empty());
  CHECK(none.refusal() == Refusal::kNoSpace);
}

TEST_CASE("the greatest reason is the refusal: read-only, then space, then absence") {
  const TableFacts::Row full{kWrite, true, 1, false, 2};
  const TableFacts::Row gone{kWrite, true, std::nullopt};
  const TableFacts::Row mounted_read_only{kWrite, true, 10, true};
  for (const auto policy : kAll) {
    CHECK(run(policy, {}).refusal() == Refusal::kNotFound);
    CHECK(run(policy, {gone}).refusal() == Refusal::kNotFound);
    CHECK(run(policy, {full, gone}).refusal() == Refusal::kNoSpace);
    CHECK(run(policy, {gone, {kRead}, full}).refusal() == Refusal::kReadOnly);
    CHECK(run(policy, {full, {kNoCreate}}).refusal() == Refusal::kReadOnly);
    CHECK(run(policy, {full, mounted_read_only}).refusal() == Refusal::kReadOnly);
  }
}

TEST_CASE("no create policy ever takes a branch that may not be written, or has no room") {
  SequenceRandom dice(42);
  for (int round = 0; round < 3000; ++round) {
    std::vector<TableFacts::Row> rows(dice.next() % 12);
    for (TableFacts::Row& row : rows) {
      row.mode = static_cast<BranchMode>(dice.next() % 3);
      row.exists = dice.next() % 2 == 0;
      row.available = dice.next() % 100;
      if (dice.next() % 8 == 0) row.available.reset();
      row.read_only = dice.next() % 4 == 0;
      row.minimum = dice.next() % 50;
    }
    const auto good = [&](const TableFacts::Row& row) {
      return row.mode == kWrite && row.available && !row.read_only && *row.available >= row.minimum;
    };
    for (const auto policy : kAll) {
      TableFacts facts(rows);
      const Choice choice = policy(facts, dice);
      bool any = false;
      for (const TableFacts::Row& row : rows)
        any = any || (good(row) && (policy != create_epmfs || row.exists) &&
                      (policy != create_pfrd || *row.available > 0));
      CHECK(choice.empty() == !any);
      if (!choice.empty()) {
        CHECK(good(rows[only(choice)]));
        if (policy == create_epmfs) CHECK(rows[choice[0]].exists);
      }
      for (std::size_t i = 0; i < rows.size(); ++i) {
        CHECK(facts.row(i).asked_space <= 1);
        CHECK(facts.row(i).asked_exists <= 1);
        if (rows[i].mode != kWrite) CHECK(facts.row(i).asked_space == 0);
      }
    }
  }
}
