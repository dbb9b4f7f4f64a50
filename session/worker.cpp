#include "session/worker.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

#include "proto/filesystem.hpp"
#include "proto/kernel_abi.hpp"
#include "session/connection.hpp"
#include "session/device.hpp"
#include "session/thread.hpp"

namespace bough::session {
namespace {

namespace asio = boost::asio;

/// How long a worker that spins looks for a message (about 0.5 µs each time) before it sleeps after
/// all.
constexpr std::chrono::microseconds kSpin{50};
/// Failed reads with no message between them, after which the device is given up.
constexpr unsigned kFailuresInRow = 100;
/// Before a descriptor that could not be watched is tried again.
constexpr std::chrono::milliseconds kRetryWatch{10};

}  // namespace

/// The readiness of one descriptor, waited for by one thread.
struct Worker::Reactor {
  explicit Reactor(int device) : io(1), guard(io.get_executor()), descriptor(io), fd(device) {}
  // The descriptor is the device's to close.
  ~Reactor() { descriptor.release(); }

  /// Until a message may be there or somebody nudges.
  void wait_readable() {
    if (!watch()) {
      std::this_thread::sleep_for(kRetryWatch);
      return;
    }
    if (!waiting) {
      waiting = true;
      descriptor.async_wait(asio::posix::descriptor_base::wait_read,
                            [this](const boost::system::error_code&) { waiting = false; });
    }
    io.run_one();
  }
  /// Until somebody nudges: messages wake other workers only. The descriptor is taken out of the
  /// set that epoll_wait(2) waits for, since whatever is in it wakes the thread, wanted or not.
  void wait_nudged() {
    if (descriptor.is_open()) descriptor.release();
    if (!waiting) {
      io.run_one();
      return;
    }
    while (waiting) io.run_one();
  }

  /// False: the kernel has no memory for it now.
  bool watch() {
    boost::system::error_code error;
    if (!descriptor.is_open()) descriptor.assign(fd, error);
    return !error;
  }

  asio::io_context io;
  asio::executor_work_guard<asio::io_context::executor_type> guard;
  asio::posix::stream_descriptor descriptor;
  const int fd;
  bool waiting = false;
};

Worker::Worker(std::shared_ptr<Connection> connection, CrewState& crew, std::size_t slot, Role role)
    : connection_(std::move(connection)),
      crew_(crew),
      role_(role),
      buffers_(connection_->agreement.max_payload()),
      dispatcher_(connection_, connection_->inflight.slot(slot), counters_, buffers_),
      tuner_(crew.may_spin) {}

Worker::~Worker() = default;

void Worker::start(std::shared_ptr<Device> device) {
  auto reactor = std::make_unique<Reactor>(device->fd());
  device_ = std::move(device);
  {
    const std::lock_guard hold(reach_);
    reactor_ = std::move(reactor);
  }
  trim_.store(false);
  leave_.store(false);
  left_.store(false);
  armed_.store(true, std::memory_order_release);
  crew_.running.fetch_add(1);
  const int error = start_thread(
      thread_,
      [](void* self) -> void* {
        static_cast<Worker*>(self)->run();
        return nullptr;
      },
      this);
  if (error != 0) {
    crew_.running.fetch_sub(1);
    rest();
    throw std::system_error(error, std::generic_category(), "worker thread");
  }
  started_ = true;
}

void Worker::rest() noexcept {
  armed_.store(false, std::memory_order_release);
  buffers_.trim();
  const std::lock_guard hold(reach_);
  reactor_.reset();
  device_.reset();
}

void Worker::nudge() noexcept {
  const std::lock_guard hold(reach_);
  if (reactor_) asio::post(reactor_->io, [] {});
}

void Worker::arm() noexcept {
  armed_.store(true, std::memory_order_release);
  nudge();
}

void Worker::park() noexcept {
  armed_.store(false, std::memory_order_release);
  nudge();
}

void Worker::trim() noexcept {
  trim_.store(true, std::memory_order_release);
  nudge();
}

void Worker::leave() noexcept {
  leave_.store(true, std::memory_order_release);
  nudge();
}

void Worker::join() noexcept {
  if (started_) ::pthread_join(thread_, nullptr);
  started_ = false;
}

void Worker::run() noexcept {
  ::pthread_setname_np(::pthread_self(),
                       role_ == Role::kControl ? "boughfs-control" : "boughfs-worker");
  thread_id_.store(static_cast<pid_t>(::syscall(SYS_gettid)));
  connection_->fs.thread_started();
  while (!leave_.load(std::memory_order_acquire)) {
    if (armed()) drain();
    if (leave_.load(std::memory_order_acquire) || crew_.ended.load() != 0) break;
    if (trim_.exchange(false, std::memory_order_acq_rel)) buffers_.trim();
    counters_.add(Figure::kWaits);
    const bool full = !connection_->backlog.has_room();
    held_.store(full, std::memory_order_release);
    if (armed() && !full) {
      reactor_->wait_readable();
    } else {
      buffers_.trim();
      reactor_->wait_nudged();
    }
  }
  held_.store(false, std::memory_order_release);
  left_.store(true, std::memory_order_release);
  crew_.running.fetch_sub(1);
  crew_.bell.ring();
}

bool Worker::blocked() const noexcept {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "/proc/self/task/%d/stat", thread_id_.load());
  const Fd file(::open(text.data(), O_RDONLY | O_CLOEXEC));
  if (!file) return errno == EMFILE || errno == ENFILE;
  const ssize_t got = ::read(file.get(), text.data(), text.size() - 1);
  if (got <= 0) return false;
  // "ID (NAME) STATE …", and our names hold no parenthesis.
  text[static_cast<std::size_t>(got)] = '\0';
  const char* close = std::strrchr(text.data(), ')');
  return close != nullptr && close[1] == ' ' && close[2] != 'R' && close[2] != '\0';
}

