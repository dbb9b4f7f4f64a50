#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "ops/backing.hpp"

namespace bough::ops {

/// What moves have left on branches that could not be changed, so that it is still there: for users
/// it is not (ops/move_record.hpp). Any thread. Asking costs one atomic read while there is none.
class Unsettled {
 public:
  /// Whether this is the copy of a file that is no longer the file.
  [[nodiscard]] bool hides(std::uint64_t device, std::uint64_t ino) const {
    if (!any_.load(std::memory_order_acquire)) return false;
    const std::lock_guard lock(mutex_);
    for (const FileId& each : hidden_)
      if (each.device == device && each.ino == ino) return true;
    return false;
  }
  void hide(const FileId& file) {
    const std::lock_guard lock(mutex_);
    std::erase(hidden_, file);
    hidden_.push_back(file);
    any_.store(true, std::memory_order_release);
  }
  void show(const FileId& file) {
    const std::lock_guard lock(mutex_);
    std::erase(hidden_, file);
    any_.store(!hidden_.empty(), std::memory_order_release);
  }
  /// Whether this was not yet asked of that record.
  [[nodiscard]] bool first_time(const std::string& record) {
    const std::lock_guard lock(mutex_);
    return told_.insert(record).second;
  }

  /// Held while records are settled, across branch calls: nobody waits for it who serves a request
  /// other than a change of the branches.
  std::mutex settling;

 private:
  mutable std::mutex mutex_;
  std::atomic<bool> any_{false};
  std::vector<FileId> hidden_;
  std::set<std::string> told_;
};

}  // namespace bough::ops
