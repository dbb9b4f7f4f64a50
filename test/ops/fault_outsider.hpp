#pragma once

#include <array>
#include <string>

#include "test/ops/fault_verdict.hpp"

namespace bough::test {

/// What somebody else does to a branch, behind the pool, while an operation runs.
enum class Change : std::uint8_t {
  kRemove,   ///< the name goes, with what is below it
  kMove,     ///< the name becomes another
  kReplace,  ///< another file takes the name
  kChmod,
  kMoveParent,     ///< the directory of the name becomes another
  kReplaceParent,  ///< and an empty one takes its name
  kTakeTarget,     ///< another file takes the second name, if that is free
};
inline constexpr std::array kChanges{
    Change::kRemove,     Change::kMove,          Change::kReplace,   Change::kChmod,
    Change::kMoveParent, Change::kReplaceParent, Change::kTakeTarget};

/// Changes what the scenario is about, on the branch that users see it on (where nobody has the
/// name, on the one that has its directory). False: there was nothing to change.
bool change(const Ground& ground, const Scenario& scenario, Change what);

/// What is wrong after an operation met such a change: a file of neither's that is lost or
/// different, a file that took the name and was changed or lost by an operation that is not about
/// whatever has the name, something that the pool left lying. Empty: nothing.
[[nodiscard]] std::string complaint_after(Change what, const Scenario& scenario,
                                          const GoodRun& good, const Outcome& outcome,
                                          const Trees& after);

}  // namespace bough::test
