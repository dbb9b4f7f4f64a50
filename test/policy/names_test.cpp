#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "policy/registry.hpp"
#include "test/policy/table_facts.hpp"

using namespace bough::policy;
using bough::test::FixedRandom;
using bough::test::SequenceRandom;
using bough::test::TableFacts;

// Every name in every category on one pool whose branches differ in all that a policy may compare.
// Expected choices are written out, from what each policy is documented to do.

namespace {

using Row = TableFacts::Row;
using Indices = std::vector<std::size_t>;

Row row(BranchMode mode, bool exists, std::uint64_t available, std::uint64_t used,
        std::int64_t modified) {
  Row made;
  made.mode = mode;
  made.exists = exists;
  made.available = available;
  made.used = used;
  made.modified = Moment{modified, 0};
  made.minimum = 10;
  return made;
}

constexpr auto kRead = BranchMode::kReadOnly;
constexpr auto kNoCreate = BranchMode::kNoCreate;
constexpr auto kWrite = BranchMode::kReadWrite;

/// 0: read-only, best at everything; 1: no new files, next best; 2: the path is missing; 3, 4, 5:
/// all is there, and 5 equals 4 in space; 6: full.
std::vector<Row> pool() {
  return {row(kRead, true, 9000, 1, 99),    row(kNoCreate, true, 8000, 2, 98),
          row(kWrite, false, 7000, 3, 0),   row(kWrite, true, 500, 40, 50),
          row(kWrite, true, 900, 30, 60),   row(kWrite, true, 900, 30, 60),
          row(kWrite, true, 5, 1000000, 70)};
}

Indices chosen(std::span<const Policy> policies, std::string_view name, std::vector<Row> rows,
               std::uint64_t number = 0, std::size_t depth = 0) {
  TableFacts facts(std::move(rows), depth);
  FixedRandom random({number});
  const Policy* const policy = find(policies, name);
  REQUIRE(policy != nullptr);
  const Choice choice = policy->choose(facts, random);
  Indices found;
  for (std::size_t i = 0; i < choice.size(); ++i) found.push_back(choice[i]);
  return found;
}

}  // namespace

TEST_CASE("all 21 names are in every category") {
  const std::set<std::string_view> names{
      "all",    "epall",  "epff",   "eplfs",   "eplus",  "epmfs", "eppfrd",
      "eprand", "erofs",  "ff",     "lfs",     "lup",    "lus",   "mfs",
      "msplfs", "msplus", "mspmfs", "msppfrd", "newest", "pfrd",  "rand"};
  REQUIRE(names.size() == 21);
  for (const auto policies : {create_policies(), action_policies(), search_policies()}) {
    CHECK(policies.size() == names.size());
    for (const std::string_view name : names) CHECK(find(policies, name) != nullptr);
  }
}

TEST_CASE("which of them preserve paths") {
  const std::set<std::string_view> preserving{"epall",  "epff",   "eplfs",  "eplus",
                                              "epmfs",  "eppfrd", "eprand", "msplfs",
                                              "msplus", "mspmfs", "msppfrd"};
  for (const Policy& policy : create_policies()) {
    CAPTURE(policy.name);
    CHECK(policy.path_preserving == (preserving.count(policy.name) == 1));
  }
}

TEST_CASE("what each create policy takes") {
  const std::map<std::string, Indices> expected{
      {"all", {2, 3, 4, 5}}, {"epall", {3, 4, 5}}, {"ff", {2}},     {"epff", {3}},
      {"lfs", {3}},          {"eplfs", {3}},       {"mfs", {2}},    {"epmfs", {5}},
      {"lus", {2}},          {"eplus", {4}},       {"lup", {2}},    {"newest", {5}},
      {"mspmfs", {5}},       {"msplfs", {3}},      {"msplus", {4}}, {"erofs", {}}};
  for (const auto& each : expected) {
    const auto& name = each.first;
    CAPTURE(name);
    CHECK(chosen(create_policies(), name, pool()) == each.second);
  }
}

