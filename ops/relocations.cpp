#include "ops/relocations.hpp"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "ops/pool.hpp"
#include "ops/relocate.hpp"
#include "ops/relocate_other.hpp"

namespace bough::ops {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// At once: one large file must not hold up all others, and disks do one thing at a time best.
constexpr unsigned kMostThreads = 4;
/// For changes that began before the move.
constexpr std::chrono::seconds kDrainPatience{30};
constexpr milliseconds kDrainNap{1};
/// After a move that failed when its copy had begun, the same is not tried again for so many times
/// what it took, at most so long: else each write would have the file copied in vain.
constexpr int kRestFactor = 5;
constexpr std::chrono::seconds kMostRest{30};
/// A piece of a copy with a rate takes so long, in parts of a second.
constexpr std::uint64_t kPiecesASecond = 4;
constexpr std::uint64_t kLeastPiece = 64U << 10U;
/// Between two looks whether an errand is given up.
constexpr std::uint64_t kErrandPiece = 16U << 20U;
constexpr milliseconds kPaceNap{50};
/// Errands that share their syncs: more would have all wait for the gate longer.
constexpr std::size_t kMostTogether = 64;
/// How many moves that came to nothing are remembered, for requests that waited for them.
constexpr std::size_t kMostFailed = 1024;
/// Between two lines for the log.
constexpr std::chrono::seconds kTellEvery{30};
constexpr std::chrono::seconds kTellFirst{5};
constexpr std::uint64_t kMiB = 1U << 20U;
/// How many results of errands are kept, for requests that waited for them.
constexpr std::size_t kMostResults = 4096;

std::string size_of(std::uint64_t bytes) {
  constexpr std::uint64_t kKiB = 1024;
  return bytes < kMiB ? std::to_string(bytes / kKiB) + " KiB"
                      : std::to_string(bytes / kMiB) + " MiB";
}

std::string why_it_stays(Errno error) {
  if (error == Errno{ETXTBSY}) return "somebody else has it open for writing on that branch";
  return std::strerror(error.value());
}

}  // namespace

struct Relocations::Job {
  std::uint64_t number = 0;
  NodeId node;
  std::uint64_t asked = 0;
  std::optional<Errand> errand;
  /// The one that wanted the errand is gone.
  std::atomic<bool> given_up{false};
  /// How far the copy has been paced, in bytes.
  std::uint64_t paced = 0;
  /// Nobody may change the file.
  bool closed = false;
  Told told;
  steady_clock::time_point begun;
  steady_clock::time_point tell_at;
};

/// Shared with the threads, which may outlive the object.
struct Relocations::State {
  explicit State(Pool& of) noexcept : pool(of) {}

  Pool& pool;
  /// For changes by node; each move has its node alone.
  NodeLocks changes;
  /// Whether there is any job; read without the mutex.
  std::atomic<bool> any{false};
  std::atomic<bool> cancelled{false};
  std::atomic<std::uint64_t> moved{0};
  std::atomic<std::uint64_t> refused{0};

  /// The threads for one kind of moves, and what they have to do.
  struct Crew {
    std::deque<std::shared_ptr<Job>> queue;
    std::condition_variable work;
    unsigned threads = 0;
    unsigned waiting = 0;
  };

  mutable std::mutex mutex;
  std::condition_variable left;
  std::map<std::uint64_t, std::shared_ptr<Job>> jobs;
  Crew for_room;
  Crew for_people;
  struct Ended {
    std::uint64_t number = 0;
    Result<void> result;
  };
  std::deque<Ended> results;
  /// When the bytes that errands have copied so far are due.
  steady_clock::time_point due{};
  std::array<std::uint64_t, kMostFailed> last_failed{};
  std::size_t next_failed = 0;
  std::map<std::uint64_t, steady_clock::time_point> resting_nodes;
  std::map<BranchId, std::uint64_t> reserved;
  std::uint64_t last_number = 0;
  bool resting = false;
  bool stopping = false;

