#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "proto/setting.hpp"

namespace bough::session {

/// Of Settings::read_ahead: as far as one message reaches.
inline constexpr std::uint64_t kReadAheadByMessage = std::numeric_limits<std::uint64_t>::max();

/// What a user may choose about one connection. A plain value: read when the session starts, not
/// watched afterwards (debug and log_file go on in Trace). The handshake corrects it to what the
/// kernel agreed to, so that from then on it says what is in force.
struct Settings {
  /// Threads that may be inside a branch call at once; one more serves FORGET and INTERRUPT when
  /// all of them are. 1 to 512.
  std::uint32_t threads = 32;
  /// Requests that the kernel sends without a waiting caller (readahead, writeback, asynchronous
  /// direct I/O) before it throttles. 1 to 65535.
  std::uint32_t max_background = 128;
  /// 0: three quarters of max_background.
  std::uint32_t congestion_threshold = 0;
  /// The largest message, in pages of the system: what a READ or WRITE carries at most. From 1.
  std::uint32_t message_pages;
  /// KiB that the kernel reads ahead in the pool's files, and in those of its branches' disks; 0
  /// leaves all as they are. kReadAheadByMessage: the pool's at least one message, the branches' as
  /// they are.
  std::uint64_t read_ahead = 0;
  /// Readahead sends READs in parallel, as background requests (ASYNC_READ).
  bool async_read = true;
  /// A trace line a request, on stderr or in log_file.
  bool debug = false;
  /// Where debug's lines are appended; empty: stderr.
  std::string log_file;
  /// A trace line a request, appended to this file; empty: none.
  std::string trace;

  /// The file that lines are appended to; empty: none is.
  [[nodiscard]] const std::string& trace_file() const noexcept {
    return trace.empty() && debug ? log_file : trace;
  }

  /// Messages of 1 MiB.
  Settings();
};

/// The rows of the option table that are bound to `settings`, which must outlive them.
[[nodiscard]] std::vector<proto::Setting> settings_table(Settings& settings);

}  // namespace bough::session
