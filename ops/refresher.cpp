#include "ops/refresher.hpp"

#include <pthread.h>

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

namespace bough::ops {
namespace {

using std::chrono::steady_clock;

/// Threads that have got nowhere for so long are stuck.
constexpr std::chrono::milliseconds kStuck{100};

}  // namespace

/// Shared with the threads, which may outlive the object.
struct Refresher::State {
  std::mutex mutex;
  std::condition_variable work;
  std::condition_variable left;
  std::deque<std::shared_ptr<Branch>> queue;
  unsigned threads = 0;
  unsigned waiting = 0;
  /// When a thread last began or ended something.
  steady_clock::time_point progress;
  bool resting = false;
  bool stopping = false;

  void serve();
  [[nodiscard]] bool needs_thread() const {
    if (queue.empty() || waiting > 0) return false;
    return threads == 0 || steady_clock::now() - progress >= kStuck;
  }
};

void Refresher::State::serve() {
  ::pthread_setname_np(::pthread_self(), "boughfs-room");
  std::unique_lock lock(mutex);
  for (;;) {
    ++waiting;
    work.wait(lock, [this] { return stopping || resting || !queue.empty(); });
    --waiting;
    if (stopping || queue.empty()) break;
    std::shared_ptr<Branch> branch = std::move(queue.front());
    queue.pop_front();
    progress = steady_clock::now();
    lock.unlock();
    branch->refresh();
    branch.reset();
    lock.lock();
    progress = steady_clock::now();
  }
  --threads;
  left.notify_all();
}

Refresher::Refresher() : state_(std::make_shared<State>()) {}

Refresher::~Refresher() {
  while (!stop(std::chrono::hours(1))) {
  }
}

void Refresher::ask(const std::shared_ptr<Branch>& branch) noexcept {
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  if (state.stopping) return;
  state.resting = false;
  const bool first = branch->begin_refresh();
  bool queued = !first;
  try {
    if (first) {
      state.queue.push_back(branch);
      queued = true;
    }
    if (state.needs_thread()) {
      std::thread([shared = state_] { shared->serve(); }).detach();
      ++state.threads;
      state.progress = steady_clock::now();
    }
  } catch (const std::exception&) {
    // With a thread there already, however stuck, what is queued waits for that one.
    if (queued && state.threads > 0) return;
    if (queued && first) state.queue.pop_back();
    branch->give_up_refresh();
    return;
  }
  if (first) state.work.notify_one();
}

void Refresher::rest() noexcept {
  const std::lock_guard lock(state_->mutex);
  state_->resting = true;
  state_->work.notify_all();
}

bool Refresher::stop(std::chrono::milliseconds patience) noexcept {
  std::unique_lock lock(state_->mutex);
  state_->stopping = true;
  for (const auto& branch : state_->queue) branch->give_up_refresh();
  state_->queue.clear();
  state_->work.notify_all();
  return state_->left.wait_for(lock, patience, [this] { return state_->threads == 0; });
}

}  // namespace bough::ops