TEST_CASE("what each action policy takes: never of a read-only branch, and of a full one") {
  const std::map<std::string, Indices> expected{{"all", {1, 3, 4, 5, 6}},
                                                {"epall", {1, 3, 4, 5, 6}},
                                                {"ff", {1}},
                                                {"epff", {1}},
                                                {"lfs", {6}},
                                                {"eplfs", {6}},
                                                {"mfs", {1}},
                                                {"epmfs", {1}},
                                                {"lus", {1}},
                                                {"eplus", {1}},
                                                {"lup", {1}},
                                                {"newest", {1}},
                                                {"mspmfs", {1}},
                                                {"msplfs", {6}},
                                                {"msplus", {1}},
                                                {"erofs", {}}};
  for (const auto& each : expected) {
    const auto& name = each.first;
    CAPTURE(name);
    CHECK(chosen(action_policies(), name, pool()) == each.second);
  }
}

TEST_CASE("what each search policy takes: wherever the path is") {
  const std::map<std::string, Indices> expected{{"all", {0, 1, 3, 4, 5, 6}},
                                                {"epall", {0, 1, 3, 4, 5, 6}},
                                                {"ff", {0}},
                                                {"epff", {0}},
                                                {"lfs", {6}},
                                                {"eplfs", {6}},
                                                {"mfs", {0}},
                                                {"epmfs", {0}},
                                                {"lus", {0}},
                                                {"eplus", {0}},
                                                {"lup", {0}},
                                                {"newest", {0}},
                                                {"mspmfs", {0}},
                                                {"msplfs", {6}},
                                                {"msplus", {0}},
                                                {"erofs", {}}};
  for (const auto& each : expected) {
    const auto& name = each.first;
    CAPTURE(name);
    CHECK(chosen(search_policies(), name, pool()) == each.second);
  }
}

TEST_CASE("equals: the last for free space and age, the first for used space") {
  const std::vector<Row> equals(3, row(kWrite, true, 100, 100, 5));
  for (const char* name : {"mfs", "lfs", "epmfs", "eplfs", "newest", "mspmfs", "msplfs"}) {
    CAPTURE(name);
    CHECK(chosen(create_policies(), name, equals) == Indices{2});
    CHECK(chosen(search_policies(), name, equals) == Indices{2});
    CHECK(chosen(action_policies(), name, equals) == Indices{2});
  }
  for (const char* name : {"lus", "eplus", "lup", "msplus"}) {
    CAPTURE(name);
    CHECK(chosen(create_policies(), name, equals) == Indices{0});
    CHECK(chosen(search_policies(), name, equals) == Indices{0});
    CHECK(chosen(action_policies(), name, equals) == Indices{0});
  }
}

TEST_CASE("lup compares shares, not bytes, of any size") {
  constexpr std::uint64_t kHuge = std::uint64_t{1} << 63U;
  CHECK(chosen(create_policies(), "lup",
               {row(kWrite, true, 100, 50, 0), row(kWrite, true, 1000, 400, 0)}) == Indices{1});
  CHECK(chosen(create_policies(), "lup",
               {row(kWrite, true, kHuge - 1, kHuge, 0), row(kWrite, true, kHuge, kHuge - 1, 0)}) ==
        Indices{1});
  std::vector<Row> empty(2, row(kWrite, true, 0, 0, 0));
  for (Row& each : empty) each.minimum = 0;
  CHECK(chosen(create_policies(), "lup", empty) == Indices{0});
}

TEST_CASE(
    "newest looks only at copies that may be taken, and passes over one that cannot be asked") {
  std::vector<Row> rows{row(kRead, true, 100, 0, 9), row(kWrite, true, 100, 0, 5),
                        row(kWrite, true, 100, 0, 7), row(kWrite, true, 100, 0, 8)};
  rows[3].modified.reset();
  CHECK(chosen(create_policies(), "newest", rows) == Indices{2});
  CHECK(chosen(search_policies(), "newest", rows) == Indices{0});
  // Within a second, too.
  rows[1].modified = Moment{7, 1};
  CHECK(chosen(create_policies(), "newest", rows) == Indices{1});
}

