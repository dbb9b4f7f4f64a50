#include "ops/absences.hpp"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "ops/branch.hpp"

namespace bough::ops {

/// Shared with the thread, which may outlive the object.
struct Absences::State {
  struct Entry {
    std::weak_ptr<Branch> branch;
    /// Of no other entry.
    std::uint64_t serial = 0;
    /// When it was looked at last, in rounds.
    std::uint64_t round = 0;
    bool told = false;
  };
  std::mutex mutex;
  std::condition_variable work;
  std::condition_variable left;
  std::vector<Entry> entries;
  std::uint64_t last_serial = 0;
  std::atomic<std::size_t> count{0};
  /// Constant once `started`.
  Changed changed;
  bool started = false;
  bool running = false;
  bool stopping = false;

  [[nodiscard]] bool untold() const {
    return std::any_of(entries.begin(), entries.end(),
                       [](const Entry& each) { return !each.told; });
  }
  /// False: there was none; under the mutex.
  template <class Which>
  bool erase(Which which) {
    const auto from = std::remove_if(entries.begin(), entries.end(), which);
    const auto gone = static_cast<std::size_t>(entries.end() - from);
    entries.erase(from, entries.end());
    count.fetch_sub(gone);
    return gone != 0;
  }
  void serve();
  void serve_one(std::unique_lock<std::mutex>& lock, Entry& entry, std::uint64_t round);
  void run_thread(const std::shared_ptr<State>& self);
};

/// Lets go of the mutex while the branch is asked.
void Absences::State::serve_one(std::unique_lock<std::mutex>& lock, Entry& entry,
                                std::uint64_t round) {
  const auto branch = entry.branch.lock();
  const std::uint64_t serial = entry.serial;
  const bool told = std::exchange(entry.told, true);
  entry.round = round;
  lock.unlock();
  bool waits = false;
  // One that left the pool is missed by nobody.
  if (branch && !branch->retired()) {
    try {
      // Where something else is at its path, a look says what that is; what may hang is not waited
      // for.
      const bool look_first = !told && branch->replaced();
      if (!told && !look_first) changed(*branch, false);
      waits = !branch->look_again();
      if (look_first) changed(*branch, false);
    } catch (const std::bad_alloc&) {
      waits = branch->absent();
    }
  }
  lock.lock();
  if (waits || !erase([serial](const Entry& each) { return each.serial == serial; })) return;
  if (!branch || branch->retired()) return;
  lock.unlock();
  try {
    changed(*branch, true);
  } catch (const std::bad_alloc&) {
    // It is in use all the same; only nobody was told.
  }
  lock.lock();
}

void Absences::State::serve() {
  ::pthread_setname_np(::pthread_self(), "boughfs-absent");
  std::unique_lock lock(mutex);
  for (std::uint64_t round = 1; !stopping && !entries.empty(); ++round) {
    const auto next = [&] {
      return std::find_if(entries.begin(), entries.end(),
                          [round](const Entry& each) { return each.round != round; });
    };
    for (auto at = next(); at != entries.end() && !stopping; at = next())
      serve_one(lock, *at, round);
    work.wait_for(lock, kPeriod, [this] { return stopping || untold(); });
  }
  running = false;
  left.notify_all();
}

void Absences::State::run_thread(const std::shared_ptr<State>& self) {
  if (!started || running || stopping || entries.empty()) return;
  std::thread([self] { self->serve(); }).detach();
  running = true;
}

Absences::Absences(const Settings& settings)
    : settings_(settings), state_(std::make_shared<State>()) {}

Absences::~Absences() {
  while (!stop(std::chrono::hours(1))) {
  }
}

std::size_t Absences::count() const noexcept {
  return state_->count.load(std::memory_order_relaxed);
}

Errno Absences::error() const noexcept {
  switch (settings_.branch_absent.get()) {
    case BranchAbsent::kHide:
    case BranchAbsent::kReadonly:
      return Errno{ESTALE};
    case BranchAbsent::kEio:
    case BranchAbsent::kRefuse:
      break;
  }
  return Errno{EIO};
}

bool Absences::add(std::weak_ptr<Branch> branch) noexcept {
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  const std::size_t before = state.entries.size();
  try {
    state.entries.push_back({std::move(branch), ++state.last_serial, 0, false});
    state.run_thread(state_);
  } catch (const std::exception&) {
    state.entries.resize(before);
    return false;
  }
  state.count.fetch_add(1);
  state.work.notify_all();
  return true;
}

void Absences::forget(const Branch& branch) noexcept {
  const std::lock_guard lock(state_->mutex);
  (void)state_->erase(
      [&](const State::Entry& each) { return each.branch.lock().get() == &branch; });
}

void Absences::start(Changed changed) {
  std::vector<State::Entry> now;
  {
    const std::lock_guard lock(state_->mutex);
    now.swap(state_->entries);
  }
  for (State::Entry& each : now) {
    const auto branch = each.branch.lock();
    if (branch && !std::exchange(each.told, true)) changed(*branch, false);
  }
  const std::lock_guard lock(state_->mutex);
  state_->changed = std::move(changed);
  state_->started = true;
  state_->entries.insert(state_->entries.end(), now.begin(), now.end());
  state_->run_thread(state_);
}

bool Absences::stop(std::chrono::milliseconds patience) noexcept {
  std::unique_lock lock(state_->mutex);
  state_->stopping = true;
  state_->work.notify_all();
  return state_->left.wait_for(lock, patience, [this] { return !state_->running; });
}

}  // namespace bough::ops
