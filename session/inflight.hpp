#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "proto/ids.hpp"
#include "proto/result.hpp"

namespace bough::session {

class DeferredReply;
class Device;

/// The entry of the request that one worker runs. Its word holds the request's key and, in the two
/// bits that a key never has, whether the right to answer is taken and whether the kernel asked to
/// give up. A key is never used for a second request, so one compare-and-swap on the word is the
/// whole claim.
class alignas(64) Slot {
 private:
  friend class Inflight;
  static constexpr std::uint64_t kClaimed = proto::Unique::kInterruptBit;
  static constexpr std::uint64_t kInterrupted = proto::Unique::kResendBit;

  std::atomic<std::uint64_t> word_{0};
  // INVARIANT: written by the worker before word_ is set; true of a key for as long as word_ holds
  // it.
  std::atomic<Device*> device_{nullptr};
  std::atomic<std::uint64_t> unique_{0};
};

/// Every request that is being served. Any thread, except where a function names the worker.
class Inflight {
 public:
  explicit Inflight(std::size_t slots) : slots_(slots) {}

  [[nodiscard]] Slot& slot(std::size_t index) { return slots_[index]; }

  /// On the slot's worker: the request is being served from here on. `device` must live until
  /// end(). `interrupted`: an INTERRUPT came while it waited for a worker.
  void begin(Slot& slot, proto::Unique unique, Device& device, bool interrupted) noexcept;
  /// On the slot's worker: takes the right to answer; false if somebody else answered, and is done
  /// with the device. To be called before end().
  [[nodiscard]] bool claim(Slot& slot) noexcept;
  /// On the slot's worker: the handler returned and its answer was written or given up. Whether the
  /// kernel asked to give the request up meanwhile.
  bool end(Slot& slot) noexcept;

  /// Enters a deferred request; true if an INTERRUPT for it came already.
  [[nodiscard]] bool defer(const std::shared_ptr<DeferredReply>& reply);
  void undefer(proto::Unique unique) noexcept;

  /// An INTERRUPT's target. Marks it, or runs its cancel function; a target that is not known is
  /// remembered for a while, since another worker may hold its message unseen. Returns whether it
  /// was known.
  bool interrupt(proto::Unique target) noexcept;
  /// Whether an INTERRUPT for a request that is not being served yet has come; forgets it.
  [[nodiscard]] bool take_early(proto::Unique unique) noexcept;
  [[nodiscard]] bool interrupted(proto::Unique unique) const noexcept;

  /// Takes the right to answer away from whoever serves the request and answers with an error.
  /// False: not known, or answered already.
  [[nodiscard]] bool answer_for(proto::Unique unique, proto::Errno error) noexcept;

  /// Interrupts that wait for a request that was not seen yet, at most.
  static constexpr std::size_t kEarly = 256;
  static constexpr std::chrono::seconds kEarlyLife{2};

 private:
  struct Early {
    std::uint64_t key = 0;
    std::chrono::steady_clock::time_point expires;
  };

  bool mark(std::uint64_t key) noexcept;
  [[nodiscard]] bool take_early_locked(std::uint64_t key) noexcept;
  void index_early_locked() noexcept;
  [[nodiscard]] static std::uint64_t early_bit(std::uint64_t key) noexcept {
    return std::uint64_t{1} << ((key >> 1) & 63U);
  }

  std::vector<Slot> slots_;
  /// Held while a worker's request is answered in its place: the worker may close the device after.
  std::mutex answering_;
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::shared_ptr<DeferredReply>> deferred_;
  std::array<Early, kEarly> early_{};
  std::size_t early_count_ = 0;
  // A bit a key of early_ (several keys share one), so that begin() need not lock: INVARIANT: with
  // mutex_ free, no key in early_ lacks its bit.
  std::atomic<std::uint64_t> early_bits_{0};
};

/// A header-only error reply on the descriptor that its request came from.
[[nodiscard]] proto::Result<void> write_error(Device& device, proto::Unique unique,
                                              proto::Errno error) noexcept;

}  // namespace bough::session
