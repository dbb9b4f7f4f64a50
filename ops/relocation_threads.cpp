#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <exception>
#include <thread>
#include <utility>

#include "ops/relocate_other.hpp"
#include "ops/relocate_together.hpp"
#include "ops/relocations_state.hpp"

namespace bough::ops {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// For changes that began before the move.
constexpr std::chrono::seconds kDrainPatience{30};
constexpr milliseconds kDrainNap{1};
/// A piece of a copy with a rate takes so long, in parts of a second.
constexpr std::uint64_t kPiecesASecond = 4;
constexpr std::uint64_t kLeastPiece = 64U << 10U;
/// Between two looks whether an errand is given up.
constexpr std::uint64_t kErrandPiece = 16U << 20U;
constexpr milliseconds kPaceNap{50};
/// Errands that share their syncs: three descriptors each, and nobody may change one of them until
/// all are moved. So no more are copied after so long.
constexpr std::size_t kMostTogether = 256;
constexpr milliseconds kMostCopying{250};
/// Before the first line for the log.
constexpr std::chrono::seconds kTellFirst{5};

}  // namespace

void Relocations::State::serve(Crew& crew) {
  ::pthread_setname_np(::pthread_self(), "boughfs-move");
  const bool able = pool.backing.own_thread_state() && pool.backing.become(pool.own, true);
  std::unique_lock lock(mutex);
  for (;;) {
    ++crew.waiting;
    crew.work.wait(lock, [&] { return stopping || resting || crew.pieces() != 0; });
    --crew.waiting;
    if (crew.pieces() == 0) break;
    if (crew.batches()) {
      ++crew.batching;
      Jobs batch = take_batch(crew);
      call_threads(crew);
      lock.unlock();
      if (able)
        run_together(crew, std::move(batch));
      else
        for (const auto& job : batch) end(*job, Errno{ECANCELED});
      lock.lock();
      --crew.batching;
      call_threads(crew);
    } else {
      const std::shared_ptr<Job> job = std::move(crew.alone.front());
      crew.alone.pop_front();
      lock.unlock();
      if (able)
        run(*job);
      else
        end(*job, Errno{ECANCELED});
      lock.lock();
    }
  }
  --crew.threads;
  left.notify_all();
}

/// With the mutex: some that may move together.
Relocations::State::Jobs Relocations::State::take_batch(Crew& crew) {
  const Errand& first = *crew.together.front()->errand;
  auto end = crew.together.begin();
  for (std::size_t i = 0; i < kMostTogether && end != crew.together.end(); ++i, ++end) {
    const Errand& next = *(*end)->errand;
    if (next.from != first.from || next.to != first.to || next.verify != first.verify) break;
  }
  Jobs batch;
  batch.splice(batch.end(), crew.together, crew.together.begin(), end);
  return batch;
}

/// What does not move with the others is tried by itself.
void Relocations::State::run_together(Crew& crew, Jobs batch) {
  // All who want several nodes take them in this order.
  batch.sort([](const auto& a, const auto& b) { return a->node.value < b->node.value; });
  Jobs tried;
  try {
    const MoveAim aim = aim_of(*batch.front());
    std::deque<NodeLocks::Alone> alone;
    std::vector<Job*> held;
    held.reserve(batch.size());
    const Reopened reopened{*this, held};
    RelocationBatch moves(pool, aim);
    const auto until = steady_clock::now() + kMostCopying;
    while (!batch.empty() && (tried.empty() || steady_clock::now() < until)) {
      tried.splice(tried.end(), batch, batch.begin());
      Job& job = *tried.back();
      NodeView view;
      if (ends(job) || pool.settings.links.cow || !pool.nodes.view(job.node, view) ||
          view.directory || pool.nodes.hold(job.node) == 0)
        continue;
      held.push_back(&job);
      alone.emplace_back(changes, job.node);
      {
        const std::lock_guard lock(mutex);
        job.closed = true;
      }
      pool.handles.close_changes(job.node);
      // Who has it open would have the others wait.
      if (!pool.handles.files_of(job.node).empty()) continue;
      const auto added = moves.add(job.node, watch(job), job.moved);
      if (!added && added.error() == Errno{EIO}) job.failed = added.error();
    }
    moves.run();
  } catch (const std::exception&) {
    // Those that have moved say so by themselves.
    tried.splice(tried.end(), batch);
  }
  tried.remove_if([this](const auto& job) {
    if (job->moved) end(*job, {});
    if (job->failed) end(*job, *job->failed);
    return job->moved || job->failed;
  });
  const std::lock_guard lock(mutex);
  crew.alone.splice(crew.alone.end(), tried);
  crew.together.splice(crew.together.begin(), batch);
}

