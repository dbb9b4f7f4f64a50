#include "ops/branch_crew.hpp"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

namespace bough::ops {

/// One each(). `one` is the caller's: nobody touches it when all calls are done, and a helper that
/// comes late finds nothing to claim.
struct BranchCrew::Job {
  Job(std::size_t calls, const std::function<void(std::size_t)>& call) : count(calls), one(call) {}

  void work() {
    for (;;) {
      const std::size_t index = next.fetch_add(1);
      if (index >= count) return;
      one(index);
      const std::lock_guard lock(mutex);
      if (++done == count) all_done.notify_all();
    }
  }
  void wait() {
    std::unique_lock lock(mutex);
    all_done.wait(lock, [this] { return done == count; });
  }

  const std::size_t count;
  const std::function<void(std::size_t)>& one;
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::condition_variable all_done;
  std::size_t done = 0;
};

/// Shared with the threads, which may outlive the object.
struct BranchCrew::State {
  mutable std::mutex mutex;
  std::condition_variable work;
  std::condition_variable left;
  std::deque<std::shared_ptr<Job>> queue;
  std::size_t threads = 0;
  std::size_t idle = 0;
  bool resting = false;
  bool stopping = false;

  void serve();
};

void BranchCrew::State::serve() {
  ::pthread_setname_np(::pthread_self(), "boughfs-list");
  std::unique_lock lock(mutex);
  for (;;) {
    ++idle;
    work.wait(lock, [this] { return stopping || resting || !queue.empty(); });
    --idle;
    if (stopping || queue.empty()) break;
    const std::shared_ptr<Job> job = std::move(queue.front());
    queue.pop_front();
    lock.unlock();
    job->work();
    lock.lock();
  }
  --threads;
  left.notify_all();
}

BranchCrew::BranchCrew() : state_(std::make_shared<State>()) {}

BranchCrew::~BranchCrew() {
  while (!stop(std::chrono::hours(1))) {
  }
}

void BranchCrew::each(std::size_t count, Size size, const std::function<void(std::size_t)>& one) {
  const auto job = std::make_shared<Job>(count, one);
  State& state = *state_;
  {
    const std::lock_guard lock(state.mutex);
    state.resting = false;
    const std::size_t wanted = std::min(count > 0 ? count - 1 : 0, size.threads);
    for (std::size_t i = 0; i < wanted && !state.stopping; ++i) {
      if (state.queue.size() >= size.waiting) break;
      try {
        state.queue.push_back(job);
        if (state.queue.size() > state.idle && state.threads < size.threads) {
          std::thread([shared = state_] { shared->serve(); }).detach();
          ++state.threads;
        }
      } catch (const std::exception&) {
        // Whoever is there does it.
        break;
      }
      state.work.notify_one();
    }
  }
  job->work();
  job->wait();
  // What nobody came to help with would only be in the way of others.
  const std::lock_guard lock(state.mutex);
  std::erase(state.queue, job);
}

void BranchCrew::rest() noexcept {
  const std::lock_guard lock(state_->mutex);
  state_->resting = true;
  state_->work.notify_all();
}

bool BranchCrew::stop(std::chrono::milliseconds patience) noexcept {
  std::unique_lock lock(state_->mutex);
  state_->stopping = true;
  state_->queue.clear();
  state_->work.notify_all();
  return state_->left.wait_for(lock, patience, [this] { return state_->threads == 0; });
}

std::size_t BranchCrew::threads() const noexcept {
  const std::lock_guard lock(state_->mutex);
  return state_->threads;
}

}  // namespace bough::ops
