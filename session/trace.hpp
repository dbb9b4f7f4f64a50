#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "proto/features.hpp"
#include "proto/filesystem.hpp"
#include "session/fd.hpp"
#include "session/settings.hpp"

namespace bough::session {

/// The trace file could not be opened: one line.
class TraceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Where trace lines go. Exists only while tracing is on: whoever may trace holds a pointer and
/// tests it. Any thread; each line leaves by one write(2), so that lines of several workers do not
/// mix.
class Trace {
 public:
  /// Takes one line. Called by any thread, once.
  using Complain = std::function<void(const std::string&)>;

  /// What `settings` ask for: null for nothing, else the trace file opened for appending, or
  /// stderr. To be called before mounting, since the path must not lead into the pool. The first
  /// line that cannot be written (a full disk) is told to `complain`; later ones may be written
  /// again. Throws TraceError.
  [[nodiscard]] static std::unique_ptr<Trace> open(const Settings& settings, Complain complain);

  Trace(Fd fd, std::string name, Complain complain) noexcept
      : fd_(std::move(fd)), name_(std::move(name)), complain_(std::move(complain)) {}

  /// `text` is one line or several, each with its end; the time is put in front of the first.
  void put(std::chrono::system_clock::time_point when, std::string_view text) noexcept;

  /// INIT as a table.
  void init(const proto::InitRequest& offer, const std::vector<proto::FeatureRow>& rows,
            const proto::InitAgreement& agreement) noexcept;

 private:
  void tell_of_loss(int error);

  Fd fd_;
  const std::string name_;
  const Complain complain_;
  std::atomic<bool> told_{false};
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
