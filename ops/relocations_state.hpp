#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "ops/pool.hpp"
#include "ops/relocate.hpp"

namespace bough::ops {

/// One move, from the wish to its end.
struct Relocations::Job {
  std::uint64_t number = 0;
  NodeId node;
  std::uint64_t asked = 0;
  std::optional<Errand> errand;
  /// Of one that was to move together with others: it did; it cannot.
  bool moved = false;
  std::optional<Errno> failed;
  /// The one that wanted the errand is gone.
  std::atomic<bool> given_up{false};
  /// How far the copy has been paced, in bytes.
  std::uint64_t paced = 0;
  /// Nobody may change the file.
  bool closed = false;
  MoveTold told;
  std::chrono::steady_clock::time_point begun;
  std::chrono::steady_clock::time_point tell_at;
};

/// Shared with the threads, which may outlive the object. What they do is in
/// ops/relocation_threads.cpp, the rest in ops/relocations.cpp.
struct Relocations::State : std::enable_shared_from_this<State> {
  explicit State(Pool& of) noexcept : pool(of) {}

  Pool& pool;
  /// For changes by node; each move has its node alone.
  NodeLocks changes;
  /// Whether there is any job; read without the mutex.
  std::atomic<bool> any{false};
  std::atomic<bool> cancelled{false};
  std::atomic<std::uint64_t> moved{0};
  std::atomic<std::uint64_t> refused{0};

  using Jobs = std::list<std::shared_ptr<Job>>;
  /// The threads for one kind of moves, and what they have to do.
  struct Crew {
    Jobs alone;
    /// To be moved several at a time, by few threads: meanwhile others come together.
    Jobs together;
    unsigned batching = 0;
    std::condition_variable work;
    unsigned threads = 0;
    unsigned waiting = 0;

    /// How many threads could do something.
    [[nodiscard]] std::size_t pieces() const noexcept { return alone.size() + (batches() ? 1 : 0); }
    /// One can copy while the other gives names.
    static constexpr unsigned kMostBatching = 2;
    [[nodiscard]] bool batches() const noexcept {
      return batching < kMostBatching && !together.empty();
    }
  };

  mutable std::mutex mutex;
  std::condition_variable left;
  std::map<std::uint64_t, std::shared_ptr<Job>> jobs;
  std::unordered_map<std::uint64_t, Job*> by_node;
  Crew for_room;
  Crew for_people;
  /// Of errands that ended lately, by number.
  std::map<std::uint64_t, Result<void>> results;
  /// When the bytes that errands have copied so far are due.
  std::chrono::steady_clock::time_point due{};
  /// How many moves that came to nothing are remembered, for requests that waited for them.
  static constexpr std::size_t kMostFailed = 1024;
  std::array<std::uint64_t, kMostFailed> last_failed{};
  std::size_t next_failed = 0;
  std::map<std::uint64_t, std::chrono::steady_clock::time_point> resting_nodes;
  std::map<BranchId, std::uint64_t> reserved;
  std::uint64_t last_number = 0;
  bool resting = false;
  bool stopping = false;

  [[nodiscard]] std::uint64_t add(Crew& crew, Jobs& queue, const std::shared_ptr<Job>& job);
  void call_threads(Crew& crew);
  void serve(Crew& crew);
  [[nodiscard]] static Jobs take_batch(Crew& crew);
  void run_together(Crew& crew, Jobs batch);
  /// At the end of a batch its files may be changed again.
  struct Reopened {
    State& state;
    const std::vector<Job*>& held;
    ~Reopened() {
      for (Job* const job : held) {
        state.open_again(*job);
        state.pool.nodes.unhold(job->node);
      }
    }
  };
  void run(Job& job);
  [[nodiscard]] MoveAim aim_of(const Job& job) const;
  Result<void> move(Job& job);
  Result<void> move_as(Job& job, const MoveAim& aim);
  [[nodiscard]] MoveWatch watch(Job& job);
  [[nodiscard]] bool drain(const Job& job) const;
  void pace(Job& job, std::uint64_t at);
  [[nodiscard]] bool ends(const Job& job) const { return cancelled || job.given_up; }
  void open_again(Job& job);
  void end(Job& job, const Result<void>& result) noexcept;
  void keep_result(std::uint64_t number, const Result<void>& result) noexcept;
  void tell_end(const Job& job, const Result<void>& result);
  void tell_progress(Job& job, std::uint64_t at);
  void forget(const Job& job) noexcept {
    by_node.erase(job.node.value);
    jobs.erase(job.number);
  }
  [[nodiscard]] Job* find(NodeId node) const {
    const auto found = by_node.find(node.value);
    return found != by_node.end() ? found->second : nullptr;
  }
};

}  // namespace bough::ops
