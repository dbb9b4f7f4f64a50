#include "policy/registry.hpp"

#include <array>

#include "policy/pick.hpp"

namespace bough::policy {
namespace {

using Pick = Choice (*)(Facts&, Random&, Demand);

/// Anywhere: the path is made where it is missing.
template <Pick pick>
Choice create_anywhere(Facts& facts, Random& random) {
  return pick(facts, random, {Category::kCreate, false});
}
template <Pick pick>
Choice create_where_path_is(Facts& facts, Random& random) {
  return pick(facts, random, {Category::kCreate});
}
/// Where the path is, else where its parent is, and so on. The pool's root is everywhere.
template <Pick pick>
Choice create_where_most_of_path_is(Facts& facts, Random& random) {
  Choice choice = create_where_path_is<pick>(facts, random);
  const std::size_t depth = facts.depth();
  for (std::size_t above = 1; choice.empty() && above <= depth; ++above) {
    const Refusal below = choice.refusal();
    choice = pick(facts, random, {Category::kCreate, true, false, above});
    choice.refuse(below);
  }
  return choice;
}
// Where the thing itself must exist, "anywhere" and "where the path is" are one.
constexpr std::array kCreate{
    Policy{"all", false, create_anywhere<pick_all>, Takes::kAll},
    Policy{"epall", true, create_where_path_is<pick_all>, Takes::kAll},
    Policy{"epff", true, create_where_path_is<pick_first>, Takes::kFirst},
    Policy{"eplfs", true, create_where_path_is<pick_least_free>},
    Policy{"eplus", true, create_where_path_is<pick_least_used>},
    Policy{"epmfs", true, create_where_path_is<pick_most_free>},
    Policy{"eppfrd", true, create_where_path_is<pick_by_room>},
    Policy{"eprand", true, create_where_path_is<pick_any>},
    Policy{"erofs", false, create_anywhere<pick_none>, Takes::kNone},
    Policy{"ff", false, create_anywhere<pick_first>, Takes::kFirst},
    Policy{"lfs", false, create_anywhere<pick_least_free>},
    Policy{"lup", false, create_anywhere<pick_least_share>},
    Policy{"lus", false, create_anywhere<pick_least_used>},
    Policy{"mfs", false, create_anywhere<pick_most_free>},
    Policy{"msplfs", true, create_where_most_of_path_is<pick_least_free>},
    Policy{"msplus", true, create_where_most_of_path_is<pick_least_used>},
    Policy{"mspmfs", true, create_where_most_of_path_is<pick_most_free>},
    Policy{"msppfrd", true, create_where_most_of_path_is<pick_by_room>},
    Policy{"newest", false, create_where_path_is<pick_newest>},
    Policy{"pfrd", false, create_anywhere<pick_by_room>},
    Policy{"rand", false, create_anywhere<pick_any>},
};

template <template <Pick> class Bound>
constexpr std::array kExisting{
    Policy{"all", false, Bound<pick_all>::choose, Takes::kAll},
    Policy{"epall", true, Bound<pick_all>::choose, Takes::kAll},
    Policy{"epff", true, Bound<pick_first>::choose, Takes::kFirst},
    Policy{"eplfs", true, Bound<pick_least_free>::choose},
    Policy{"eplus", true, Bound<pick_least_used>::choose},
    Policy{"epmfs", true, Bound<pick_most_free>::choose},
    Policy{"eppfrd", true, Bound<pick_by_room>::choose},
    Policy{"eprand", true, Bound<pick_any>::choose},
    Policy{"erofs", false, Bound<pick_none>::choose, Takes::kNone},
    Policy{"ff", false, Bound<pick_first>::choose, Takes::kFirst},
    Policy{"lfs", false, Bound<pick_least_free>::choose},
    Policy{"lup", false, Bound<pick_least_share>::choose},
    Policy{"lus", false, Bound<pick_least_used>::choose},
    Policy{"mfs", false, Bound<pick_most_free>::choose},
    Policy{"msplfs", true, Bound<pick_least_free>::choose},
    Policy{"msplus", true, Bound<pick_least_used>::choose},
    Policy{"mspmfs", true, Bound<pick_most_free>::choose},
    Policy{"msppfrd", true, Bound<pick_by_room>::choose},
    Policy{"newest", false, Bound<pick_newest>::choose},
    Policy{"pfrd", false, Bound<pick_by_room>::choose},
    Policy{"rand", false, Bound<pick_any>::choose},
};
template <Pick pick>
struct Acting {
  static Choice choose(Facts& facts, Random& random) {
    return pick(facts, random, {Category::kAction});
  }
};
template <Pick pick>
struct Searching {
  static Choice choose(Facts& facts, Random& random) {
    return pick(facts, random, {Category::kSearch});
  }
};

}  // namespace

std::span<const Policy> create_policies() noexcept {
  return kCreate;
}
std::span<const Policy> search_policies() noexcept {
  return kExisting<Searching>;
}
std::span<const Policy> action_policies() noexcept {
  return kExisting<Acting>;
}

const Policy* find(std::span<const Policy> policies, std::string_view name) noexcept {
  for (const Policy& policy : policies)
    if (policy.name == name) return &policy;
  return nullptr;
}

}  // namespace bough::policy
