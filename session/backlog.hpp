#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "proto/filesystem.hpp"
#include "proto/ids.hpp"
#include "session/lanes.hpp"

namespace bough::session {

class Device;

/// Requests that were read while every worker was inside a branch call, or while their lane was
/// full: owned copies of their messages, in the order they came. Bounded in number and in bytes;
/// while it is full nothing more is read from the device, and the kernel keeps the rest. Any
/// thread.
///
/// Besides, those that were put off (proto::PutOff), until they are resumed or interrupted. They
/// do not count for its bounds: their callers wait for what they have begun, so that there are not
/// many, and nothing would be gained by not reading what others ask.
///
/// Who puts something, or has something resumed, and who leaves a lane, calls take() or ready()
/// afterwards: then nothing is left lying that could be served.
class Backlog {
 public:
  static constexpr std::size_t kMessages = 1024;
  static constexpr std::size_t kBytes = std::size_t{64} << 20;

  struct Message {
    std::unique_ptr<std::byte[]> bytes;
    std::size_t size = 0;
    proto::Unique unique;
    /// Where the answer has to go.
    std::shared_ptr<Device> device;
    std::uint32_t lane = 0;
    /// Rises from one put() to the next.
    std::uint64_t order = 0;
    bool interrupted = false;
    /// What it is put off until, or was last.
    proto::PutOff put_off;
  };

  /// `lanes` outlives the backlog.
  explicit Backlog(Lanes& lanes) noexcept : lanes_(lanes) {}

  /// Whether a further message of any size may be put. Costs one atomic read when there is none.
  [[nodiscard]] bool has_room() const noexcept;
  /// Copies the message. Throws std::bad_alloc.
  void put(std::span<const std::byte> message, proto::Unique unique, std::shared_ptr<Device> device,
           std::uint32_t lane);
  /// Copies a message that has left its lane, to be taken again when resume() or interrupt() says
  /// so. Throws std::bad_alloc.
  void put_off(std::span<const std::byte> message, proto::Unique unique,
               std::shared_ptr<Device> device, std::uint32_t lane, const proto::PutOff& how);
  /// What was put off until this is to be taken. Whether there was any.
  bool resume(std::uint64_t until) noexcept;
  /// The oldest one whose lane has room; it has entered the lane then. Costs one atomic read when
  /// there is none.
  [[nodiscard]] std::optional<Message> take() noexcept;
  /// Whether take() would give one. Costs the same.
  [[nodiscard]] bool ready() const noexcept;
  /// Marks a waiting request, and resumes it if it was put off; false if it is not here.
  bool interrupt(proto::Unique target) noexcept;
  /// Whether nothing is to be taken, now or when its lane has room.
  [[nodiscard]] bool empty() const noexcept { return size_.load(std::memory_order_seq_cst) == 0; }
  /// Whether nothing is put off.
  [[nodiscard]] bool none_put_off() const noexcept {
    return put_off_count_.load(std::memory_order_seq_cst) == 0;
  }

 private:
  /// By lane; none of the lists is empty.
  using Queues = std::map<std::uint32_t, std::list<Message>>;
  template <class Iterator>
  [[nodiscard]] Iterator next_locked(Iterator begin, Iterator end) const noexcept;
  [[nodiscard]] static std::list<Message> copy_of(std::span<const std::byte> message,
                                                  proto::Unique unique,
                                                  std::shared_ptr<Device> device,
                                                  std::uint32_t lane);
  void count_locked(const Message& message) noexcept;
  void resume_locked(std::list<Message>& from, std::list<Message>::iterator which) noexcept;
  [[nodiscard]] std::optional<Message> take_resumed_locked() noexcept;
  [[nodiscard]] Message take_locked(std::list<Message>& from,
                                    std::list<Message>::iterator which) noexcept;

  Lanes& lanes_;
  mutable std::mutex mutex_;
  Queues queues_;
  /// By what they wait for; none of the lists is empty.
  std::map<std::uint64_t, std::list<Message>> put_off_;
  /// To be taken before the others, which are younger.
  std::list<Message> resumed_;
  std::atomic<std::size_t> put_off_count_{0};
  std::uint64_t order_ = 0;
  std::size_t bytes_ = 0;
  std::atomic<std::size_t> size_{0};
};

}  // namespace bough::session
