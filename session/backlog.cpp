#include "session/backlog.hpp"

#include <algorithm>
#include <cstring>

namespace bough::session {

bool Backlog::has_room() const noexcept {
  if (empty()) return true;
  const std::lock_guard lock(mutex_);
  return size_.load(std::memory_order_relaxed) < kMessages && bytes_ < kBytes;
}

std::list<Backlog::Message> Backlog::copy_of(std::span<const std::byte> message,
                                             proto::Unique unique, std::shared_ptr<Device> device,
                                             std::uint32_t lane) {
  std::list<Message> one(1);
  Message& copy = one.front();
  copy.bytes = std::make_unique_for_overwrite<std::byte[]>(message.size());
  std::memcpy(copy.bytes.get(), message.data(), message.size());
  copy.size = message.size();
  copy.unique = unique;
  copy.device = std::move(device);
  copy.lane = Lanes::index(lane);
  return one;
}

void Backlog::put(std::span<const std::byte> message, proto::Unique unique,
                  std::shared_ptr<Device> device, std::uint32_t lane) {
  std::list<Message> one = copy_of(message, unique, std::move(device), lane);
  const std::lock_guard lock(mutex_);
  one.front().order = order_++;
  std::list<Message>& queue = queues_[one.front().lane];
  queue.splice(queue.end(), one);
  count_locked(queue.back());
}

void Backlog::count_locked(const Message& message) noexcept {
  bytes_ += message.size;
  size_.fetch_add(1, std::memory_order_seq_cst);
  // Last: who leaves the lane before it is seen by the look at the lane that follows this call, who
  // leaves it later sees size_.
  lanes_.wait(message.lane);
}

void Backlog::put_off(std::span<const std::byte> message, proto::Unique unique,
                      std::shared_ptr<Device> device, std::uint32_t lane,
                      const proto::PutOff& how) {
  std::list<Message> one = copy_of(message, unique, std::move(device), lane);
  one.front().put_off = how;
  const std::lock_guard lock(mutex_);
  std::list<Message>& waiting = put_off_[how.until];
  waiting.splice(waiting.end(), one);
  put_off_count_.fetch_add(1, std::memory_order_seq_cst);
}

void Backlog::resume_locked(std::list<Message>& from, std::list<Message>::iterator which) noexcept {
  resumed_.splice(resumed_.end(), from, which);
  put_off_count_.fetch_sub(1, std::memory_order_seq_cst);
  count_locked(resumed_.back());
}

bool Backlog::resume(std::uint64_t until) noexcept {
  if (none_put_off()) return false;
  const std::lock_guard lock(mutex_);
  const auto waiting = put_off_.find(until);
  if (waiting == put_off_.end()) return false;
  while (!waiting->second.empty()) resume_locked(waiting->second, waiting->second.begin());
  put_off_.erase(waiting);
  return true;
}

/// The queue whose head is the oldest among those that may enter.
template <class Iterator>
Iterator Backlog::next_locked(Iterator begin, Iterator end) const noexcept {
  Iterator oldest = end;
  for (Iterator queue = begin; queue != end; ++queue) {
    if (!lanes_.has_room(queue->first)) continue;
    if (oldest == end || queue->second.front().order < oldest->second.front().order) oldest = queue;
  }
  return oldest;
}

Backlog::Message Backlog::take_locked(std::list<Message>& from,
                                      std::list<Message>::iterator which) noexcept {
  lanes_.enter_waiting(which->lane);
  Message taken = std::move(*which);
  from.erase(which);
  bytes_ -= taken.size;
  size_.fetch_sub(1, std::memory_order_seq_cst);
  return taken;
}

std::optional<Backlog::Message> Backlog::take_resumed_locked() noexcept {
  const auto which = std::find_if(resumed_.begin(), resumed_.end(), [this](const Message& each) {
    return lanes_.has_room(each.lane);
  });
  if (which == resumed_.end()) return std::nullopt;
  return take_locked(resumed_, which);
}

std::optional<Backlog::Message> Backlog::take() noexcept {
  if (empty()) return std::nullopt;
  const std::lock_guard lock(mutex_);
  if (auto resumed = take_resumed_locked()) return resumed;
  const auto queue = next_locked(queues_.begin(), queues_.end());
  if (queue == queues_.end()) return std::nullopt;
  std::optional<Message> oldest(take_locked(queue->second, queue->second.begin()));
  if (queue->second.empty()) queues_.erase(queue);
  return oldest;
}

bool Backlog::ready() const noexcept {
  if (empty()) return false;
  const std::lock_guard lock(mutex_);
  return next_locked(queues_.begin(), queues_.end()) != queues_.end() ||
         std::any_of(resumed_.begin(), resumed_.end(),
                     [this](const Message& each) { return lanes_.has_room(each.lane); });
}

bool Backlog::interrupt(proto::Unique target) noexcept {
  if (empty() && none_put_off()) return false;
  const std::lock_guard lock(mutex_);
  const auto is_it = [target](const Message& each) { return each.unique.key() == target.key(); };
  for (auto& [lane, queue] : queues_) {
    const auto found = std::find_if(queue.begin(), queue.end(), is_it);
    if (found == queue.end()) continue;
    found->interrupted = true;
    return true;
  }
  const auto resumed = std::find_if(resumed_.begin(), resumed_.end(), is_it);
  if (resumed != resumed_.end()) {
    resumed->interrupted = true;
    return true;
  }
  for (auto waiting = put_off_.begin(); waiting != put_off_.end(); ++waiting) {
    auto& [until, list] = *waiting;
    const auto found = std::find_if(list.begin(), list.end(), is_it);
    if (found == list.end()) continue;
    found->interrupted = true;
    resume_locked(list, found);
    if (list.empty()) put_off_.erase(waiting);
    return true;
  }
  return false;
}

}  // namespace bough::session
