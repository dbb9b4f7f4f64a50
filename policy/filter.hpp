#pragma once

#include <cstddef>
#include <optional>

#include "policy/choice.hpp"
#include "policy/facts.hpp"

namespace bough::policy {

enum class Category : std::uint8_t { kCreate, kAction, kSearch };

/// What a policy demands of its candidates, beyond what its category does.
struct Demand {
  Category category;
  /// The path must exist on the branch. Action and search policies always demand it.
  bool path = true;
  /// The policy compares space. Create and action policies ask for it in any case.
  bool space = false;
  /// The directory so many levels above the path must exist instead.
  std::size_t above = 0;
};

/// The eligibility loop, once for all policies: goes through the branches in list order and hands
/// each one that passes to `take(branch, space)`, until that returns false. `space` is null where
/// neither the category nor the policy asks for it. Returns the greatest reason why a branch was
/// passed over.
///
/// The order of the tests decides which reason a branch gives, and puts what costs nothing first:
/// mode (EROFS), existence (ENOENT), a branch that cannot be asked (ENOENT), a file system that is
/// mounted read-only (EROFS), room (ENOSPC). A search looks at existence alone.
template <class Take>
Refusal each_eligible(Facts& facts, const Demand& demand, Take take) {
  Choice refusals;
  const bool changes = demand.category != Category::kSearch;
  const bool creates = demand.category == Category::kCreate;
  const std::size_t count = facts.branches();
  for (std::size_t branch = 0; branch < count; ++branch) {
    const auto pass_over = [&](Verdict verdict, Refusal why) {
      refusals.refuse(why);
      facts.judged(branch, verdict);
    };
    if (changes) {
      const BranchMode mode = facts.mode(branch);
      if (mode == BranchMode::kReadOnly || (creates && mode == BranchMode::kNoCreate)) {
        pass_over(mode == BranchMode::kReadOnly ? Verdict::kReadOnly : Verdict::kNoCreate,
                  Refusal::kReadOnly);
        continue;
      }
    }
    if ((demand.path || !creates) &&
        !(demand.above == 0 ? facts.exists(branch) : facts.exists_above(branch, demand.above))) {
      pass_over(Verdict::kMissing, Refusal::kNotFound);
      continue;
    }
    std::optional<Space> space;
    if (changes || demand.space) {
      space = facts.space(branch);
      if (!space) {
        pass_over(Verdict::kSilent, Refusal::kNotFound);
        continue;
      }
    }
    if (changes && space->read_only) {
      pass_over(Verdict::kReadOnlyDisk, Refusal::kReadOnly);
      continue;
    }
    if (creates && space->available < facts.minimum_free(branch)) {
      pass_over(Verdict::kNoRoom, Refusal::kNoSpace);
      continue;
    }
    facts.judged(branch, Verdict::kFits);
    if (!take(branch, space ? &*space : nullptr)) break;
  }
  return refusals.refusal();
}

}  // namespace bough::policy
