#include "session/deferred.hpp"

#include <array>

#include "proto/encode.hpp"
#include "proto/render.hpp"
#include "session/connection.hpp"
#include "session/device.hpp"

namespace bough::session {

void DeferredReply::answer(proto::Result<void> result, bool abandoned) noexcept {
  std::function<void()> dropped;
  {
    const std::lock_guard lock(mutex_);
    dropped.swap(cancel_);
  }
  Counters& counters = connection_->counters;
  if (abandoned) counters.add(Figure::kAbandonedReplies);
  if (answered_.exchange(true)) {
    counters.add(Figure::kLateAnswers);
    connection_->inflight.undefer(unique_);
    return;
  }
  std::array<std::byte, proto::kReplyHeader> message;
  proto::encode_header(message, unique_, 0, result ? std::nullopt : std::optional(result.error()));
  // Before the write: the kernel may use the number again as soon as it is answered.
  connection_->inflight.undefer(unique_);
  const iovec part{message.data(), message.size()};
  const auto written = device_->write({&part, 1});
  if (!written) counters.add(Figure::kRefusedReplies);
  if (entry_) {
    try {
      std::string text = proto::render_reply(result);
      if (abandoned) text += " (abandoned)";
      if (!written) text += " refused: " + proto::render(written.error());
      entry_->finish(text);
    } catch (const std::exception&) {
      entry_->finish("answered");
    }
  }
}

void DeferredReply::on_interrupt(std::function<void()> cancel) {
  {
    const std::lock_guard lock(mutex_);
    if (answered_.load()) return;
    if (!interrupted_.load()) {
      cancel_ = std::move(cancel);
      return;
    }
  }
  cancel();
}

void DeferredReply::interrupt() noexcept {
  std::function<void()> cancel;
  {
    const std::lock_guard lock(mutex_);
    interrupted_.store(true);
    cancel.swap(cancel_);
  }
  if (cancel) cancel();
}

bool DeferredReply::answer_in_place(proto::Errno error) noexcept {
  if (answered_.exchange(true)) return false;
  static_cast<void>(write_error(*device_, unique_, error));
  return true;
}

}  // namespace bough::session
