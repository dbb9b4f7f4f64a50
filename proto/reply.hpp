#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "proto/ids.hpp"
#include "proto/result.hpp"

namespace bough::proto {

/// The session's end of a deferred answer. Safe from any thread; owned by shared pointer because a
/// deferred handler may outlive the worker that started it.
template <class Out>
class ReplySink {
 public:
  virtual ~ReplySink() = default;
  /// Called at most once. `abandoned`: nobody answered, the error is EIO and is counted.
  virtual void answer(Result<Out> result, bool abandoned) noexcept = 0;
  /// `cancel` runs once if an INTERRUPT comes (or came already), on the thread that read it. It
  /// must not block; it usually answers EINTR.
  virtual void on_interrupt(std::function<void()> cancel) = 0;
};

/// The duty to answer one request, as a value: answering uses it up, and one that is dropped
/// unanswered sends EIO, so that no caller waits for ever. Move-only, any thread.
template <class Out>
class Reply {
 public:
  explicit Reply(std::shared_ptr<ReplySink<Out>> sink) noexcept : sink_(std::move(sink)) {}
  Reply(Reply&& other) noexcept = default;
  Reply& operator=(Reply&& other) noexcept {
    Reply taken(std::move(other));
    std::swap(sink_, taken.sink_);
    return *this;
  }
  ~Reply() {
    if (sink_) sink_->answer(Errno{EIO}, true);
  }

  void answer(Result<Out> result) noexcept {
    if (auto sink = std::exchange(sink_, nullptr)) sink->answer(std::move(result), false);
  }
  void on_interrupt(std::function<void()> cancel) {
    if (sink_) sink_->on_interrupt(std::move(cancel));
  }

 private:
  std::shared_ptr<ReplySink<Out>> sink_;
};

}  // namespace bough::proto
