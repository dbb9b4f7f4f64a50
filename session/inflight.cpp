#include "session/inflight.hpp"

#include <algorithm>

#include "proto/encode.hpp"
#include "session/deferred.hpp"
#include "session/device.hpp"

namespace bough::session {

proto::Result<void> write_error(Device& device, proto::Unique unique, proto::Errno error) noexcept {
  std::array<std::byte, proto::kReplyHeader> message;
  proto::encode_header(message, unique, 0, error);
  const iovec part{message.data(), message.size()};
  return device.write({&part, 1});
}

void Inflight::begin(Slot& slot, proto::Unique unique, Device& device, bool interrupted) noexcept {
  const std::uint64_t key = unique.key();
  slot.device_.store(&device, std::memory_order_relaxed);
  slot.unique_.store(unique.value, std::memory_order_relaxed);
  // Against interrupt(), which writes early_bits_ and then reads the words: one of both sees the
  // other.
  slot.word_.store(interrupted ? key | Slot::kInterrupted : key, std::memory_order_seq_cst);
  if ((early_bits_.load(std::memory_order_seq_cst) & early_bit(key)) == 0) return;
  if (take_early(unique)) mark(key);
}

bool Inflight::take_early(proto::Unique unique) noexcept {
  const std::lock_guard lock(mutex_);
  return take_early_locked(unique.key());
}

bool Inflight::claim(Slot& slot) noexcept {
  if ((slot.word_.fetch_or(Slot::kClaimed, std::memory_order_acq_rel) & Slot::kClaimed) == 0)
    return true;
  const std::lock_guard answered(answering_);
  return false;
}

bool Inflight::end(Slot& slot) noexcept {
  return (slot.word_.exchange(0, std::memory_order_acq_rel) & Slot::kInterrupted) != 0;
}

bool Inflight::defer(const std::shared_ptr<DeferredReply>& reply) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t key = reply->unique().key();
  deferred_[key] = reply;
  return take_early_locked(key);
}

void Inflight::undefer(proto::Unique unique) noexcept {
  std::shared_ptr<DeferredReply> dropped;
  const std::lock_guard lock(mutex_);
  const auto found = deferred_.find(unique.key());
  if (found == deferred_.end()) return;
  dropped = std::move(found->second);
  deferred_.erase(found);
}

bool Inflight::mark(std::uint64_t key) noexcept {
  for (Slot& slot : slots_) {
    std::uint64_t word = slot.word_.load(std::memory_order_seq_cst);
    while ((word & ~(Slot::kClaimed | Slot::kInterrupted)) == key) {
      if (slot.word_.compare_exchange_weak(word, word | Slot::kInterrupted,
                                           std::memory_order_seq_cst))
        return true;
    }
  }
  return false;
}

bool Inflight::interrupt(proto::Unique target) noexcept {
  const std::uint64_t key = target.key();
  if (key == 0) return false;
  if (mark(key)) return true;
  std::shared_ptr<DeferredReply> deferred;
  {
    const std::lock_guard lock(mutex_);
    const auto found = deferred_.find(key);
    if (found == deferred_.end()) {
      const auto now = std::chrono::steady_clock::now();
      const auto end = std::remove_if(early_.begin(), early_.begin() + early_count_,
                                      [now](const Early& early) { return early.expires <= now; });
      early_count_ = static_cast<std::size_t>(end - early_.begin());
      if (early_count_ == kEarly) {
        std::move(early_.begin() + 1, early_.end(), early_.begin());
        --early_count_;
      }
      early_[early_count_++] = {key, now + kEarlyLife};
      index_early_locked();
      if (!mark(key)) return false;
      static_cast<void>(take_early_locked(key));
      return true;
    }
    deferred = found->second;
  }
  deferred->interrupt();
  return true;
}

bool Inflight::take_early_locked(std::uint64_t key) noexcept {
  const auto now = std::chrono::steady_clock::now();
  bool found = false;
  const auto end =
      std::remove_if(early_.begin(), early_.begin() + early_count_, [&](const Early& early) {
        if (early.key == key && early.expires > now) found = true;
        return early.key == key || early.expires <= now;
      });
  early_count_ = static_cast<std::size_t>(end - early_.begin());
  index_early_locked();
  return found;
}

void Inflight::index_early_locked() noexcept {
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < early_count_; ++i) bits |= early_bit(early_[i].key);
  early_bits_.store(bits, std::memory_order_seq_cst);
}

bool Inflight::interrupted(proto::Unique unique) const noexcept {
  const std::uint64_t key = unique.key();
  for (const Slot& slot : slots_) {
    const std::uint64_t word = slot.word_.load(std::memory_order_acquire);
    if ((word & ~(Slot::kClaimed | Slot::kInterrupted)) == key)
      return (word & Slot::kInterrupted) != 0;
  }
  const std::lock_guard lock(mutex_);
  const auto found = deferred_.find(key);
  return found != deferred_.end() && found->second->interrupted();
}

bool Inflight::answer_for(proto::Unique unique, proto::Errno error) noexcept {
  const std::uint64_t key = unique.key();
  if (key == 0) return false;
  std::unique_lock answering(answering_);
  for (Slot& slot : slots_) {
    std::uint64_t word = slot.word_.load(std::memory_order_acquire);
    while ((word & ~(Slot::kClaimed | Slot::kInterrupted)) == key) {
      if ((word & Slot::kClaimed) != 0) return false;
      Device* device = slot.device_.load(std::memory_order_relaxed);
      const proto::Unique as_it_came{slot.unique_.load(std::memory_order_relaxed)};
      if (slot.word_.compare_exchange_weak(word, word | Slot::kClaimed,
                                           std::memory_order_acq_rel)) {
        static_cast<void>(write_error(*device, as_it_came, error));
        return true;
      }
    }
  }
  answering.unlock();
  std::shared_ptr<DeferredReply> deferred;
  {
    const std::lock_guard lock(mutex_);
    const auto found = deferred_.find(key);
    if (found == deferred_.end()) return false;
    deferred = found->second;
  }
  return deferred->answer_in_place(error);
}

}  // namespace bough::session
