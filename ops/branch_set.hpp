#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "ops/branch.hpp"

namespace bough::ops {

/// A branch and what may be done on it.
struct Member {
  std::shared_ptr<Branch> branch;
  BranchMode mode = BranchMode::kReadWrite;
  /// Bytes; absent: the pool's minfreespace.
  std::optional<std::uint64_t> min_free;
};

/// The branches of the pool in list order. Immutable, but for a branch that turns out to be
/// read-only: a request works with the set that it began with. Any thread.
class BranchSet {
 public:
  /// Each as its specification says.
  explicit BranchSet(const std::vector<std::shared_ptr<Branch>>& branches);
  /// `left`: those that have left the pool while files are open on them. `serial` differs from that
  /// of every other set of the pool.
  BranchSet(const std::vector<Member>& members, std::vector<Member> left, std::uint64_t serial);

  [[nodiscard]] std::size_t size() const noexcept { return branches_.size(); }
  [[nodiscard]] Branch& operator[](std::size_t index) const { return *branches_[index]; }
  [[nodiscard]] const std::shared_ptr<Branch>& shared(std::size_t index) const {
    return branches_[index];
  }
  [[nodiscard]] BranchMode mode(std::size_t index) const noexcept {
    if (branches_[index]->frozen()) return BranchMode::kReadOnly;
    return written_mode(index);
  }
  /// Whatever else is in force for a while.
  [[nodiscard]] BranchMode written_mode(std::size_t index) const noexcept {
    return modes_[index].load(std::memory_order_relaxed);
  }
  [[nodiscard]] const std::optional<std::uint64_t>& min_free(std::size_t index) const {
    return min_free_[index];
  }
  /// As it is now.
  [[nodiscard]] Member member(std::size_t index) const {
    return {branches_[index], written_mode(index), min_free_[index]};
  }
  /// Null when the branch is no longer in the pool.
  [[nodiscard]] Branch* by_id(BranchId id) const noexcept;
  /// Whether the branch may be changed: one that left the pool as it was when it left.
  [[nodiscard]] bool writable(BranchId id) const noexcept;
  /// Nothing is created or changed on it any more. Nothing happens if it is not in the set.
  void demote(BranchId id) const noexcept;
  [[nodiscard]] const std::vector<Member>& left() const noexcept { return left_; }
  [[nodiscard]] std::uint64_t serial() const noexcept { return serial_; }
  [[nodiscard]] auto begin() const noexcept { return branches_.begin(); }
  [[nodiscard]] auto end() const noexcept { return branches_.end(); }

 private:
  void take(const std::vector<Member>& members);

  std::vector<std::shared_ptr<Branch>> branches_;
  std::unique_ptr<std::atomic<BranchMode>[]> modes_;
  std::vector<std::optional<std::uint64_t>> min_free_;
  std::vector<Member> left_;
  std::uint64_t serial_ = 0;
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
  /// In the current set and in the one that a request works with.
  void demote(const BranchSet& seen, BranchId id) {
    const std::lock_guard lock(mutex_);
    seen.demote(id);
    current_->demote(id);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const BranchSet> current_;
};

/// What parse_branches() does not ask the file system about, on a live pool.
struct KnownPlaces {
  /// Branches, by their paths: taken as they are, so that one whose disk is away or hangs can stay.
  std::vector<std::string> branches{};
  /// Where the pool itself is mounted: nobody looks in there, since it is this process that would
  /// have to answer.
  std::vector<std::string> pool{};
  /// What a pattern means beside what is there, on disks that are missing. The pattern is absolute,
  /// and what is plain at its beginning is free of symbolic links.
  std::function<std::vector<std::string>(const std::string& pattern)> expected{};
};

/// Reads "path[=MODE[,MINFREE]][:path…]" (globs, modes RW, RO, NC). On a mistake `error` names the
/// element and the remedy and nothing is returned.
[[nodiscard]] std::vector<BranchSpec> parse_branches(std::string_view text, std::string& error,
                                                     const KnownPlaces& known = {});

}  // namespace bough::ops
