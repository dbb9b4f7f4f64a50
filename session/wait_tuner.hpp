#pragma once

#include <chrono>
#include <cstdint>

namespace bough::session {

/// How a worker waits for the next message.
enum class Wait : std::uint8_t {
  kSleep,  ///< at once: whoever asks wakes it
  kYield,  ///< leaves its core once to the client that it has just answered, then sleeps
  kSpin,   ///< yields and looks again for a while: no one need wake it
};

/// Learns which of them brings the next message soonest. What a wake-up costs, and on which core
/// the scheduler makes it happen, differs between machines and virtual ones by more than a request
/// does, and with other load; so each way is tried for a few messages now and then, and the best
/// one kept. One worker's, for its own thread.
class WaitTuner {
 public:
  using Clock = std::chrono::steady_clock;

  /// With one core there is nothing to spin for.
  explicit WaitTuner(bool several_cores) noexcept : ways_(several_cores ? 3 : 2) {}

  /// The way to take.
  [[nodiscard]] Wait way() const noexcept { return static_cast<Wait>(probing_ ? probe_ : home_); }
  /// A wait that began right after an answer brought a message. One that ended without sleep may
  /// have been long because others took the core that was left to the client.
  void waited(Clock::duration time, bool slept) noexcept;

 private:
  /// Messages by which a way is judged.
  static constexpr unsigned kRound = 32;
  static constexpr unsigned kFirstProbe = 4;
  static constexpr unsigned kLastProbe = 128;
  /// More than sleeping costs: the client has other things to do, or a processor lacks. A round
  /// with so much for each message is over at once.
  static constexpr std::chrono::microseconds kMost{400};
  static constexpr std::chrono::milliseconds kIdle{20};

  void finish_round(std::int64_t mean) noexcept;

  const unsigned ways_;
  unsigned home_ = static_cast<unsigned>(Wait::kYield);
  unsigned probe_ = static_cast<unsigned>(Wait::kYield);
  bool probing_ = false;
  /// Nanoseconds; of the home way's last round.
  std::int64_t home_mean_ = 0;
  std::int64_t sum_ = 0;
  unsigned count_ = 0;
  /// Rounds until the next probe, and between two of them.
  unsigned until_probe_ = 1;
  unsigned gap_ = kFirstProbe;
};

}  // namespace bough::session
