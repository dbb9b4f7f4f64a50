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
    bool told = false;
  };
  std::mutex mutex;
  std::condition_variable work;
  std::condition_variable left;
  /// Those that nobody looks at just now.
  std::vector<Entry> entries;
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
  void serve();
  void serve_round(std::vector<Entry>& round);
  void run_thread(const std::shared_ptr<State>& self);
};

/// Leaves in `round` those that are still absent.
void Absences::State::serve_round(std::vector<Entry>& round) {
  for (std::size_t i = 0; i < round.size();) {
    std::shared_ptr<Branch> branch = round[i].branch.lock();
    // One that left the pool is missed by nobody.
    if (branch && branch->retired()) branch.reset();
    if (branch && !std::exchange(round[i].told, true)) changed(*branch, false);
    if (branch && !branch->look_again()) {
      ++i;
      continue;
    }
    count.fetch_sub(1);
    if (branch) changed(*branch, true);
    round.erase(round.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

void Absences::State::serve() {
  ::pthread_setname_np(::pthread_self(), "boughfs-absent");
  std::unique_lock lock(mutex);
  while (!stopping && !entries.empty()) {
    std::vector<Entry> round = std::exchange(entries, {});
    lock.unlock();
    try {
      serve_round(round);
    } catch (const std::bad_alloc&) {
      // Those that are left are looked at again.
    }
    lock.lock();
    entries.insert(entries.end(), round.begin(), round.end());
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
    state.entries.push_back({std::move(branch), false});
    state.run_thread(state_);
  } catch (const std::exception&) {
    state.entries.resize(before);
    return false;
  }
  state.count.fetch_add(1);
  state.work.notify_all();
  return true;
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
