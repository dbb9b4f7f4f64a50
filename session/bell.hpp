#pragma once

#include <chrono>
#include <optional>

#include "session/fd.hpp"

namespace bough::session {

/// Wakes the one thread that waits for it; rings before a wait are not lost. An eventfd, so that a
/// signal handler may ring too.
class Bell {
 public:
  Bell();
  /// Any thread, any signal handler.
  void ring() noexcept;
  /// Until it rings or `timeout` is over; without one, until it rings.
  void wait(std::optional<std::chrono::milliseconds> timeout) noexcept;

 private:
  Fd event_;
};

}  // namespace bough::session
