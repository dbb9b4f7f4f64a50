#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "session/worker.hpp"

namespace bough::session {

/// The workers of a session and the rule by which they are armed. One that waits on the device is
/// woken for every message (poll waiters on /dev/fuse are not exclusive), so few wait at a time;
/// another is armed when all armed ones are caught in branch calls, or when messages pile up. When
/// every worker is caught, one more reads on and serves what cannot block. In the quiet all but the
/// first end their threads and close their descriptors.
///
/// Used by the thread that runs the session, except wake() and the atomics.
class Crew {
 public:
  Crew(std::shared_ptr<Connection> connection, std::shared_ptr<Device> device, unsigned threads);
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  /// Arms the first workers. Throws std::system_error.
  void start();
  /// Sleeps, arms and parks until `done` says so, which is asked each time that the bell rings and
  /// at each tick, or until the connection ends. In the quiet it is asked no more, unless there is
  /// a `nap` to wake from.
  void supervise(const std::function<bool()>& done,
                 std::optional<std::chrono::milliseconds> nap = std::nullopt);
  /// Until the bell rings or the time is over, arming nobody.
  void sleep(std::chrono::milliseconds time) noexcept { state_.bell.wait(time); }
  /// Lets everybody finish and joins. False: some did not within `patience`.
  [[nodiscard]] bool finish(std::chrono::milliseconds patience);

  /// Any thread, any signal handler: `done` is asked again.
  void wake() noexcept { state_.bell.ring(); }
  /// Any thread: something in the backlog may be served.
  void look_into_backlog() noexcept { nudge_free(); }
  /// Errno of the read that ended the connection; 0 while it lives.
  [[nodiscard]] int ended() const noexcept { return state_.ended.load(); }

  // --- for reports, any thread
  void each_counters(const std::function<void(const Counters&)>& visit) const;
  [[nodiscard]] unsigned started() const noexcept { return started_.load(); }
  [[nodiscard]] unsigned armed() const noexcept { return armed_.load(); }
  [[nodiscard]] unsigned peak() const noexcept { return peak_.load(); }
  [[nodiscard]] unsigned cloned() const noexcept { return cloned_.load(); }

 private:
  struct Sample {
    bool changed = false;
    unsigned free = 0;
    unsigned stuck = 0;
    std::uint64_t served = 0;
    std::uint64_t immediate = 0;
  };

  [[nodiscard]] Sample sample();
  void tick(const Sample& now);
  void begin_window() noexcept;
  void arm_one();
  void arm_control();
  bool park_one();
  void go_idle();
  void rest_those_who_left() noexcept;
  void nudge_free() noexcept;
  void nudge_held() noexcept;
  /// One more, armed. Throws std::system_error, std::bad_alloc.
  void add();
  [[nodiscard]] std::shared_ptr<Device> own_device();
  [[nodiscard]] bool all_blocked() const noexcept;

  std::shared_ptr<Connection> connection_;
  std::shared_ptr<Device> device_;
  const unsigned threads_;
  const unsigned cores_;
  CrewState state_;

  // INVARIANT: as long as all the slots from the start and filled from the front, so that other
  // threads may read the first started_ entries without a lock.
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<Worker> control_;
  std::atomic<bool> control_started_{false};
  std::atomic<unsigned> started_{0};
  std::atomic<unsigned> armed_{0};
  std::atomic<unsigned> peak_{0};
  std::atomic<unsigned> cloned_{0};
  bool may_clone_ = true;
  /// The last attempt to arm one failed, and none is free still.
  bool short_of_workers_ = false;

  std::vector<std::uint64_t> seen_;
  std::uint64_t seen_immediate_ = 0;
  bool quiet_ = false;
  bool watchful_ = false;
  std::chrono::steady_clock::time_point window_since_;
  unsigned window_free_ = 0;
  bool idle_told_ = false;
};

}  // namespace bough::session
