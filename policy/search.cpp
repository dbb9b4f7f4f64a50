#include "policy/search.hpp"

#include "policy/filter.hpp"

namespace bough::policy {

Choice search_ff(Facts& facts, Random&) {
  Choice first;
  first.refuse(each_eligible(facts, {Category::kSearch}, [&](std::size_t branch, const Space*) {
    first = Choice::one(branch);
    return false;
  }));
  return first;
}

}  // namespace bough::policy
