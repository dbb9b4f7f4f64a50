#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "proto/ids.hpp"
#include "proto/reply.hpp"
#include "proto/result.hpp"
#include "session/trace.hpp"

namespace bough::session {

struct Connection;
class Device;

/// The session's end of an answer that comes later, from any thread (a lock that was waited for).
/// Holds the device that its request came from, so that this is not closed before.
class DeferredReply final : public proto::ReplySink<void> {
 public:
  DeferredReply(std::shared_ptr<Connection> connection, std::shared_ptr<Device> device,
                proto::Unique unique, std::optional<TraceEntry> entry)
      : connection_(std::move(connection)),
        device_(std::move(device)),
        unique_(unique),
        entry_(std::move(entry)) {}

  void answer(proto::Result<void> result, bool abandoned) noexcept override;
  void on_interrupt(std::function<void()> cancel) override;

  /// From the INTERRUPT: runs the cancel function, now or as soon as there is one. At most once.
  void interrupt() noexcept;
  [[nodiscard]] bool interrupted() const noexcept { return interrupted_.load(); }
  /// From a watchdog. False: answered already.
  [[nodiscard]] bool answer_in_place(proto::Errno error) noexcept;
  [[nodiscard]] proto::Unique unique() const noexcept { return unique_; }

 private:
  std::shared_ptr<Connection> connection_;
  std::shared_ptr<Device> device_;
  proto::Unique unique_;
  std::optional<TraceEntry> entry_;
  std::atomic<bool> answered_{false};
  std::atomic<bool> interrupted_{false};
  std::mutex mutex_;
  std::function<void()> cancel_;
};

}  // namespace bough::session
