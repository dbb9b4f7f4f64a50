#pragma once

#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "proto/kernel_port.hpp"

namespace bough::session {

struct Connection;
class Device;

/// Writes notifications to the kernel on a thread of its own, since such a write waits for kernel
/// locks that a request may hold while it waits for us. The thread exists from the first
/// notification on. The queue is bounded in number and in bytes.
class Notifier {
 public:
  static constexpr std::size_t kMessages = 4096;
  static constexpr std::size_t kBytes = std::size_t{16} << 20;

  Notifier(std::shared_ptr<Connection> connection, std::shared_ptr<Device> device);
  ~Notifier();
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  /// Any thread; never waits for the kernel. False: the queue is full, or stop() was called.
  [[nodiscard]] bool notify(const proto::Notification& notification);

  /// Any thread. Until the kernel has got what is queued; false: not in time, or stop() was called.
  [[nodiscard]] bool wait_told(std::chrono::milliseconds patience);

  /// What is queued is dropped. Waits for a write that is under way; false if that took longer.
  [[nodiscard]] bool stop(std::chrono::milliseconds patience);

 private:
  struct Message {
    std::vector<std::byte> bytes;
    /// As the trace shows it; empty without one.
    std::string text;
  };

  void run() noexcept;
  void write(const Message& message) noexcept;

  std::shared_ptr<Connection> connection_;
  std::shared_ptr<Device> device_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Message> queue_;
  std::size_t bytes_ = 0;
  bool started_ = false;
  bool writing_ = false;
  bool stopping_ = false;
  bool left_ = false;
  pthread_t thread_{};
};

}  // namespace bough::session
