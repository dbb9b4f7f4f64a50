#include "policy/pick.hpp"

#include <algorithm>
#include <limits>
#include <vector>

namespace bough::policy {
namespace {

/// The branch whose space is better than that of each one before it; `better(new, best)` says so
/// of two.
template <class Better>
Choice best_space(Facts& facts, Demand demand, Better better) {
  demand.space = true;
  Choice best;
  Space reached;
  best.refuse(each_eligible(facts, demand, [&](std::size_t branch, const Space* space) {
    if (best.empty() || better(*space, reached)) {
      best = Choice::one(branch);
      reached = *space;
    }
    return true;
  }));
  return best;
}

}  // namespace

Choice pick_all(Facts& facts, Random&, Demand demand) {
  Choice all;
  all.refuse(each_eligible(facts, demand, [&](std::size_t branch, const Space*) {
    all.add(branch);
    return true;
  }));
  return all;
}

Choice pick_first(Facts& facts, Random&, Demand demand) {
  Choice first;
  first.refuse(each_eligible(facts, demand, [&](std::size_t branch, const Space*) {
    first = Choice::one(branch);
    return false;
  }));
  return first;
}

Choice pick_most_free(Facts& facts, Random&, Demand demand) {
  return best_space(facts, demand, [](const Space& space, const Space& best) {
    return space.available >= best.available;
  });
}

Choice pick_least_free(Facts& facts, Random&, Demand demand) {
  return best_space(facts, demand, [](const Space& space, const Space& best) {
    return space.available <= best.available;
  });
}

Choice pick_least_used(Facts& facts, Random&, Demand demand) {
  return best_space(facts, demand,
                    [](const Space& space, const Space& best) { return space.used < best.used; });
}

Choice pick_least_share(Facts& facts, Random&, Demand demand) {
  // used / (used + available) of both, multiplied out; a branch without any size counts as empty.
  __extension__ using Product = unsigned __int128;
  const auto size = [](const Space& space) {
    return std::max<Product>(Product{space.used} + space.available, 1);
  };
  return best_space(facts, demand, [&](const Space& space, const Space& best) {
    return space.used * size(best) < best.used * size(space);
  });
}

Choice pick_newest(Facts& facts, Random&, Demand demand) {
  Choice newest;
  Moment when;
  newest.refuse(each_eligible(facts, demand, [&](std::size_t branch, const Space*) {
    const auto modified = facts.modified(branch);
    if (modified && (newest.empty() || *modified >= when)) {
      newest = Choice::one(branch);
      when = *modified;
    }
    return true;
  }));
  return newest;
}

Choice pick_any(Facts& facts, Random& random, Demand demand) {
  const Choice all = pick_all(facts, random, demand);
  return all.empty() ? all : Choice::one(all[random.next() % all.size()]);
}

Choice pick_by_room(Facts& facts, Random& random, Demand demand) {
  struct Candidate {
    std::size_t branch;
    std::uint64_t weight;
  };
  std::vector<Candidate> candidates;
  candidates.reserve(facts.branches());
  // Some network file systems report more room than 64 bits of a sum would hold.
  const std::uint64_t most =
      std::numeric_limits<std::uint64_t>::max() / std::max<std::uint64_t>(facts.branches(), 1);
  std::uint64_t sum = 0;
  demand.space = true;
  const Refusal why = each_eligible(facts, demand, [&](std::size_t branch, const Space* space) {
    const std::uint64_t weight = std::min(space->available, most);
    candidates.push_back({branch, weight});
    sum += weight;
    return true;
  });
  if (candidates.empty()) return Choice::refused(why);
  if (sum == 0)
    return demand.category == Category::kCreate ? Choice::refused(std::max(why, Refusal::kNoSpace))
                                                : Choice::one(candidates.front().branch);
  std::uint64_t left = random.next() % sum;
  for (const Candidate& candidate : candidates) {
    if (left < candidate.weight) return Choice::one(candidate.branch);
    left -= candidate.weight;
  }
  return Choice::one(candidates.back().branch);
}

Choice pick_none(Facts&, Random&, Demand) {
  return Choice::refused(Refusal::kReadOnly);
}

}  // namespace bough::policy
