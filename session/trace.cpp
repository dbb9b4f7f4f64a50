#include "session/trace.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <system_error>

#include "proto/opcode.hpp"
#include "proto/render.hpp"

namespace bough::session {
namespace {

std::string time_text(std::chrono::system_clock::time_point when) {
  const auto since = when.time_since_epoch();
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(since).count() % 1'000'000;
  const std::time_t seconds = std::chrono::system_clock::to_time_t(when);
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  std::array<char, 64> out{};
  const std::size_t used = std::strftime(out.data(), out.size(), "%Y-%m-%d %H:%M:%S", &parts);
  std::snprintf(out.data() + used, out.size() - used, ".%06d", static_cast<int>(micros));
  return out.data();
}

/// Once the daemon serves, its working directory is another one.
std::string absolute(const std::string& path) {
  std::error_code ignored;
  return path.empty() ? path : std::filesystem::absolute(path, ignored).string();
}

}  // namespace

struct Trace::Target {
  Target(Fd file, std::string of) : fd(std::move(file)), name(std::move(of)) {}

  const Fd fd;
  const std::string name;
  std::atomic<bool> told{false};
};

Trace::Trace(Fd fd, std::string name, Complain complain) : complain_(std::move(complain)) {
  aim(std::make_shared<Target>(std::move(fd), std::move(name)));
}

Trace::Trace(const Settings& settings, bool has_stderr, Complain complain)
    : complain_(std::move(complain)),
      has_stderr_(has_stderr),
      fixed_(settings.trace),
      debug_(settings.debug),
      log_file_(absolute(settings.log_file)) {}

Trace::~Trace() = default;

std::shared_ptr<Trace> Trace::open(const Settings& settings, bool has_stderr, Complain complain) {
  std::shared_ptr<Trace> trace(new Trace(settings, has_stderr, std::move(complain)));
  const std::string& path = settings.trace_file();
  if (path.empty() && !settings.debug) return trace;
  auto target = trace->debug_target(path);
  if (!target)
    throw TraceError(
        (path.empty() ? "no standard error to trace to" : "cannot open the trace file " + path) +
        ": " + std::strerror(target.error().value()));
  trace->aim(*std::move(target));
  return trace;
}

proto::Result<std::shared_ptr<Trace::Target>> Trace::debug_target(const std::string& file) const {
  if (file.empty()) {
    if (!has_stderr_) return proto::Errno{EBADF};
    Fd copy(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
    if (!copy) return proto::Errno{errno};
    return std::make_shared<Target>(std::move(copy), "the trace to standard error");
  }
  Fd opened(::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600));
  if (!opened) return proto::Errno{errno};
  return std::make_shared<Target>(std::move(opened), "the trace file " + file);
}

std::shared_ptr<Trace::Target> Trace::target() const {
  const std::lock_guard lock(mutex_);
  return target_;
}

void Trace::aim(std::shared_ptr<Target> target) {
  const bool on = target != nullptr;
  {
    const std::lock_guard lock(mutex_);
    std::swap(target_, target);
  }
  on_.store(on, std::memory_order_relaxed);
}

bool Trace::debug() const {
  const std::lock_guard lock(mutex_);
  return debug_;
}

std::string Trace::log_file() const {
  const std::lock_guard lock(mutex_);
  return log_file_;
}

std::string Trace::file() const {
  const std::lock_guard lock(mutex_);
  return fixed_.empty() && debug_ ? log_file_ : fixed_;
}

proto::Result<void> Trace::set_debug(bool debug) {
  const bool was = this->debug();
  if (debug != was && fixed_.empty()) {
    std::shared_ptr<Target> next;
    if (debug) {
      auto opened = debug_target(log_file());
      if (!opened) return opened.error();
      next = *std::move(opened);
    }
    aim(std::move(next));
  }
  {
    const std::lock_guard lock(mutex_);
    debug_ = debug;
  }
  if (debug && !was && fixed_.empty()) put(std::chrono::system_clock::now(), agreed_);
  return {};
}

proto::Result<void> Trace::set_log_file(const std::string& path, const std::string& opened) {
  const bool follows = debug() && fixed_.empty();
  if (follows || !opened.empty()) {
    auto next = debug_target(opened);
    if (!next) return next.error();
    if (follows) aim(*std::move(next));
  }
  {
    const std::lock_guard lock(mutex_);
    log_file_ = path;
  }
  if (follows) put(std::chrono::system_clock::now(), agreed_);
  return {};
}

void Trace::put(std::chrono::system_clock::time_point when, std::string_view text) noexcept try {
  const std::shared_ptr<Target> to = target();
  if (!to) return;
  const auto tell_of_loss = [&](int error) {
    if (!to->told.exchange(true))
      complain_(to->name +
                " cannot be written, lines are missing from it: " + std::strerror(error));
  };
  std::string line = time_text(when);
  line += ' ';
  line += text;
  std::string_view left = line;
  while (!left.empty()) {
    const ssize_t written = ::write(to->fd.get(), left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return tell_of_loss(written < 0 ? errno : EIO);
    left.remove_prefix(static_cast<std::size_t>(written));
  }
} catch (const std::exception&) {
  // A line that finds no memory is lost; the request that it tells of is not.
}

void Trace::init(const proto::InitRequest& offer, const std::vector<proto::FeatureRow>& rows,
                 const proto::InitAgreement& agreement) noexcept try {
  agreed_ = "INIT\n" + proto::render_init(offer, rows, agreement);
  put(std::chrono::system_clock::now(), agreed_);
} catch (const std::exception&) {
}

TraceEntry::TraceEntry(Trace& trace, const proto::Filesystem& fs,
                       const proto::RequestHeader& header, const proto::Request& request) noexcept
    : trace_(&trace),
      when_(std::chrono::system_clock::now()),
      began_(std::chrono::steady_clock::now()) {
  try {
    text_ = "unique=" + std::to_string(header.unique.value) + " pid=" + std::to_string(header.pid) +
            ' ' + proto::render(header, request);
    if (header.node != proto::kNoNode) text_ += " path=" + proto::quote(fs.pool_path(header.node));
  } catch (const std::exception&) {
  }
}

TraceEntry::TraceEntry(Trace& trace, const proto::RequestHeader& header) noexcept
    : trace_(&trace),
      when_(std::chrono::system_clock::now()),
      began_(std::chrono::steady_clock::now()) {
  try {
    text_ = "unique=" + std::to_string(header.unique.value) + " pid=" + std::to_string(header.pid) +
            ' ' + std::string(proto::opcode_info(header.opcode).name) +
            " node=" + std::to_string(header.node.value) + " malformed";
  } catch (const std::exception&) {
  }
}

void TraceEntry::finish(std::string_view result) noexcept try {
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - began_);
  text_ += " -> ";
  text_ += result;
  if (!note_.branch.empty()) text_ += " branch=" + proto::quote(note_.branch);
  text_ += ' ' + std::to_string(took.count()) + "us\n";
  trace_->put(when_, text_);
} catch (const std::exception&) {
}

}  // namespace bough::session
