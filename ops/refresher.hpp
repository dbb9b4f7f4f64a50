#pragma once

#include <chrono>
#include <memory>

#include "ops/branch.hpp"

namespace bough::ops {

/// Asks branches for their room on threads of its own, so that a request need not wait for that.
/// One thread does it for all; another is started when those there are have been stuck in their
/// branches for a while. They wait without a timer, and end in the quiet. Any thread.
class Refresher {
 public:
  Refresher();
  /// Waits for branches as long as they take: call stop() first.
  ~Refresher();
  Refresher(const Refresher&) = delete;
  Refresher& operator=(const Refresher&) = delete;

  /// What the branch last said is made new soon; nothing if that is under way. Where no thread can
  /// be had, it is forgotten.
  void ask(const std::shared_ptr<Branch>& branch) noexcept;
  /// Ends the threads that have nothing to do.
  void rest() noexcept;
  /// From now on nobody is asked. False: a branch has not answered in time, and its thread still
  /// uses the branch and its backing.
  [[nodiscard]] bool stop(std::chrono::milliseconds patience) noexcept;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace bough::ops
