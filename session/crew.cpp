#include "session/crew.hpp"

#include <malloc.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <utility>

#include "proto/filesystem.hpp"
#include "session/connection.hpp"
#include "session/device.hpp"

namespace bough::session {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// While somebody may be caught: a worker whose handler lasts from one tick to the next is.
constexpr milliseconds kTick{2};
/// While requests come and workers are free. Each tick wakes a core that was idle, and the
/// scheduler may then part a client from the worker that it shares its core with, which costs both
/// more than the request (two to four times the time of a look-up in a virtual machine).
constexpr milliseconds kCalmTick{32};
/// Without a change, before the supervisor sleeps without a tick.
constexpr milliseconds kQuiet{32};
/// Over which somebody was always free before one worker is parked.
constexpr milliseconds kWindow{64};
/// Without a request for so long, the file system lets go of what an idle pool need not hold.
constexpr milliseconds kIdle{2000};
/// While no worker can be started that is needed.
constexpr milliseconds kRetry{100};
/// Workers that wait in the quiet. With one, which tries again before it sleeps, a failing stat
/// took 15 µs (two clients: 11 µs each) on two cores; a second waiter is woken in vain for each of
/// them: 25 to 30.
constexpr unsigned kBase = 1;

unsigned own_cores() noexcept {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<unsigned>(std::max(1, CPU_COUNT(&set)));
}

}  // namespace

Crew::Crew(std::shared_ptr<Connection> connection, std::shared_ptr<Device> device, unsigned threads)
    : connection_(std::move(connection)),
      device_(std::move(device)),
      threads_(threads),
      cores_(own_cores()),
      workers_(threads),
      seen_(threads + 1) {
  state_.may_spin = cores_ > 1;
  state_.queued = [this] { nudge_free(); };
}

Crew::~Crew() = default;

void Crew::start() {
  for (unsigned i = 0; i < std::min(kBase, threads_); ++i) {
    add();
    armed_.fetch_add(1);
  }
  peak_.store(armed_.load());
}

std::shared_ptr<Device> Crew::own_device() {
  if (may_clone_) {
    if (auto clone = device_->clone()) {
      cloned_.fetch_add(1);
      return clone;
    }
    may_clone_ = errno == EMFILE || errno == ENFILE;
  }
  return device_;
}

void Crew::add() {
  const std::size_t slot = started_.load();
  workers_[slot] = std::make_unique<Worker>(connection_, state_, slot, Worker::Role::kServing);
  // First known, then at work: what it has answered is in the figures. One that cannot start rests.
  started_.store(static_cast<unsigned>(slot) + 1);
  workers_[slot]->start(slot == 0 ? device_ : own_device());
}

Crew::Sample Crew::sample() {
  Sample now;
  std::uint64_t immediate = 0;
  const auto look = [&](const Worker& worker, std::uint64_t& seen, bool serving) {
    const std::uint64_t activity = worker.activity();
    const bool same = activity == seen;
    now.changed |= !same;
    now.served += (activity - seen) / 2;
    seen = activity;
    immediate += worker.immediate();
    if (!serving || !worker.armed()) return;
    if ((activity & 1U) == 0)
      ++now.free;
    else if (same)
      ++now.stuck;
  };
  for (unsigned i = 0; i < started_.load(); ++i) look(*workers_[i], seen_[i], true);
  if (control_) look(*control_, seen_[threads_], false);
  now.immediate = immediate - seen_immediate_;
  seen_immediate_ = immediate;
  return now;
}

void Crew::supervise(const std::function<bool()>& done, std::optional<milliseconds> nap) {
  auto changed_at = steady_clock::now();
  while (ended() == 0 && !done()) {
    if (!quiet_) {
      state_.bell.wait(watchful_ ? kTick : kCalmTick);
    } else {
      state_.supervisor_sleeps.store(true, std::memory_order_seq_cst);
      const Sample last = sample();
      if (!last.changed) {
        std::optional<milliseconds> sleep = nap;
        if (short_of_workers_)
          sleep = kRetry;
        else if (!sleep && !idle_told_)
          sleep = std::max(milliseconds(1), std::chrono::ceil<milliseconds>(changed_at + kIdle -
                                                                            steady_clock::now()));
        state_.bell.wait(sleep);
      } else {
        quiet_ = false;
        changed_at = steady_clock::now();
        idle_told_ = false;
      }
      state_.supervisor_sleeps.store(false, std::memory_order_seq_cst);
      watchful_ = false;
    }
    rest_those_who_left();
    const Sample now = sample();
    if (now.changed) {
      quiet_ = false;
      changed_at = steady_clock::now();
      idle_told_ = false;
    } else if (!quiet_) {
      quiet_ = steady_clock::now() - changed_at >= kQuiet;
    } else if (!idle_told_ && steady_clock::now() - changed_at >= kIdle) {
      idle_told_ = true;
      go_idle();
    }
    tick(now);
  }
}

