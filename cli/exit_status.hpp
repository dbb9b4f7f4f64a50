#pragma once

#include <stdexcept>
#include <string>

namespace bough::cli {

/// What the process returns. The numbers of the mounting command are those that mount(8) gives its
/// helpers' statuses; README.md and --help list them.
enum class ExitStatus : int {
  kOk = 0,
  /// The command line, an option, a branch or the mount point is wrong; nothing was mounted, or
  /// set.
  kUsage = 1,
  /// The system refused something that has nothing to do with the pool (no process, no memory); or
  /// the pool refused a subcommand, or does not answer.
  kSystem = 2,
  /// A subcommand was given a path that is in no boughfs pool.
  kNotAPool = 3,
  /// The pool was mounted and its connection ended by an error.
  kServing = 4,
  /// fsck: copies differ, and were left so.
  kDiffer = 5,
  /// check: the pool would be mounted, and something is wrong with it.
  kWarnings = 6,
  /// fsck: not everything could be looked at, whatever else was found.
  kIncomplete = 7,
  /// status: the pool is mounted and does not answer, or its server is gone.
  kSilent = 8,
  /// move, evacuate, balance: something stays where it is.
  kStayed = 9,
  /// The mount failed.
  kMount = 32,
};

/// Ends a start-up: one line for people that names the thing and the remedy, without "boughfs: ".
class StartError : public std::runtime_error {
 public:
  StartError(ExitStatus exit_status, const std::string& line)
      : std::runtime_error(line), status(exit_status) {}
  ExitStatus status;
};

}  // namespace bough::cli
