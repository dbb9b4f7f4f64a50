#include "session/session.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <exception>
#include <vector>

#include "proto/filesystem.hpp"
#include "proto/opcode.hpp"
#include "session/connection.hpp"
#include "session/crew.hpp"
#include "session/notifier.hpp"
#include "session/thread.hpp"

namespace bough::session {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// For dirty pages to reach the branches, and for handlers that are still inside one, when the end
/// comes.
constexpr milliseconds kPatience{30000};
/// After the mount was detached with somebody still inside, time for requests that they had begun.
constexpr milliseconds kGrace{200};
/// For what a file system began by itself, which nobody waits for.
constexpr milliseconds kFilesystemPatience{2000};
/// How often the progress of an end is looked at.
constexpr milliseconds kNap{20};

StopReason reason_of(int error) noexcept {
  switch (error) {
    case ENODEV:
      return StopReason::kUnmounted;
    case ECONNABORTED:
      return StopReason::kAborted;
    default:
      return StopReason::kDeviceError;
  }
}

/// Calls the unmount hook on a thread of its own.
class Unmounter {
 public:
  explicit Unmounter(const std::function<void()>& hook, Crew& crew) : hook_(hook), crew_(crew) {}

  void start() {
    if (!hook_) return finished();
    const int error = start_thread(
        thread_,
        [](void* self) -> void* {
          auto* unmounter = static_cast<Unmounter*>(self);
          unmounter->hook_();
          unmounter->finished();
          return nullptr;
        },
        this);
    if (error != 0) return finished();
    started_ = true;
  }
  [[nodiscard]] bool done() const noexcept { return done_.load(); }
  void join() {
    if (started_) ::pthread_join(thread_, nullptr);
    started_ = false;
  }

 private:
  void finished() noexcept {
    done_.store(true);
    crew_.wake();
  }

  const std::function<void()>& hook_;
  Crew& crew_;
  pthread_t thread_{};
  bool started_ = false;
  std::atomic<bool> done_{false};
};

}  // namespace

const char* to_string(StopReason reason) noexcept {
  switch (reason) {
    case StopReason::kUnmounted:
      return "unmounted";
    case StopReason::kAborted:
      return "aborted";
    case StopReason::kStopRequested:
      return "stop requested";
    case StopReason::kDeviceError:
      return "device error";
  }
  return "unknown";
}

struct Session::Parts {
  Parts(SessionStart start, proto::Filesystem& fs, const Settings& settings,
        std::shared_ptr<Trace> trace)
      : device(std::move(start.device)),
        resumed(start.resumed),
        connection(
            std::make_shared<Connection>(fs, start.agreement, std::move(trace), settings.threads)),
        crew(connection, device, settings.threads),
        notifier(connection, device) {}

  StopReason serve(const SessionHooks& hooks);

  const std::shared_ptr<Device> device;
  const bool resumed;
  const std::shared_ptr<Connection> connection;
  Crew crew;
  Notifier notifier;
  std::atomic<bool> stop_requested{false};
  bool stuck = false;
};

StopReason Session::Parts::serve(const SessionHooks& hooks) {
  crew.start();
  if (hooks.ready) hooks.ready();
  crew.supervise([this] { return stop_requested.load(); });

  const auto deadline = steady_clock::now() + kPatience;
  const auto left = [deadline] {
    return std::max(milliseconds(0),
                    std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now()));
  };
  const bool requested = crew.ended() == 0;
  Unmounter unmounter(hooks.unmount, crew);
  if (requested) {
    unmounter.start();
    steady_clock::time_point detached{};
    crew.supervise(
        [&] {
          const auto now = steady_clock::now();
          if (now >= deadline) return true;
          if (!unmounter.done()) return false;
          if (detached == steady_clock::time_point{}) detached = now;
          return connection->backlog.empty() && connection->backlog.none_put_off() &&
                 (!hooks.unmount || now - detached >= kGrace);
        },
        kNap);
    while (!unmounter.done() && left() > milliseconds(0)) crew.sleep(left());
    stuck = !unmounter.done();
  }
  if (!crew.finish(left()) || !notifier.stop(left())) stuck = true;
  if (!stuck) unmounter.join();
  return requested ? StopReason::kStopRequested : reason_of(crew.ended());
}

