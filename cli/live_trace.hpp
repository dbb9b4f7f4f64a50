#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proto/setting.hpp"
#include "session/trace.hpp"

namespace bough::cli {

/// Where a mounted pool is, asked when a log file is named. Any thread.
struct PoolPlaces {
  /// Every path at which it is mounted, free of symbolic links.
  std::function<std::vector<std::string>()> mounted_at;
  /// The directories that it joins.
  std::function<std::vector<std::string>()> branches;
};

/// Binds the rows `debug` and `log.file` among `rows` to the trace of a mounted pool. A log file is
/// an absolute path, not in the pool, which would wait for itself (EDEADLK), nor on a branch
/// (EINVAL); the errno of open(2) where it cannot be opened. A refusal changes nothing.
void make_trace_live(std::vector<proto::Setting>& rows, std::shared_ptr<session::Trace> trace,
                     PoolPlaces places);

}  // namespace bough::cli
