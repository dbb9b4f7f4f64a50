#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

namespace bough::cli {

/// What `work` makes, done by a child process that is killed if it takes longer: a system call on a
/// file system that hangs comes to no other end. Nothing: it took too long, or threw. For a process
/// without threads.
[[nodiscard]] std::optional<std::string> within(std::chrono::milliseconds limit,
                                                const std::function<std::string()>& work);

}  // namespace bough::cli