Session::Session(SessionStart start, proto::Filesystem& fs, const Settings& settings,
                 std::shared_ptr<Trace> trace)
    : parts_(std::make_unique<Parts>(std::move(start), fs, settings, std::move(trace))) {}

Session::~Session() = default;

StopReason Session::run(const SessionHooks& hooks) {
  Parts& parts = *parts_;
  proto::Filesystem& fs = parts.connection->fs;
  fs.start(parts.connection->agreement, *this);
  if (parts.resumed) static_cast<void>(notify(proto::NotifyResend{}));
  const StopReason reason = parts.serve(hooks);
  if (!parts.stuck) parts.stuck = !fs.stop(kFilesystemPatience);
  return reason;
}

void Session::stop() noexcept {
  parts_->stop_requested.store(true);
  parts_->crew.wake();
}

bool Session::stuck() const noexcept {
  return parts_->stuck;
}

bool Session::answer_for(proto::Unique unique, proto::Errno error) noexcept {
  if (!parts_->connection->inflight.answer_for(unique, error)) return false;
  parts_->connection->counters.add(Figure::kAnsweredFor);
  return true;
}

std::string Session::report() const {
  const Parts& parts = *parts_;
  std::array<std::uint64_t, static_cast<std::size_t>(Figure::kCount)> figures{};
  std::array<std::uint64_t, Counters::kOpcodes> requests{};
  const auto add = [&](const Counters& counters) {
    for (std::size_t i = 0; i < figures.size(); ++i)
      figures[i] += counters.value(static_cast<Figure>(i));
    for (std::size_t i = 0; i < requests.size(); ++i) requests[i] += counters.requests(i);
  };
  add(parts.connection->counters);
  parts.crew.each_counters(add);

  std::string text;
  const auto line = [&text](std::string_view name, std::uint64_t value) {
    text += name;
    text += ' ';
    text += std::to_string(value);
    text += '\n';
  };
  for (std::size_t i = 0; i < requests.size(); ++i) {
    if (requests[i] == 0) continue;
    std::string name = "requests_";
    for (const char c : proto::opcode_info(static_cast<std::uint32_t>(i)).name)
      name += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    line(name, requests[i]);
  }
  for (std::size_t i = 0; i < figures.size(); ++i)
    line(figure_name(static_cast<Figure>(i)), figures[i]);
  line("workers_started", parts.crew.started());
  line("workers_armed", parts.crew.armed());
  line("workers_armed_peak", parts.crew.peak());
  line("devices_cloned", parts.crew.cloned());
  std::vector<proto::Counter> counted;
  parts.connection->fs.count(counted);
  for (const proto::Counter& counter : counted) line(counter.name, counter.value);
  return text;
}

proto::Result<std::int32_t> Session::open_backing(int fd) {
  if (!parts_->connection->agreement.features.has(proto::Feature::kPassthrough))
    return proto::Errno{EPERM};
  return parts_->device->open_backing(fd);
}

void Session::close_backing(std::int32_t id) noexcept {
  // Fails only for an id that is not open, or on a connection that is gone with all its ids.
  static_cast<void>(parts_->device->close_backing(id));
}

bool Session::notify(proto::Notification notification) {
  return parts_->notifier.notify(notification);
}

bool Session::wait_told(std::chrono::milliseconds patience) {
  return parts_->notifier.wait_told(patience);
}

void Session::resume(std::uint64_t until) noexcept {
  if (parts_->connection->backlog.resume(until)) parts_->crew.look_into_backlog();
}

bool Session::interrupted(proto::Unique unique) const noexcept {
  return parts_->connection->inflight.interrupted(unique);
}

}  // namespace bough::session
