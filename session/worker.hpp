#pragma once

#include <pthread.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "session/bell.hpp"
#include "session/buffers.hpp"
#include "session/counters.hpp"
#include "session/dispatch.hpp"
#include "session/wait_tuner.hpp"

namespace bough::session {

struct Connection;
class Device;

/// What the workers of a crew and its supervisor tell each other.
struct CrewState {
  /// Rung for the supervisor.
  Bell bell;
  /// The supervisor sleeps without a tick: whoever begins a request rings once.
  std::atomic<bool> supervisor_sleeps{false};
  /// One worker at a time may spin: a second one would take the client's core.
  std::atomic<bool> spinner{false};
  /// Errno of the read that ended the connection; 0 while it lives.
  std::atomic<int> ended{0};
  /// Threads that have not left yet.
  std::atomic<unsigned> running{0};
  /// Something in the backlog may be served: any thread. Set before the first worker starts.
  std::function<void()> queued;
  /// Whether more than one core is ours, so that trying again can meet a client that runs
  /// meanwhile.
  bool may_spin = false;
};

/// One thread of a session: reads from its device descriptor, serves to completion, sleeps in
/// Asio's readiness wait. Armed, it waits for messages; parked, for its supervisor alone; resting,
/// it has neither thread nor descriptors, and its figures stay readable.
class Worker {
 public:
  enum class Role : std::uint8_t {
    kServing,
    /// Serves what cannot block (FORGET, INTERRUPT, …) and puts everything else into the backlog.
    kControl,
  };

  /// Resting.
  Worker(std::shared_ptr<Connection> connection, CrewState& crew, std::size_t slot, Role role);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // --- the supervisor's side

  /// Starts the thread of a resting worker, armed. Throws std::system_error, and it rests still.
  void start(std::shared_ptr<Device> device);
  void arm() noexcept;
  void park() noexcept;
  [[nodiscard]] bool armed() const noexcept { return armed_.load(std::memory_order_acquire); }
  /// Gives the buffers' memory back as soon as the worker has nothing to do.
  void trim() noexcept;
  /// The thread ends after what it is doing now.
  void leave() noexcept;
  [[nodiscard]] bool leaving() const noexcept { return leave_.load(std::memory_order_acquire); }
  /// Whether the thread has done its last; join() waits for nothing then.
  [[nodiscard]] bool left() const noexcept { return left_.load(std::memory_order_acquire); }
  void join() noexcept;
  /// Closes the descriptors of a worker whose thread was joined. Requests that it read and others
  /// have still to answer keep the device open.
  void rest() noexcept;
  [[nodiscard]] bool resting() const noexcept { return !started_; }

  /// Odd while a message is being served; rises by one at each begin and end.
  [[nodiscard]] std::uint64_t activity() const noexcept {
    return activity_.load(std::memory_order_seq_cst);
  }
  /// Messages that waited already when the one before them was done, and came from somebody else.
  [[nodiscard]] std::uint64_t immediate() const noexcept {
    return immediate_.load(std::memory_order_relaxed);
  }
  /// Reads nothing because the backlog is full: to be nudged when it has room.
  [[nodiscard]] bool held() const noexcept { return held_.load(std::memory_order_acquire); }
  /// Whether the thread sleeps in the kernel just now, rather than runs or waits for a processor.
  /// Reads /proc; false if that does not say, but true for want of a descriptor.
  [[nodiscard]] bool blocked() const noexcept;
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

  /// Any thread: looks at its flags and the backlog once more. Nothing to one that rests.
  void nudge() noexcept;

 private:
  struct Reactor;

  void run() noexcept;
  void drain();
  void begin() noexcept;
  void end() noexcept;
  bool serve_waiting();
  void serve(std::size_t size);
  bool is_company() noexcept;
  /// Nothing was there to read, `looks` times since the last message: whether to look again.
  [[nodiscard]] bool look_again(unsigned looks) noexcept;
  void end_wait(bool slept) noexcept;
  void stop_spinning() noexcept;
  void read_failed(int error) noexcept;

  std::shared_ptr<Connection> connection_;
  CrewState& crew_;
  std::shared_ptr<Device> device_;
  Role role_;
  Counters counters_;
  Buffers buffers_;
  Dispatcher dispatcher_;
  /// Guards the pointer against the nudges of others; the worker's own thread needs no lock.
  std::mutex reach_;
  std::unique_ptr<Reactor> reactor_;

  std::atomic<bool> armed_{false};
  std::atomic<bool> trim_{false};
  std::atomic<bool> leave_{false};
  std::atomic<bool> left_{false};
  std::atomic<bool> held_{false};
  std::atomic<std::uint64_t> activity_{0};
  std::atomic<std::uint64_t> immediate_{0};
  std::atomic<pid_t> thread_id_{0};
  unsigned failures_ = 0;

  WaitTuner tuner_;
  /// When the last answer was followed by nothing to read; until the next message.
  std::optional<WaitTuner::Clock::time_point> waiting_since_;
  bool spinning_ = false;
  /// The thread that sent the last message, as the kernel numbers it.
  std::uint32_t last_client_ = 0;

  pthread_t thread_{};
  bool started_ = false;
};

}  // namespace bough::session
