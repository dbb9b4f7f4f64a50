#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bough::session {

enum class Figure : std::uint8_t {
  kMalformed,             ///< answered EINVAL: no request that we can read
  kUnserved,              ///< answered ENOSYS
  kRefusedReplies,        ///< the kernel did not take a reply: what it handed over was undone
  kLateAnswers,           ///< a handler returned after its request was answered in its place
  kAnsweredFor,           ///< answered in a handler's place
  kAbandonedReplies,      ///< a deferred reply was dropped: answered EIO
  kInterrupts,            ///< INTERRUPT messages
  kInterruptsEarly,       ///< of these, such whose request was not (or no longer) known
  kForgets,               ///< lookup counts given back
  kHandlerExceptions,     ///< a handler threw: answered EIO
  kOutOfMemory,           ///< a handler had no memory: answered ENOMEM
  kQueued,                ///< requests that waited for a free worker, or for room in their lane
  kDeviceErrors,          ///< failed reads with no other meaning
  kNotificationsSent,     ///< accepted by the kernel
  kNotificationsAbsent,   ///< ENOENT: the kernel did not know the thing, so nothing was stale
  kNotificationsRefused,  ///< any other errno, such as EINVAL from a kernel without that code
  kNotificationsDropped,  ///< the queue was full
  kSpins,                 ///< times a worker kept trying before it slept
  kSpinHits,              ///< of these, such that got a request
  kWaits,                 ///< times a worker slept
  kCount,
};
[[nodiscard]] std::string_view figure_name(Figure figure) noexcept;

/// One thread's share of the counters: added to by one thread (or few), read by any.
class alignas(64) Counters {
 public:
  static constexpr std::size_t kOpcodes = 64;

  void add(Figure figure, std::uint64_t amount = 1) noexcept {
    figures_[static_cast<std::size_t>(figure)].fetch_add(amount, std::memory_order_relaxed);
  }
  /// Opcodes that nobody has named are counted as number 0.
  void request(std::uint32_t opcode) noexcept {
    requests_[opcode < kOpcodes ? opcode : 0].fetch_add(1, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t value(Figure figure) const noexcept {
    return figures_[static_cast<std::size_t>(figure)].load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t requests(std::size_t opcode) const noexcept {
    return requests_[opcode].load(std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<std::uint64_t>, static_cast<std::size_t>(Figure::kCount)> figures_{};
  std::array<std::atomic<std::uint64_t>, kOpcodes> requests_{};
};

}  // namespace bough::session
