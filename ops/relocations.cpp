#include "ops/relocations.hpp"

#include <algorithm>
#include <exception>
#include <thread>
#include <utility>

#include "ops/relocations_state.hpp"

namespace bough::ops {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// At once: one large file must not hold up all others, and disks do one thing at a time best.
constexpr unsigned kMostThreads = 4;
/// After a move that failed when its copy had begun, the same is not tried again for so many times
/// what it took, at most so long: else each write would have the file copied in vain.
constexpr int kRestFactor = 5;
constexpr std::chrono::seconds kMostRest{30};
/// Between two lines for the log.
constexpr std::chrono::seconds kTellEvery{30};
/// How many results of errands are kept, for requests that waited for them.
constexpr std::size_t kMostResults = 4096;

}  // namespace

void Relocations::State::open_again(Job& job) {
  {
    const std::lock_guard lock(mutex);
    job.closed = false;
  }
  pool.handles.open_changes(job.node);
}

void Relocations::State::tell_progress(Job& job, std::uint64_t at) {
  std::optional<MoveTold> line;
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
    forget(job);
    any.store(!jobs.empty());
  }
  pool.port->resume(job.number);
}

void Relocations::State::keep_result(std::uint64_t number, const Result<void>& result) noexcept {
  try {
    results.emplace(number, result);
    if (results.size() > kMostResults) results.erase(results.begin());
  } catch (const std::exception&) {
    // Who asks is told that it is not known.
  }
}

void Relocations::State::tell_end(const Job& job, const Result<void>& result) {
  MoveTold told;
  {
    const std::lock_guard lock(mutex);
    told = job.told;
  }
  if (result) {
    pool.notice("moved " + told.path + " (" + size_text(told.bytes) + ") from " + told.from +
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
  if (Job* const job = state.find(node)) {
    job->asked = std::max(job->asked, asked);
    return job->number;
  }
  const auto rests = state.resting_nodes.find(node.value);
  if (rests != state.resting_nodes.end() && steady_clock::now() < rests->second) return 0;
  auto job = std::make_shared<Job>();
  job->node = node;
  job->asked = asked;
  return state.add(state.for_room, state.for_room.alone, job);
}

std::uint64_t Relocations::carry(NodeId node, const Errand& errand) {
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  if (state.stopping || state.find(node) != nullptr) return 0;
  auto job = std::make_shared<Job>();
  job->node = node;
  job->errand = errand;
  State::Crew& crew = state.for_people;
  const bool alone = errand.rate != 0 || state.pool.settings.links.cow;
  return state.add(crew, alone ? crew.alone : crew.together, job);
}

/// With the mutex.
std::uint64_t Relocations::State::add(Crew& crew, Jobs& queue, const std::shared_ptr<Job>& job) {
  resting = false;
  job->number = last_number + 1;
  try {
    jobs.emplace(job->number, job);
    by_node.emplace(job->node.value, job.get());
    queue.push_back(job);
  } catch (const std::exception&) {
    forget(*job);
    return 0;
  }
  call_threads(crew);
  if (crew.threads == 0) {
    queue.pop_back();
    forget(*job);
    return 0;
  }
  ++last_number;
  any.store(true);
  return job->number;
}

/// With the mutex: as many as there is something to do for. What is queued waits for those that
/// there are, if no more are to be had.
void Relocations::State::call_threads(Crew& crew) {
  const std::size_t pieces = crew.pieces();
  try {
    for (std::size_t more = crew.waiting; more < pieces && crew.threads < kMostThreads; ++more) {
      std::thread([self = shared_from_this(), &crew] { self->serve(crew); }).detach();
      ++crew.threads;
    }
  } catch (const std::exception&) {
    // See above.
  }
  for (std::size_t i = 0; i < pieces && i < crew.waiting; ++i) crew.work.notify_one();
}

std::optional<Result<void>> Relocations::came_of(std::uint64_t move) const {
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->results.find(move);
  if (found == state_->results.end()) return std::nullopt;
  return found->second;
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

std::vector<MoveTold> Relocations::told() const {
  const std::lock_guard lock(state_->mutex);
  std::vector<MoveTold> all;
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

}  // namespace bough::ops
