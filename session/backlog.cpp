#include "session/backlog.hpp"

#include <cstring>

namespace bough::session {

bool Backlog::has_room() const noexcept {
  if (empty()) return true;
  const std::lock_guard lock(mutex_);
  return size_.load(std::memory_order_relaxed) < kMessages && bytes_ < kBytes;
}

void Backlog::put(std::span<const std::byte> message, proto::Unique unique,
                  std::shared_ptr<Device> device, std::uint32_t lane) {
  std::list<Message> one(1);
  Message& copy = one.front();
  copy.bytes = std::make_unique_for_overwrite<std::byte[]>(message.size());
  std::memcpy(copy.bytes.get(), message.data(), message.size());
  copy.size = message.size();
  copy.unique = unique;
  copy.device = std::move(device);
  copy.lane = Lanes::index(lane);
  const std::lock_guard lock(mutex_);
  copy.order = order_++;
  std::list<Message>& queue = queues_[copy.lane];
  queue.splice(queue.end(), one);
  bytes_ += message.size();
  size_.fetch_add(1, std::memory_order_seq_cst);
  // Last: who leaves the lane before it is seen by the look at the lane that follows this call, who
  // leaves it later sees size_.
  lanes_.wait(queue.back().lane);
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

std::optional<Backlog::Message> Backlog::take() noexcept {
  if (empty()) return std::nullopt;
  const std::lock_guard lock(mutex_);
  const auto queue = next_locked(queues_.begin(), queues_.end());
  if (queue == queues_.end()) return std::nullopt;
  lanes_.enter_waiting(queue->first);
  std::optional<Message> oldest(std::move(queue->second.front()));
  queue->second.pop_front();
  if (queue->second.empty()) queues_.erase(queue);
  bytes_ -= oldest->size;
  size_.fetch_sub(1, std::memory_order_seq_cst);
  return oldest;
}

bool Backlog::ready() const noexcept {
  if (empty()) return false;
  const std::lock_guard lock(mutex_);
  return next_locked(queues_.begin(), queues_.end()) != queues_.end();
}

bool Backlog::interrupt(proto::Unique target) noexcept {
  if (empty()) return false;
  const std::lock_guard lock(mutex_);
  for (auto& [lane, queue] : queues_) {
    for (Message& message : queue) {
      if (message.unique.key() != target.key()) continue;
      message.interrupted = true;
      return true;
    }
  }
  return false;
}

}  // namespace bough::session
