#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "cli/mountinfo.hpp"

namespace bough::cli {

enum class Pulse {
  kAnswers,
  /// Not within kPulsePatience.
  kSilent,
  /// Its server has ended, and the mount is left.
  kDead,
  /// It lets this user not in.
  kClosed,
};

inline constexpr std::chrono::seconds kPulsePatience{3};
/// Longer than several disks take to spin up.
inline constexpr std::chrono::seconds kAnswerPatience{60};

/// Asks the pool for something that it knows without its branches. `mount_point`: of its root.
[[nodiscard]] Pulse pulse_of(const std::string& mount_point);

/// What is wrong with a pool of that pulse, and what to do, as the end of a sentence that begins
/// with the pool; empty: nothing.
[[nodiscard]] std::string about(Pulse pulse);

/// The root of the pool where a directory of it is bound: the control file is in the root alone.
/// Throws StartError.
[[nodiscard]] std::string root_of(const MountInfo& pool);

/// What `work` makes, which asks the pool that `path` lies in. Throws StartError (kSystem) if the
/// pool does not answer: a program that asks it by itself could not even be killed; and what `work`
/// throws. For a process without threads: the work is done by a child.
[[nodiscard]] std::string ask_pool(const std::string& path,
                                   const std::function<std::string()>& work);

}  // namespace bough::cli
