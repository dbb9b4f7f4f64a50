#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace bough::policy {

/// RW: everything; RO: nothing is changed on it; NC: nothing new is created on it.
enum class BranchMode : std::uint8_t { kReadWrite, kReadOnly, kNoCreate };

/// Bytes. `used` counts what an ordinary user cannot have (total minus available).
struct Space {
  std::uint64_t available = 0;
  std::uint64_t used = 0;
  bool read_only = false;
};

/// Seconds since 1970 and nanoseconds.
struct Moment {
  std::int64_t seconds = 0;
  std::uint32_t nanoseconds = 0;
  [[nodiscard]] auto operator<=>(const Moment&) const = default;
};

/// What was found about a candidate, in the order in which it is looked at.
enum class Verdict : std::uint8_t {
  kReadOnly,      ///< its mode is RO
  kNoCreate,      ///< its mode is NC, and something new wants a place
  kMissing,       ///< the path that must exist does not
  kSilent,        ///< it could not be asked
  kReadOnlyDisk,  ///< its file system is mounted read-only
  kNoRoom,        ///< less is available than its minimum
  kFits
};

/// What a policy may know about the candidate branches, each fact asked for only when it is needed:
/// a fact usually costs a system call on the branch. Branches are numbered in list order. Not
/// thread-safe; made for one decision.
class Facts {
 public:
  virtual ~Facts() = default;
  [[nodiscard]] virtual std::size_t branches() const = 0;
  [[nodiscard]] virtual BranchMode mode(std::size_t branch) = 0;
  /// Whether the path in question exists there.
  [[nodiscard]] virtual bool exists(std::size_t branch) = 0;
  /// Whether the directory `levels` (from 1) above the path exists there. The pool's root does.
  [[nodiscard]] virtual bool exists_above(std::size_t branch, std::size_t levels) = 0;
  /// How many levels the path is below the pool's root.
  [[nodiscard]] virtual std::size_t depth() = 0;
  /// Where exists() says yes: when that was last modified. Nothing: it cannot be asked.
  [[nodiscard]] virtual std::optional<Moment> modified(std::size_t branch) = 0;
  /// Nothing when the branch cannot be asked.
  [[nodiscard]] virtual std::optional<Space> space(std::size_t branch) = 0;
  /// Below this many available bytes nothing new is created there.
  [[nodiscard]] virtual std::uint64_t minimum_free(std::size_t branch) = 0;
  /// Is told of each branch that was looked at, as often as it is: the last word counts. Those that
  /// nobody looked at came after the one that was wanted.
  virtual void judged(std::size_t /*branch*/, Verdict /*verdict*/) {}
};

/// Randomness is handed in, so that a choice can be repeated in a test.
class Random {
 public:
  virtual ~Random() = default;
  [[nodiscard]] virtual std::uint64_t next() = 0;
};

}  // namespace bough::policy