  [[nodiscard]] std::uint64_t add(Crew& crew, std::shared_ptr<Job> job,
                                  const std::shared_ptr<State>& self);
  void serve(Crew& crew);
  using Jobs = std::vector<std::shared_ptr<Job>>;
  [[nodiscard]] Jobs mates_of(Crew& crew, const std::shared_ptr<Job>& job);
  void run_together(Jobs all);
  /// At the end of a batch its files may be changed again.
  struct Reopened {
    State& state;
    const Jobs& held;
    ~Reopened() {
      for (const auto& job : held) {
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
  [[nodiscard]] const Job* find(NodeId node) const {
    for (const auto& [number, job] : jobs)
      if (job->node == node) return job.get();
    return nullptr;
  }
};

void Relocations::State::serve(Crew& crew) {
  ::pthread_setname_np(::pthread_self(), "boughfs-move");
  const bool able = pool.backing.own_thread_state() && pool.backing.become(pool.own, true);
  std::unique_lock lock(mutex);
  for (;;) {
    ++crew.waiting;
    crew.work.wait(lock, [&] { return stopping || resting || !crew.queue.empty(); });
    --crew.waiting;
    if (crew.queue.empty()) break;
    const std::shared_ptr<Job> job = std::move(crew.queue.front());
    crew.queue.pop_front();
    const bool give_up = stopping || !able || job->given_up;
    auto mates = give_up ? Jobs() : mates_of(crew, job);
    lock.unlock();
    if (give_up)
      end(*job, Errno{ECANCELED});
    else if (mates.size() < 2)
      run(*job);
    else
      run_together(std::move(mates));
    lock.lock();
  }
  --crew.threads;
  left.notify_all();
}

/// With the mutex: `job`, and those behind it that may move together with it.
Relocations::State::Jobs Relocations::State::mates_of(Crew& crew, const std::shared_ptr<Job>& job) {
  Jobs mates{job};
  if (!job->errand || job->errand->rate != 0 || pool.settings.links.cow) return mates;
  while (!crew.queue.empty() && mates.size() < kMostTogether) {
    const Errand& next = *crew.queue.front()->errand;
    if (next.from != job->errand->from || next.to != job->errand->to || next.rate != 0 ||
        next.verify != job->errand->verify)
      break;
    mates.push_back(std::move(crew.queue.front()));
    crew.queue.pop_front();
  }
  return mates;
}

/// What does not move with the others is tried by itself.
void Relocations::State::run_together(Jobs all) {
  // All who want several nodes take them in this order.
  std::sort(all.begin(), all.end(),
            [](const auto& a, const auto& b) { return a->node.value < b->node.value; });
  std::vector<Together> files;
  try {
    files.reserve(all.size());
    std::deque<NodeLocks::Alone> alone;
    Jobs held;
    const Reopened reopened{*this, held};
    held.reserve(all.size());
    for (const auto& job : all) {
      NodeView view;
      if (job->given_up || !pool.nodes.view(job->node, view) || view.directory ||
          pool.nodes.hold(job->node) == 0)
        continue;
      held.push_back(job);
      alone.emplace_back(changes, job->node);
      {
        const std::lock_guard lock(mutex);
        job->closed = true;
      }
      pool.handles.close_changes(job->node);
      // Who has it open would have the others wait.
      if (pool.handles.files_of(job->node).empty()) files.push_back({job->node, watch(*job)});
    }
    relocate_together(pool, files, aim_of(*all.front()));
  } catch (const std::exception&) {
    // Those that have moved say so by themselves.
  }
  for (const auto& job : all) {
    const bool went = std::any_of(files.begin(), files.end(), [&](const Together& file) {
      return file.node == job->node && file.moved;
    });
    if (went)
      end(*job, {});
    else if (job->given_up || cancelled)
      end(*job, Errno{ECANCELED});
    else
      run(*job);
  }
}

void Relocations::State::run(Job& job) {
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

void Relocations::State::open_again(Job& job) {
  {
    const std::lock_guard lock(mutex);
    job.closed = false;
  }
  pool.handles.open_changes(job.node);
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

void Relocations::State::tell_progress(Job& job, std::uint64_t at) {
  std::optional<Told> line;
  {
    const std::lock_guard lock(mutex);
    const auto now = steady_clock::now();
    job.told.copied = std::min(at, job.told.bytes);
    job.told.taken = std::chrono::duration_cast<milliseconds>(now - job.begun);
    if (now >= job.tell_at && !job.errand) {
      job.tell_at = now + kTellEvery;
      line = job.told;
    }
  }
  if (line) pool.notice("moving " + text_of(*line));
}

void Relocations::State::end(Job& job, const Result<void>& result) noexcept {
  (result ? moved : refused).fetch_add(1);
  try {
    if (!job.errand) tell_end(job, result);
  } catch (const std::exception&) {
    // Nobody can be told.
  }
  {
    const std::lock_guard lock(mutex);
    if (!result && !job.errand) last_failed[next_failed++ % last_failed.size()] = job.number;
    if (job.errand) keep_result(job.number, result);
    jobs.erase(job.number);
    any.store(!jobs.empty());
  }
  pool.port->resume(job.number);
}

void Relocations::State::keep_result(std::uint64_t number, const Result<void>& result) noexcept {
  try {
    results.push_back({number, result});
    if (results.size() > kMostResults) results.pop_front();
  } catch (const std::exception&) {
    // Who asks is told that it is not known.
  }
}

void Relocations::State::tell_end(const Job& job, const Result<void>& result) {
  Told told;
  {
    const std::lock_guard lock(mutex);
    told = job.told;
  }
  if (result) {
    pool.notice("moved " + told.path + " (" + size_of(told.bytes) + ") from " + told.from +
                ", which has no room for more of it, to " + told.to);
  } else if (!told.to.empty() && !cancelled) {
    pool.complain(told.path + " stays on " + told.from +
                  ", which has no room for more of it: " + why_it_stays(result.error()));
    const std::lock_guard lock(mutex);
    const auto now = steady_clock::now();
    std::erase_if(resting_nodes, [now](const auto& each) { return each.second <= now; });
    resting_nodes[job.node.value] =
        now + std::min<steady_clock::duration>(kMostRest, kRestFactor * (now - job.begun));
  }
}

Relocations::Relocations(Pool& pool) : state_(std::make_shared<State>(pool)) {}

Relocations::~Relocations() {
  while (!stop(std::chrono::hours(1))) {
  }
}

std::uint64_t Relocations::want(NodeId node, std::uint64_t asked) {
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  if (state.stopping) return 0;
  for (const auto& [number, job] : state.jobs) {
    if (job->node != node) continue;
    job->asked = std::max(job->asked, asked);
    return number;
  }
  const auto rests = state.resting_nodes.find(node.value);
  if (rests != state.resting_nodes.end() && steady_clock::now() < rests->second) return 0;
  auto job = std::make_shared<Job>();
  job->node = node;
  job->asked = asked;
  return state.add(state.for_room, std::move(job), state_);
}

std::uint64_t Relocations::carry(NodeId node, const Errand& errand) {
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  if (state.stopping || state.find(node) != nullptr) return 0;
  auto job = std::make_shared<Job>();
  job->node = node;
  job->errand = errand;
  return state.add(state.for_people, std::move(job), state_);
}

/// With the mutex. `self`: for the thread.
std::uint64_t Relocations::State::add(Crew& crew, std::shared_ptr<Job> job,
                                      const std::shared_ptr<State>& self) {
  resting = false;
  job->number = last_number + 1;
  crew.queue.push_back(job);
  try {
    jobs.emplace(job->number, job);
    if (crew.waiting < crew.queue.size() && crew.threads < kMostThreads) {
      std::thread([self, &crew] { self->serve(crew); }).detach();
      ++crew.threads;
    }
  } catch (const std::exception&) {
    // With a thread there already, what is queued waits for that one.
    if (crew.threads == 0 || !jobs.contains(job->number)) {
      jobs.erase(job->number);
      crew.queue.pop_back();
      return 0;
    }
  }
  ++last_number;
  any.store(true);
  crew.work.notify_one();
  return job->number;
}

std::optional<Result<void>> Relocations::came_of(std::uint64_t move) const {
  const std::lock_guard lock(state_->mutex);
  for (const auto& each : state_->results)
    if (each.number == move) return each.result;
  return std::nullopt;
}

void Relocations::give_up(std::uint64_t move) {
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->jobs.find(move);
  if (found != state_->jobs.end()) found->second->given_up = true;
}

std::uint64_t Relocations::of(NodeId node) const {
  if (!state_->any.load()) return 0;
  const std::lock_guard lock(state_->mutex);
  const Job* const job = state_->find(node);
  return job != nullptr ? job->number : 0;
}

bool Relocations::under_way(std::uint64_t move) const {
  const std::lock_guard lock(state_->mutex);
  return state_->jobs.contains(move);
}

bool Relocations::came_to_nothing(std::uint64_t move) const {
  const std::lock_guard lock(state_->mutex);
  const auto& failed = state_->last_failed;
  return std::find(failed.begin(), failed.end(), move) != failed.end();
}

NodeLocks::Shared Relocations::share(NodeId node) {
  return state_->changes.try_share(node);
}

void Relocations::attend(proto::HandleId id) {
  if (!state_->any.load()) return;
  const auto handle = state_->pool.handles.file(id);
  if (!handle) return;
  const std::lock_guard lock(state_->mutex);
  const Job* const job = state_->find(handle->node);
  if (job != nullptr && job->closed) handle->changes.close();
}

std::vector<Relocations::Told> Relocations::told() const {
  const std::lock_guard lock(state_->mutex);
  std::vector<Told> all;
  for (const auto& [number, job] : state_->jobs)
    if (!job->told.path.empty()) all.push_back(job->told);
  return all;
}

std::uint64_t Relocations::moved() const noexcept {
  return state_->moved.load();
}

std::uint64_t Relocations::refused() const noexcept {
  return state_->refused.load();
}

void Relocations::rest() noexcept {
  const std::lock_guard lock(state_->mutex);
  state_->resting = true;
  for (State::Crew* const crew : {&state_->for_room, &state_->for_people}) crew->work.notify_all();
}

bool Relocations::stop(milliseconds patience) noexcept {
  std::unique_lock lock(state_->mutex);
  state_->stopping = true;
  state_->cancelled.store(true);
  for (State::Crew* const crew : {&state_->for_room, &state_->for_people}) crew->work.notify_all();
  return state_->left.wait_for(lock, patience, [this] {
    return state_->for_room.threads + state_->for_people.threads == 0;
  });
}

std::string text_of(const Relocations::Told& move) {
  std::string text = move.path + " from " + move.from + " to " + move.to + ": " +
                     size_of(move.copied) + " of " + size_of(move.bytes);
  const auto ms = static_cast<std::uint64_t>(std::max<std::int64_t>(1, move.taken.count()));
  const std::uint64_t rate = move.copied * 1000 / ms;
  if (rate == 0) return text;
  return text + ", " + size_of(rate) + "/s, " + std::to_string((move.bytes - move.copied) / rate) +
         " s left";
}

}  // namespace bough::ops
