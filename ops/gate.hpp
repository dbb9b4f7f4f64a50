#pragma once

#include <pthread.h>

#include <chrono>

namespace bough::ops {

/// Operations that go by path pass side by side; the move of a directory has the gate for itself.
/// Without it a path that was asked for before the move leads elsewhere after it: the kernel has
/// checked the caller's rights to one directory and would be answered from another.
///
/// Held across branch calls, the one lock that is: so the wait for a move is bounded, and a disk
/// that hangs holds up the rest for that long at most. A waiting move goes first, or a busy pool
/// would never let one through. Not recursive.
class Gate {
 public:
  Gate() noexcept {
    pthread_rwlockattr_t attributes;
    ::pthread_rwlockattr_init(&attributes);
    ::pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    ::pthread_rwlock_init(&lock_, &attributes);
    ::pthread_rwlockattr_destroy(&attributes);
  }
  ~Gate() { ::pthread_rwlock_destroy(&lock_); }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  /// Through the gate, beside others.
  class Passage {
   public:
    explicit Passage(Gate& gate) noexcept : gate_(gate) { ::pthread_rwlock_rdlock(&gate_.lock_); }
    ~Passage() { ::pthread_rwlock_unlock(&gate_.lock_); }
    Passage(const Passage&) = delete;
    Passage& operator=(const Passage&) = delete;

   private:
    Gate& gate_;
  };

  /// The gate closed for everybody else, if that was to be had in time.
  class Closure {
   public:
    Closure(Gate& gate, std::chrono::seconds patience) noexcept : gate_(gate) {
      timespec until{};
      ::clock_gettime(CLOCK_REALTIME, &until);
      until.tv_sec += patience.count();
      closed_ = ::pthread_rwlock_timedwrlock(&gate_.lock_, &until) == 0;
    }
    ~Closure() {
      if (closed_) ::pthread_rwlock_unlock(&gate_.lock_);
    }
    Closure(const Closure&) = delete;
    Closure& operator=(const Closure&) = delete;
    [[nodiscard]] bool closed() const noexcept { return closed_; }

   private:
    Gate& gate_;
    bool closed_ = false;
  };

 private:
  pthread_rwlock_t lock_;
};

}  // namespace bough::ops
