#include "policy/registry.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace bough::policy;

TEST_CASE("every policy has a choice and is found by its own name only") {
  for (const auto table : {create_policies(), search_policies(), action_policies()}) {
    CHECK_FALSE(table.empty());
    CHECK(std::is_sorted(table.begin(), table.end(), [](const Policy& one, const Policy& other) {
      return one.name < other.name;
    }));
    for (const Policy& policy : table) {
      CHECK(static_cast<bool>(policy.choose));
      CHECK(find(table, policy.name) == &policy);
    }
    CHECK(find(table, "") == nullptr);
    CHECK(find(table, "nothing") == nullptr);
    CHECK(find(table, "FF") == nullptr);
  }
}

TEST_CASE("the names that users know, and which preserve paths") {
  for (const char* name : {"pfrd", "ff", "mfs"}) {
    REQUIRE(find(create_policies(), name) != nullptr);
    CHECK_FALSE(find(create_policies(), name)->path_preserving);
  }
  REQUIRE(find(create_policies(), "epmfs") != nullptr);
  CHECK(find(create_policies(), "epmfs")->path_preserving);
  REQUIRE(find(search_policies(), "ff") != nullptr);
  REQUIRE(find(action_policies(), "epall") != nullptr);
  CHECK(find(action_policies(), "epall")->path_preserving);
}

TEST_CASE("a choice keeps its order and its greatest refusal") {
  Choice choice;
  CHECK(choice.empty());
  choice.refuse(Refusal::kNoSpace);
  choice.refuse(Refusal::kNotFound);
  CHECK(choice.refusal() == Refusal::kNoSpace);
  choice.add(4);
  choice.add(2);
  choice.add(7);
  REQUIRE(choice.size() == 3);
  CHECK(choice[0] == 4);
  CHECK(choice[1] == 2);
  CHECK(choice[2] == 7);
  CHECK(Choice::one(3)[0] == 3);
  CHECK(Choice::refused(Refusal::kReadOnly).refusal() == Refusal::kReadOnly);
}