void Crew::tick(const Sample& now) {
  const unsigned armed = armed_.load();
  if (now.free > 0) short_of_workers_ = false;
  // Nobody was free at this moment: with luck only at this moment.
  watchful_ = now.stuck > 0 || (now.free == 0 && !watchful_);
  // Caught means asleep in a branch: a worker that merely waits for a processor would only get
  // company that waits with it.
  if (now.free == 0 && now.stuck == armed && all_blocked()) {
    arm_one();
    begin_window();
    return;
  }
  const bool ready = connection_->backlog.ready();
  if (now.free > 0 && control_ && control_->armed() && !ready) control_->park();
  if (now.free > 0 && ready) nudge_free();
  if (connection_->backlog.has_room()) nudge_held();

  // Messages that had to wait show that one more could work at the same time: on a core of ours, or
  // while a branch is waited for.
  const bool piling_up = now.served >= 8 && now.immediate * 2 > now.served;
  if (piling_up && armed < threads_ && (armed < cores_ || (now.free == 0 && all_blocked()))) {
    arm_one();
    begin_window();
    return;
  }
  window_free_ = std::min(window_free_, now.free);
  if (steady_clock::now() - window_since_ < kWindow) return;
  if (window_free_ > 0) park_one();
  begin_window();
}

void Crew::begin_window() noexcept {
  window_since_ = steady_clock::now();
  window_free_ = threads_;
}

bool Crew::all_blocked() const noexcept {
  for (unsigned i = 0; i < started_.load(); ++i)
    if (workers_[i]->armed() && !workers_[i]->blocked()) return false;
  return true;
}

void Crew::arm_one() {
  Worker* parked = nullptr;
  Worker* resting = nullptr;
  for (unsigned i = 0; i < started_.load(); ++i) {
    Worker& worker = *workers_[i];
    if (worker.resting()) {
      if (resting == nullptr) resting = &worker;
    } else if (parked == nullptr && !worker.armed() && !worker.leaving()) {
      parked = &worker;
    }
  }
  try {
    if (parked != nullptr) {
      parked->arm();
    } else if (resting != nullptr) {
      resting->start(own_device());
    } else if (started_.load() < threads_) {
      add();
    } else {
      arm_control();
      short_of_workers_ = false;
      return;
    }
  } catch (const std::exception& error) {
    // No thread or descriptor to be had: those that there are go on, and the next tick tries again.
    if (std::exchange(short_of_workers_, true)) return;
    std::fprintf(stderr, "boughfs: cannot start a worker: %s\n", error.what());
    connection_->fs.idle();
    return;
  }
  short_of_workers_ = false;
  armed_.fetch_add(1);
  peak_.store(std::max(peak_.load(), armed_.load()));
}

void Crew::arm_control() {
  if (!control_) {
    control_ = std::make_unique<Worker>(connection_, state_, threads_, Worker::Role::kControl);
    control_started_.store(true);
  }
  if (control_->resting())
    control_->start(own_device());
  else if (!control_->armed() && !control_->leaving())
    control_->arm();
}

bool Crew::park_one() {
  if (armed_.load() <= kBase) return false;
  // One that is caught in a branch may stay so for long: somebody else has to be left to read.
  Worker* chosen = nullptr;
  unsigned free = 0;
  for (unsigned i = 0; i < started_.load(); ++i) {
    Worker& worker = *workers_[i];
    if (!worker.armed() || (worker.activity() & 1U) != 0) continue;
    chosen = &worker;
    ++free;
  }
  if (free < 2) return false;
  chosen->park();
  armed_.fetch_sub(1);
  return true;
}

void Crew::go_idle() {
  while (park_one()) {
  }
  connection_->fs.idle();
  const auto quieten = [](Worker& worker) {
    if (worker.armed())
      worker.trim();
    else if (!worker.resting())
      worker.leave();
  };
  for (unsigned i = 0; i < started_.load(); ++i) quieten(*workers_[i]);
  if (control_) quieten(*control_);
  ::malloc_trim(0);
}

void Crew::rest_those_who_left() noexcept {
  const auto look = [](Worker& worker) {
    if (worker.resting() || !worker.left()) return;
    worker.join();
    worker.rest();
  };
  for (unsigned i = 0; i < started_.load(); ++i) look(*workers_[i]);
  if (control_) look(*control_);
}

void Crew::nudge_free() noexcept {
  for (unsigned i = 0; i < started_.load(); ++i) {
    Worker& worker = *workers_[i];
    if (!worker.armed() || (worker.activity() & 1U) != 0) continue;
    worker.nudge();
    return;
  }
}

void Crew::nudge_held() noexcept {
  for (unsigned i = 0; i < started_.load(); ++i)
    if (workers_[i]->held()) workers_[i]->nudge();
  if (control_ && control_->held()) control_->nudge();
}

bool Crew::finish(milliseconds patience) {
  const auto deadline = steady_clock::now() + patience;
  for (unsigned i = 0; i < started_.load(); ++i) workers_[i]->leave();
  if (control_) control_->leave();
  while (state_.running.load() != 0) {
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now());
    if (left <= milliseconds(0)) return false;
    state_.bell.wait(left);
  }
  for (unsigned i = 0; i < started_.load(); ++i) workers_[i]->join();
  if (control_) control_->join();
  return true;
}

void Crew::each_counters(const std::function<void(const Counters&)>& visit) const {
  for (unsigned i = 0; i < started_.load(); ++i) visit(workers_[i]->counters());
  if (control_started_.load()) visit(control_->counters());
}

}  // namespace bough::session