void Relocations::State::run(Job& job) {
  if (ends(job)) {
    end(job, Errno{ECANCELED});
    return;
  }
  Result<void> result = Errno{ESTALE};
  // Held, the node stays known, and nothing binds it to a backing file.
  if (pool.nodes.hold(job.node) != 0) {
    try {
      const NodeLocks::Alone alone(changes, job.node);
      {
        const std::lock_guard lock(mutex);
        job.closed = true;
      }
      pool.handles.close_changes(job.node);
      result = drain(job) ? move(job) : Result<void>(Errno{EBUSY});
      open_again(job);
    } catch (const std::exception&) {
      result = Errno{ENOMEM};
      open_again(job);
    }
    pool.nodes.unhold(job.node);
  }
  end(job, result);
}

bool Relocations::State::drain(const Job& job) const {
  const auto deadline = steady_clock::now() + kDrainPatience;
  for (;;) {
    const auto files = pool.handles.files_of(job.node);
    if (std::all_of(files.begin(), files.end(),
                    [](const auto& file) { return file->changes.drained(); }))
      return true;
    if (ends(job) || steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(kDrainNap);
  }
}

MoveAim Relocations::State::aim_of(const Job& job) const {
  MoveAim aim;
  if (!job.errand) {
    aim.policy = pool.settings.move_when_full;
    return aim;
  }
  const Errand& errand = *job.errand;
  aim.policy = &pool.settings.create[CreateFunction::kCreate];
  aim.any_path = true;
  if (errand.to != kNoBranch) aim.to = errand.to;
  aim.from = errand.from;
  aim.verify = errand.verify;
  aim.idle = true;
  aim.step = kErrandPiece;
  if (errand.rate != 0)
    aim.step = std::clamp(errand.rate / kPiecesASecond, kLeastPiece, kErrandPiece);
  return aim;
}

Result<void> Relocations::State::move(Job& job) {
  MoveAim aim = aim_of(job);
  if (aim.policy == nullptr) return Errno{ENOSPC};
  {
    const std::lock_guard lock(mutex);
    aim.asked = job.asked;
  }
  // Somebody works on the file behind the pool, or its names changed while they were looked at.
  constexpr int kTries = 3;
  for (int tries = 1;; ++tries) {
    const auto done = move_as(job, aim);
    if (done || done.error() != Errno{EBUSY} || tries == kTries || ends(job)) return done;
    std::this_thread::sleep_for(milliseconds(10 * tries));
  }
}

/// By what the node is.
Result<void> Relocations::State::move_as(Job& job, const MoveAim& aim) {
  if (!job.errand) return relocate(pool, job.node, aim, watch(job));
  NodeView view;
  if (!pool.nodes.view(job.node, view)) return Errno{ESTALE};
  if (view.directory) return relocate_directory(pool, job.node, aim);
  const auto done = relocate(pool, job.node, aim, watch(job));
  if (done || done.error() != Errno{EMEDIUMTYPE}) return done;
  return relocate_special(pool, job.node, aim);
}

MoveWatch Relocations::State::watch(Job& job) {
  MoveWatch watch;
  watch.begins = [this, &job](const std::string& path, const std::string& from,
                              const std::string& to, std::uint64_t bytes) {
    const std::lock_guard lock(mutex);
    job.begun = steady_clock::now();
    job.tell_at = job.begun + kTellFirst;
    job.told = {path, from, to, bytes, 0, {}};
    job.paced = 0;
  };
  watch.goes_on = [this, &job](std::uint64_t at) {
    tell_progress(job, at);
    pace(job, at);
    return !ends(job);
  };
  watch.reserve = [this](BranchId branch, std::uint64_t bytes, std::uint64_t available) {
    const std::lock_guard lock(mutex);
    std::uint64_t& taken = reserved[branch];
    if (available <= taken || available - taken <= bytes) return false;
    taken += bytes;
    return true;
  };
  watch.give_back = [this](BranchId branch, std::uint64_t bytes) {
    const std::lock_guard lock(mutex);
    reserved[branch] -= bytes;
  };
  return watch;
}

/// Sleeps as long as the rate of an errand wants it.
void Relocations::State::pace(Job& job, std::uint64_t at) {
  if (!job.errand || job.errand->rate == 0 || at <= job.paced) return;
  const auto takes =
      std::chrono::duration_cast<steady_clock::duration>(std::chrono::duration<double>(
          static_cast<double>(at - job.paced) / static_cast<double>(job.errand->rate)));
  job.paced = at;
  steady_clock::time_point until;
  {
    const std::lock_guard lock(mutex);
    due = std::max(due, steady_clock::now()) + takes;
    until = due;
  }
  for (auto now = steady_clock::now(); now < until && !ends(job); now = steady_clock::now())
    std::this_thread::sleep_for(std::min<steady_clock::duration>(kPaceNap, until - now));
}

}  // namespace bough::ops
