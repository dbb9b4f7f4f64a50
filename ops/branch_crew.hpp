#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

namespace bough::ops {

/// Threads that ask several branches at once in one request's name. The request's own thread does
/// its share, so that a request goes on, if more slowly, where no thread is to be had or all of
/// them are caught in a branch that hangs. Threads are started when they are first needed and end
/// in the quiet. Any thread.
class BranchCrew {
 public:
  BranchCrew();
  /// Waits for branches as long as they take: call stop() first.
  ~BranchCrew();
  BranchCrew(const BranchCrew&) = delete;
  BranchCrew& operator=(const BranchCrew&) = delete;

  struct Size {
    /// At most so many threads in all, and so many requests for help that wait for one of them.
    std::size_t threads = 0;
    std::size_t waiting = 0;
  };
  /// Calls `one` for 0 to count - 1, each once, in no order and on several threads; returns when
  /// all calls have. `one` throws nothing, and touches of what the caller has only what is its own
  /// or safe from any thread.
  void each(std::size_t count, Size size, const std::function<void(std::size_t)>& one);
  /// Ends the threads that have nothing to do.
  void rest() noexcept;
  /// From now on nobody helps. False: a branch has not answered in time, and its thread still uses
  /// what `one` uses.
  [[nodiscard]] bool stop(std::chrono::milliseconds patience) noexcept;
  /// How many there are.
  [[nodiscard]] std::size_t threads() const noexcept;

 private:
  struct Job;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace bough::ops
