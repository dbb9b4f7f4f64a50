#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "ops/branch.hpp"

namespace bough::ops {

/// The branches of the pool in list order. Immutable: a request works with the set that it began with.
class BranchSet {
 public:
  explicit BranchSet(std::vector<std::shared_ptr<Branch>> branches)
      : branches_(std::move(branches)) {}

  [[nodiscard]] std::size_t size() const noexcept { return branches_.size(); }
  [[nodiscard]] Branch& operator[](std::size_t index) const { return *branches_[index]; }
  [[nodiscard]] const std::shared_ptr<Branch>& shared(std::size_t index) const {
    return branches_[index];
  }
  /// Null when the branch is no longer in the pool.
  [[nodiscard]] Branch* by_id(BranchId id) const noexcept;
  [[nodiscard]] auto begin() const noexcept { return branches_.begin(); }
  [[nodiscard]] auto end() const noexcept { return branches_.end(); }

 private:
  std::vector<std::shared_ptr<Branch>> branches_;
};

/// Holds the current set; swapped whole.
class Branches {
 public:
  explicit Branches(std::shared_ptr<const BranchSet> first) : current_(std::move(first)) {}
  [[nodiscard]] std::shared_ptr<const BranchSet> snapshot() const {
    const std::lock_guard lock(mutex_);
    return current_;
  }
  void replace(std::shared_ptr<const BranchSet> next) {
    const std::lock_guard lock(mutex_);
    current_.swap(next);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const BranchSet> current_;
};

/// Reads "path[=MODE[,MINFREE]][:path…]" (globs, modes RW, RO, NC). On a mistake `error` names the element
/// and the remedy and nothing is returned.
[[nodiscard]] std::vector<BranchSpec> parse_branches(std::string_view text, std::string& error);

}  // namespace bough::ops
