#include "cli/live_trace.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "cli/checks.hpp"
#include "ops/resolve.hpp"
#include "proto/bool_text.hpp"

namespace bough::cli {
namespace {

using proto::Errno;

/// One of the two rows: its set() is called by one thread at a time.
class LiveRow {
 public:
  LiveRow(std::shared_ptr<session::Trace> trace, PoolPlaces places)
      : trace_(std::move(trace)), places_(std::move(places)) {}

  std::string set_debug(std::string_view text) {
    const auto on = proto::parse_bool(text);
    if (!on) return refuse(EINVAL, "wants true or false");
    const std::string file = trace_->log_file();
    std::string ignored;
    if (*on && !trace_->debug() && !file.empty())
      if (std::string why = why_not(file, ignored); !why.empty())
        return "cannot write its lines: log.file " + why;
    const auto done = trace_->set_debug(*on);
    if (done) return {};
    if (done.error() == Errno{EBADF})
      return refuse(EINVAL, "has nowhere to write: set log.file to a file outside of the pool");
    return refuse(done.error().value(),
                  "cannot open " + file + ": " + std::strerror(done.error().value()));
  }

  std::string set_log_file(std::string_view text) {
    const std::string file(text);
    std::string opened;
    if (!file.empty())
      if (std::string why = why_not(file, opened); !why.empty()) return why;
    const auto done = trace_->set_log_file(file, opened);
    if (done) return {};
    if (done.error() == Errno{EBADF})
      return refuse(EINVAL, "is where debug writes: a daemon has no standard error");
    return refuse(done.error().value(),
                  "cannot be opened: " + std::string(std::strerror(done.error().value())));
  }

  [[nodiscard]] int refusal() const noexcept { return refusal_; }
  [[nodiscard]] const session::Trace& trace() const noexcept { return *trace_; }

 private:
  std::string refuse(int error, std::string why) {
    refusal_ = error;
    return why;
  }

  /// Empty: the file may be written, and `opened` is its path without symbolic links.
  std::string why_not(const std::string& file, std::string& opened) {
    if (file.front() != '/' || file.back() == '/' || file.find('\0') != std::string::npos)
      return refuse(EINVAL, "wants the absolute path of a file");
    const auto closed = places_.mounted_at();
    auto there = ops::resolve(file, closed);
    if (!there && there.error() == Errno{ENOENT}) there = new_file(file, closed);
    if (!there && there.error() == Errno{EDEADLK})
      return refuse(EDEADLK,
                    "lies in the pool, which would wait for itself: name a file outside of it");
    if (!there)
      return refuse(there.error().value(),
                    "cannot be opened: " + std::string(std::strerror(there.error().value())));
    // A pipe that nobody reads would be waited for.
    struct stat found = {};
    if (::stat(there->c_str(), &found) == 0 && S_ISFIFO(found.st_mode))
      return refuse(EINVAL, "is a pipe: name a file");
    for (const std::string& branch : places_.branches())
      if (std::string why = why_no_branch_with_trace(*there, branch); !why.empty())
        return refuse(EINVAL, "is wrong: " + why);
    opened = *std::move(there);
    return {};
  }

  /// One that is still to be made. A link that leads nowhere yet is none.
  static proto::Result<std::string> new_file(const std::string& file,
                                             const std::vector<std::string>& closed) {
    const auto slash = file.rfind('/');
    auto directory = ops::resolve(slash == 0 ? "/" : file.substr(0, slash), closed);
    if (!directory) return directory;
    std::string path = (*directory == "/" ? "" : *directory) + file.substr(slash);
    struct stat found = {};
    if (::lstat(path.c_str(), &found) == 0) return Errno{ENOENT};
    return path;
  }

  const std::shared_ptr<session::Trace> trace_;
  const PoolPlaces places_;
  int refusal_ = 0;
};

}  // namespace

void make_trace_live(std::vector<proto::Setting>& rows, std::shared_ptr<session::Trace> trace,
                     PoolPlaces places) {
  const auto live = std::make_shared<LiveRow>(std::move(trace), std::move(places));
  for (proto::Setting& row : rows) {
    if (row.name != "debug" && row.name != "log.file") continue;
    row.refusal = [live] { return live->refusal(); };
    if (row.name == "debug") {
      row.set = [live](std::string_view text) { return live->set_debug(text); };
      row.get = [live] { return proto::bool_text(live->trace().debug()); };
    } else {
      row.set = [live](std::string_view text) { return live->set_log_file(text); };
      row.get = [live] { return live->trace().log_file(); };
    }
  }
}

}  // namespace bough::cli
