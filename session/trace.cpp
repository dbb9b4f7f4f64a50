#include "session/trace.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>

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

}  // namespace

std::unique_ptr<Trace> Trace::open(const Settings& settings, Complain complain) {
  if (const std::string& path = settings.trace_file(); !path.empty()) {
    Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600));
    if (!file) throw TraceError("cannot open the trace file " + path + ": " + std::strerror(errno));
    return std::make_unique<Trace>(std::move(file), "the trace file " + path, std::move(complain));
  }
  if (!settings.debug) return nullptr;
  Fd copy(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
  if (!copy)
    throw TraceError(std::string("no standard error to trace to: ") + std::strerror(errno));
  return std::make_unique<Trace>(std::move(copy), "the trace to standard error",
                                 std::move(complain));
}

void Trace::tell_of_loss(int error) {
  if (told_.exchange(true)) return;
  complain_(name_ + " cannot be written, lines are missing from it: " + std::strerror(error));
}

void Trace::put(std::chrono::system_clock::time_point when, std::string_view text) noexcept try {
  std::string line = time_text(when);
  line += ' ';
  line += text;
  std::string_view left = line;
  while (!left.empty()) {
    const ssize_t written = ::write(fd_.get(), left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return tell_of_loss(written < 0 ? errno : EIO);
    left.remove_prefix(static_cast<std::size_t>(written));
  }
} catch (const std::exception&) {
  // A line that finds no memory is lost; the request that it tells of is not.
}

void Trace::init(const proto::InitRequest& offer, const std::vector<proto::FeatureRow>& rows,
                 const proto::InitAgreement& agreement) noexcept try {
  put(std::chrono::system_clock::now(), "INIT\n" + proto::render_init(offer, rows, agreement));
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
