#include "policy/action.hpp"

#include "policy/filter.hpp"

namespace bough::policy {

Choice action_epall(Facts& facts, Random&) {
  Choice all;
  all.refuse(each_eligible(facts, {Category::kAction}, [&](std::size_t branch, const Space*) {
    all.add(branch);
    return true;
  }));
  return all;
}

}  // namespace bough::policy
