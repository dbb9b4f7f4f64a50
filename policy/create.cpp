#include "policy/create.hpp"

#include <algorithm>
#include <limits>
#include <vector>

#include "policy/filter.hpp"

namespace bough::policy {

namespace {

constexpr Demand kAnywhere{Category::kCreate, false, true};
constexpr Demand kWherePathIs{Category::kCreate, true, true};

/// The last of those that have the most room.
Choice most_free(Facts& facts, const Demand& demand) {
  Choice best;
  std::uint64_t most = 0;
  best.refuse(each_eligible(facts, demand, [&](std::size_t branch, const Space* space) {
    if (best.empty() || space->available >= most) {
      best = Choice::one(branch);
      most = space->available;
    }
    return true;
  }));
  return best;
}

}  // namespace

Choice create_ff(Facts& facts, Random&) {
  Choice first;
  first.refuse(each_eligible(facts, kAnywhere, [&](std::size_t branch, const Space*) {
    first = Choice::one(branch);
    return false;
  }));
  return first;
}

Choice create_mfs(Facts& facts, Random&) {
  return most_free(facts, kAnywhere);
}

Choice create_epmfs(Facts& facts, Random&) {
  return most_free(facts, kWherePathIs);
}

Choice create_pfrd(Facts& facts, Random& random) {
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
  const Refusal why = each_eligible(facts, kAnywhere, [&](std::size_t branch, const Space* space) {
    const std::uint64_t weight = std::min(space->available, most);
    candidates.push_back({branch, weight});
    sum += weight;
    return true;
  });
  if (sum == 0) return Choice::refused(candidates.empty() ? why : std::max(why, Refusal::kNoSpace));
  std::uint64_t left = random.next() % sum;
  for (const Candidate& candidate : candidates) {
    if (left < candidate.weight) return Choice::one(candidate.branch);
    left -= candidate.weight;
  }
  return Choice::one(candidates.back().branch);
}

}  // namespace bough::policy