TEST_CASE("random ones take what the dice say, among all that may be taken") {
  CHECK(chosen(create_policies(), "rand", pool(), 1) == Indices{3});
  CHECK(chosen(create_policies(), "rand", pool(), 4) == Indices{2});
  CHECK(chosen(create_policies(), "eprand", pool(), 1) == Indices{4});
  CHECK(chosen(action_policies(), "rand", pool(), 4) == Indices{6});
  CHECK(chosen(search_policies(), "eprand", pool(), 5) == Indices{6});
  CHECK(chosen(create_policies(), "eppfrd", pool(), 499) == Indices{3});
  CHECK(chosen(create_policies(), "eppfrd", pool(), 500) == Indices{4});
  CHECK(chosen(search_policies(), "pfrd", pool(), 8999) == Indices{0});
  CHECK(chosen(search_policies(), "pfrd", pool(), 9000) == Indices{1});
  CHECK(chosen(action_policies(), "msppfrd", pool(), 8000) == Indices{3});
}

TEST_CASE("what is there is found on disks without any room") {
  std::vector<Row> full(2, row(kWrite, true, 0, 10, 0));
  for (const char* name : {"pfrd", "eppfrd", "msppfrd"}) {
    CAPTURE(name);
    CHECK(chosen(search_policies(), name, full) == Indices{0});
    CHECK(chosen(action_policies(), name, full) == Indices{0});
    CHECK(chosen(create_policies(), name, full).empty());
  }
}

TEST_CASE("msp: where most of the path is that may be written, and it ends at the root") {
  // a/b/c: nobody has it; 0 has a/b but is full, 1 and 2 have a.
  std::vector<Row> rows(4, row(kWrite, false, 100, 10, 0));
  rows[0].levels = 2;
  rows[0].available = 5;
  rows[1].levels = 1;
  rows[2].levels = 1;
  rows[2].available = 50;
  rows[3].available = 1000;
  CHECK(chosen(create_policies(), "mspmfs", rows, 0, 3) == Indices{1});
  CHECK(chosen(create_policies(), "msplfs", rows, 0, 3) == Indices{2});
  CHECK(chosen(create_policies(), "msplus", rows, 0, 3) == Indices{1});
  CHECK(chosen(create_policies(), "msppfrd", rows, 100, 3) == Indices{2});
  rows[1].mode = kRead;
  rows[2].mode = kRead;
  CHECK(chosen(create_policies(), "mspmfs", rows, 0, 3) == Indices{3});

  // Nobody qualifies, not even at the root.
  rows[3].available = 5;
  for (const char* name : {"mspmfs", "msplfs", "msplus", "msppfrd"}) {
    CAPTURE(name);
    TableFacts facts(rows, 3);
    FixedRandom random({0});
    const Choice choice = find(create_policies(), name)->choose(facts, random);
    CHECK(choice.empty());
    CHECK(choice.refusal() == Refusal::kReadOnly);
  }
}

TEST_CASE("no policy takes what its category forbids") {
  SequenceRandom dice(11);
  const auto random_rows = [&dice] {
    std::vector<Row> rows(dice.next() % 12);
    for (Row& each : rows) {
      each.mode = static_cast<BranchMode>(dice.next() % 3);
      each.exists = dice.next() % 2 == 0;
      each.available = dice.next() % 100;
      if (dice.next() % 8 == 0) each.available.reset();
      each.read_only = dice.next() % 4 == 0;
      each.minimum = dice.next() % 50;
      each.used = dice.next() % 100;
      each.modified = Moment{static_cast<std::int64_t>(dice.next() % 5), 0};
    }
    return rows;
  };
  for (int round = 0; round < 500; ++round) {
    const std::vector<Row> rows = random_rows();
    const auto writable = [](const Row& each) {
      return each.mode != kRead && each.available && !each.read_only;
    };
    const auto all_chosen = [&](std::span<const Policy> policies, const auto& allowed) {
      for (const Policy& policy : policies) {
        CAPTURE(policy.name);
        TableFacts facts(rows, 1);
        const Choice choice = policy.choose(facts, dice);
        for (std::size_t i = 0; i < choice.size(); ++i) CHECK(allowed(policy, rows[choice[i]]));
      }
    };
    all_chosen(create_policies(), [&](const Policy& policy, const Row& each) {
      const bool where = each.exists || policy.name.substr(0, 2) != "ep";
      return where && writable(each) && each.mode == kWrite && *each.available >= each.minimum;
    });
    all_chosen(action_policies(),
               [&](const Policy&, const Row& each) { return each.exists && writable(each); });
    all_chosen(search_policies(), [&](const Policy&, const Row& each) { return each.exists; });
  }
}
