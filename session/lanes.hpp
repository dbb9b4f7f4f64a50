#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace bough::session {

/// The places of every lane (see proto::Filesystem::lane): how many of its requests run, and how
/// many wait in the backlog for one of them to end. One atomic word a lane. Any thread.
class Lanes {
 public:
  static constexpr std::size_t kLanes = 256;

  /// At most `limit` requests of a lane run at once: 1 to 65535.
  explicit Lanes(unsigned limit) noexcept : limit_(limit) {}
  /// A branch that hangs holds up names and its own files: two lanes. Together they leave a worker
  /// to the others, from three workers on.
  [[nodiscard]] static constexpr unsigned limit_for(unsigned threads) noexcept {
    return threads > 3 ? (threads - 1) / 2 : 1;
  }

  [[nodiscard]] static constexpr std::uint32_t index(std::uint32_t lane) noexcept {
    return lane % kLanes;
  }

  /// Takes a place for a request that has just come. False: all are taken, or others of its lane
  /// wait already.
  [[nodiscard]] bool enter(std::uint32_t lane) noexcept {
    auto& word = words_[index(lane)].value;
    std::uint32_t now = word.load(std::memory_order_relaxed);
    do {
      // One that waits makes the word greater than any limit.
      if (now >= limit_) return false;
    } while (!word.compare_exchange_weak(now, now + kRunning, std::memory_order_acq_rel,
                                         std::memory_order_relaxed));
    return true;
  }
  /// Gives the place back. Whoever does has to look at the backlog afterwards.
  void leave(std::uint32_t lane) noexcept {
    words_[index(lane)].value.fetch_sub(kRunning, std::memory_order_acq_rel);
  }

  // --- the backlog's, under its mutex

  /// One more waits.
  void wait(std::uint32_t lane) noexcept {
    words_[index(lane)].value.fetch_add(kWaiting, std::memory_order_acq_rel);
  }
  /// Of a lane with somebody waiting: true stays true until enter_waiting().
  [[nodiscard]] bool has_room(std::uint32_t lane) const noexcept {
    return words_[index(lane)].value.load(std::memory_order_acquire) % kWaiting < limit_;
  }
  /// One that waited takes a place, which has_room() has promised.
  void enter_waiting(std::uint32_t lane) noexcept {
    words_[index(lane)].value.fetch_add(kRunning - kWaiting, std::memory_order_acq_rel);
  }

 private:
  static constexpr std::uint32_t kRunning = 1;
  static constexpr std::uint32_t kWaiting = 1U << 16;
  struct alignas(64) Word {
    std::atomic<std::uint32_t> value{0};
  };

  const std::uint32_t limit_;
  std::array<Word, kLanes> words_;
};

}  // namespace bough::session
