#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "proto/features.hpp"
#include "proto/filesystem.hpp"
#include "proto/result.hpp"
#include "session/fd.hpp"
#include "session/settings.hpp"

namespace bough::session {

/// The trace file could not be opened: one line.
class TraceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Where trace lines go, and whether there are any: the options trace, debug and log.file. Any
/// thread; each line leaves by one write(2), so that lines of several workers do not mix.
class Trace {
 public:
  /// Takes one line. Called by any thread, once for each place that cannot be written.
  using Complain = std::function<void(const std::string&)>;

  /// What `settings` ask for: a file opened for appending, stderr, or nothing yet. To be called
  /// before mounting, since the path must not lead into the pool. `has_stderr`: the process keeps
  /// it. The first line that cannot be written (a full disk) is told to `complain`; later ones may
  /// be written again. Throws TraceError.
  [[nodiscard]] static std::shared_ptr<Trace> open(const Settings& settings, bool has_stderr,
                                                   Complain complain);

  /// On for ever.
  Trace(Fd fd, std::string name, Complain complain);
  ~Trace();

  /// Whether lines are wanted.
  [[nodiscard]] bool on() const noexcept { return on_.load(std::memory_order_relaxed); }
  /// `text` is one line or several, each with its end; the time is put in front of the first.
  /// Nothing where none are wanted any more.
  void put(std::chrono::system_clock::time_point when, std::string_view text) noexcept;

  /// INIT as a table, here and at the head of what begins later.
  void init(const proto::InitRequest& offer, const std::vector<proto::FeatureRow>& rows,
            const proto::InitAgreement& agreement) noexcept;

  // --- the options of a mounted pool; a refusal is an errno, and changes nothing
  [[nodiscard]] bool debug() const;
  [[nodiscard]] std::string log_file() const;
  /// The file that lines go to; empty: there is none.
  [[nodiscard]] std::string file() const;
  /// With the option trace all lines go there, whatever debug says. EBADF: there is neither a log
  /// file nor a stderr to write to. The log file is opened for it.
  [[nodiscard]] proto::Result<void> set_debug(bool debug);
  /// `opened` is the same file by a path that leads through no symbolic link; it is opened, though
  /// without debug nothing is written to it, before the old one is let go of. Both empty: stderr.
  [[nodiscard]] proto::Result<void> set_log_file(const std::string& path,
                                                 const std::string& opened);

 private:
  struct Target;
  Trace(const Settings& settings, bool has_stderr, Complain complain);

  [[nodiscard]] std::shared_ptr<Target> target() const;
  void aim(std::shared_ptr<Target> target);
  [[nodiscard]] proto::Result<std::shared_ptr<Target>> debug_target(const std::string& file) const;

  const Complain complain_;
  const bool has_stderr_ = false;
  /// The option trace.
  const std::string fixed_;
  std::atomic<bool> on_{false};
  mutable std::mutex mutex_;
  std::shared_ptr<Target> target_;
  bool debug_ = false;
  std::string log_file_;
  std::string agreed_;
};

/// The line of one request in the making: begun before the handler, since the request may end what
/// it names, and written when its answer is known. One thread at a time.
class TraceEntry {
 public:
  TraceEntry(Trace& trace, const proto::Filesystem& fs, const proto::RequestHeader& header,
             const proto::Request& request) noexcept;
  /// A message that could not be decoded; its opcode is all that is told.
  TraceEntry(Trace& trace, const proto::RequestHeader& header) noexcept;

  /// What the handler adds.
  [[nodiscard]] proto::TraceNote& note() noexcept { return note_; }
  /// Writes the line: what was answered, or what became of the answer.
  void finish(std::string_view result) noexcept;

 private:
  Trace* trace_;
  std::chrono::system_clock::time_point when_;
  std::chrono::steady_clock::time_point began_;
  std::string text_;
  proto::TraceNote note_;
};

}  // namespace bough::session
