#pragma once

#include <optional>
#include <string>

#include "test/ops/fault_scenarios.hpp"

namespace bough::test {

/// A scenario without any fault: what every other run is measured by.
struct GoodRun {
  Outcome outcome;
  std::uint64_t calls = 0;
  Trees before;
  Trees after;
};

/// One call that failed.
struct Fault {
  const Scenario& scenario;
  Ground::Layout layout;
  Call call;
  int error;
};

/// What is wrong with how an operation came out of a fault: empty, nothing. Its errno must be the
/// fault's own, and the branches as they were; or it went on, and all that it does is done. The
/// exceptions, each with its reason, are the tables in the source.
[[nodiscard]] std::string complaint(const Fault& fault, const GoodRun& good, const Outcome& outcome,
                                    const Trees& after);

/// Whether the same operation must do its work when it is called once more after it failed.
[[nodiscard]] bool can_be_repeated(const Fault& fault);

/// What differs, for people; empty: nothing.
[[nodiscard]] std::string difference(const Trees& expected, const Trees& seen);

/// Directories on branches that did not have them, and that are like their copy on another: clones,
/// which may stay when what they were made for failed.
[[nodiscard]] Trees without_clones(Trees trees, const Trees& before);

}  // namespace bough::test