void Worker::begin() noexcept {
  // Against the supervisor, which sets supervisor_sleeps and then looks at every activity: one of
  // both sees the other.
  activity_.store(activity_.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
  if (crew_.supervisor_sleeps.load(std::memory_order_seq_cst) &&
      crew_.supervisor_sleeps.exchange(false))
    crew_.bell.ring();
}

void Worker::end() noexcept {
  activity_.store(activity_.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
}

void Worker::drain() {
  bool served = false;
  unsigned looks = 0;
  while (armed() && !leave_.load(std::memory_order_acquire) && crew_.ended.load() == 0) {
    if (role_ == Role::kServing && serve_waiting()) {
      served = true;
      continue;
    }
    if (!connection_->backlog.has_room()) break;
    const auto got = device_->read(buffers_.receive());
    if (got) {
      const bool company = is_company();
      if (waiting_since_)
        end_wait(looks == 0);
      else if (served && company)
        immediate_.fetch_add(1, std::memory_order_relaxed);
      failures_ = 0;
      serve(*got);
      served = true;
      looks = 0;
      continue;
    }
    if (got.error().value() != EAGAIN) {
      read_failed(got.error().value());
      continue;
    }
    if (!served || !look_again(++looks)) break;
  }
  stop_spinning();
  // Parked after it left a lane, or after it filled one's queue: somebody else has to look.
  if (!armed() && connection_->backlog.ready()) crew_.queued();
}

bool Worker::serve_waiting() {
  auto waiting = connection_->backlog.take();
  if (!waiting) return false;
  begin();
  // This one may block for long: what else could be served is for others.
  if (connection_->backlog.ready()) crew_.queued();
  dispatcher_.serve(std::move(*waiting));
  end();
  return true;
}

void Worker::serve(std::size_t size) {
  begin();
  const bool control = role_ == Role::kControl;
  const bool queued =
      dispatcher_.serve(buffers_.receive().first(size), device_,
                        control ? Dispatcher::Blocking::kQueue : Dispatcher::Blocking::kServe);
  if (queued && control) crew_.queued();
  end();
}

/// Whether this message would have been served sooner by another worker: not one of the thread that
/// was just answered, which may ask again before we look, nor one that nobody waits for. (Reading
/// ahead and writing back, a thread has many requests. Threads outside of the mount's pid namespace
/// are all 0.)
bool Worker::is_company() noexcept {
  using proto::abi::Opcode;
  proto::abi::InHeader header;
  std::memcpy(&header, buffers_.receive().data(), sizeof header);
  switch (static_cast<Opcode>(header.opcode)) {
    case Opcode::kForget:
    case Opcode::kBatchForget:
    case Opcode::kInterrupt:
    case Opcode::kRelease:
    case Opcode::kReleasedir:
      return false;
    case Opcode::kRead:
    case Opcode::kWrite:
      return true;
    default:
      return std::exchange(last_client_, header.pid) != header.pid || header.pid == 0;
  }
}

bool Worker::look_again(unsigned looks) noexcept {
  if (looks == 1) waiting_since_ = WaitTuner::Clock::now();
  switch (tuner_.way()) {
    case Wait::kSleep:
      return false;
    case Wait::kYield:
      if (looks > 1) return false;
      break;
    case Wait::kSpin:
      if (!spinning_) {
        if (looks > 1 || crew_.spinner.exchange(true, std::memory_order_relaxed)) return false;
        spinning_ = true;
        counters_.add(Figure::kSpins);
      } else if (WaitTuner::Clock::now() - *waiting_since_ >= kSpin) {
        return false;
      }
      break;
  }
  ::sched_yield();
  return true;
}

void Worker::end_wait(bool slept) noexcept {
  tuner_.waited(WaitTuner::Clock::now() - *waiting_since_, slept);
  waiting_since_.reset();
  if (spinning_) counters_.add(Figure::kSpinHits);
  stop_spinning();
}

void Worker::stop_spinning() noexcept {
  if (!spinning_) return;
  spinning_ = false;
  crew_.spinner.store(false, std::memory_order_relaxed);
}

void Worker::read_failed(int error) noexcept {
  const bool over = error == ENODEV || error == ECONNABORTED;
  if (!over) counters_.add(Figure::kDeviceErrors);
  // EFAULT and the like concern one request, whose caller got EIO from the kernel.
  const bool hopeless =
      error == EPERM || error == EINVAL || error == EBADF || ++failures_ >= kFailuresInRow;
  if (!over) std::fprintf(stderr, "boughfs: reading the FUSE device: %s\n", std::strerror(error));
  if (!over && !hopeless) return;
  int living = 0;
  crew_.ended.compare_exchange_strong(living, error);
  crew_.bell.ring();
}

}  // namespace bough::session
