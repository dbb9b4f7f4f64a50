#pragma once

#include <functional>
#include <string>
#include <vector>

#include "test/ops/fault_ground.hpp"

namespace bough::test {

/// What one operation came to.
struct Outcome {
  /// 0 or the errno.
  int error = 0;
  /// What it told the caller, without what differs from run to run (times, inode numbers).
  std::string answer{};
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

/// One operation of the file system interface on names that every Ground has.
struct Scenario {
  enum class Kind : std::uint8_t {
    kAsks,          ///< changes nothing
    kChangesFile,   ///< changes a file that it knows by its node or handle, and no other
    kMakesNames,    ///< makes something new, on the branch that the create policy chooses
    kChangesNames,  ///< moves, links or removes what has the name
  };

  std::string name;
  Kind kind;
  /// The pool path that somebody else changes meanwhile.
  std::string about;
  /// Further paths that it may change.
  std::vector<std::string> also;
  /// Looks up and opens what the operation needs, and returns the operation itself, to be called
  /// once or more. The caller is an ordinary user where the tests are run by root.
  std::function<std::function<Outcome()>(PoolFixture&)> prepare;
};

/// Every operation of proto::Filesystem that asks a branch.
[[nodiscard]] const std::vector<Scenario>& fault_scenarios();

}  // namespace bough::test
