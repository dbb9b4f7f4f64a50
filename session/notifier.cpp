#include "session/notifier.hpp"

#include <cerrno>
#include <exception>

#include "proto/encode.hpp"
#include "proto/render.hpp"
#include "session/connection.hpp"
#include "session/device.hpp"
#include "session/thread.hpp"

namespace bough::session {

Notifier::Notifier(std::shared_ptr<Connection> connection, std::shared_ptr<Device> device)
    : connection_(std::move(connection)), device_(std::move(device)) {}

Notifier::~Notifier() = default;

bool Notifier::notify(const proto::Notification& notification) {
  Message message{proto::encode(notification), {}};
  if (connection_->tracing()) message.text = proto::render(notification);
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || queue_.size() >= kMessages || bytes_ + message.bytes.size() > kBytes) {
      connection_->counters.add(Figure::kNotificationsDropped);
      return false;
    }
    if (!started_) {
      const int error = start_thread(
          thread_,
          [](void* self) -> void* {
            static_cast<Notifier*>(self)->run();
            return nullptr;
          },
          this);
      if (error != 0) {
        connection_->counters.add(Figure::kNotificationsDropped);
        return false;
      }
      started_ = true;
    }
    bytes_ += message.bytes.size();
    queue_.push_back(std::move(message));
  }
  changed_.notify_all();
  return true;
}

void Notifier::run() noexcept {
  ::pthread_setname_np(::pthread_self(), "boughfs-notify");
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) break;
    const Message message = std::move(queue_.front());
    queue_.pop_front();
    bytes_ -= message.bytes.size();
    writing_ = true;
    lock.unlock();
    write(message);
    lock.lock();
    writing_ = false;
    if (queue_.empty()) changed_.notify_all();
  }
  left_ = true;
  changed_.notify_all();
}

void Notifier::write(const Message& message) noexcept {
  const auto when = std::chrono::system_clock::now();
  iovec part{};
  part.iov_base = const_cast<std::byte*>(message.bytes.data());
  part.iov_len = message.bytes.size();
  const auto written = device_->write({&part, 1});
  Counters& counters = connection_->counters;
  if (written)
    counters.add(Figure::kNotificationsSent);
  else if (written.error().value() == ENOENT)
    counters.add(Figure::kNotificationsAbsent);
  else
    counters.add(Figure::kNotificationsRefused);
  if (!connection_->tracing() || message.text.empty()) return;
  try {
    connection_->trace->put(
        when, "NOTIFY " + message.text + " -> " + proto::render_reply(written) + '\n');
  } catch (const std::exception&) {
  }
}

bool Notifier::wait_told(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  const bool ended = changed_.wait_for(
      lock, patience, [this] { return stopping_ || (queue_.empty() && !writing_); });
  return ended && !stopping_;
}

bool Notifier::stop(std::chrono::milliseconds patience) {
  {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    queue_.clear();
    bytes_ = 0;
    if (!started_) return true;
    changed_.notify_all();
    if (!changed_.wait_for(lock, patience, [this] { return left_; })) return false;
    started_ = false;
  }
  ::pthread_join(thread_, nullptr);
  return true;
}

}  // namespace bough::session
