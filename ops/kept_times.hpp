#pragma once

#include <optional>

#include "ops/copy_metadata.hpp"

namespace bough::ops {

/// For a moment in which names come or go in a directory (O_PATH will do) that mean nothing to
/// users: the directory has the times again then that it had before. Borrowed.
class KeptTimes {
 public:
  KeptTimes(Backing& backing, int directory) : backing_(backing), directory_(directory) {
    if (const auto stat = backing.stat(directory)) times_ = times_of(*stat);
  }
  ~KeptTimes() {
    if (times_) (void)backing_.set_times(directory_, *times_);
  }
  KeptTimes(const KeptTimes&) = delete;
  KeptTimes& operator=(const KeptTimes&) = delete;

 private:
  Backing& backing_;
  const int directory_;
  std::optional<TimesChange> times_;
};

}  // namespace bough::ops
