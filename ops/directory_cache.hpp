#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "ops/fd.hpp"
#include "ops/node_table.hpp"

namespace bough::ops {

/// O_PATH descriptors of the directories that were asked lately, so that a look-up needs one system
/// call a branch. Only for asking: what is made, moved or removed goes by a path that is resolved
/// anew, since a directory may have been moved behind the pool. For the same reason nothing stays
/// longer than the kernel itself would keep a name. Any thread; the lock is held for a comparison.
class DirectoryCache {
 public:
  using Clock = std::chrono::steady_clock;

  /// Empty: not known, or kept for `valid` already.
  [[nodiscard]] std::shared_ptr<const Fd> find(BranchId branch, std::string_view path,
                                               Clock::duration valid);
  /// To be taken before the directory is opened that is then put().
  [[nodiscard]] std::uint64_t changes() const noexcept { return changes_.load(); }
  /// Nothing is kept if a directory was moved or removed since `changes`.
  void put(BranchId branch, std::string_view path, std::shared_ptr<const Fd> directory,
           std::uint64_t changes);
  /// A directory was moved through the pool: all that was kept is out of date.
  void moved() noexcept;
  /// The empty directory `path` was removed through the pool on `branch`. Of all branches, the
  /// first call comes after the removal.
  void removed(BranchId branch, std::string_view path) noexcept;
  /// Closes everything.
  void clear() noexcept;

  /// Whether the directory `path` was missing on `branch` less than `valid` ago, and none was made
  /// through the pool since: only for what is shown of it. Takes no lock.
  [[nodiscard]] bool absent(BranchId branch, std::string_view path,
                            Clock::duration valid) const noexcept;
  void note_absent(BranchId branch, std::string_view path, Clock::duration valid) noexcept;
  /// A directory was made through the pool.
  void made() noexcept { made_.fetch_add(1); }

 private:
  struct Slot {
    BranchId branch = kNoBranch;
    std::string path;
    std::shared_ptr<const Fd> directory;
    std::uint64_t changes = 0;
    Clock::time_point since;
  };
  static constexpr std::size_t kSlots = 256;
  static constexpr std::size_t kLongestPath = 512;

  /// Of what is absent, until when, and before which directory was made.
  [[nodiscard]] std::uint64_t mark(BranchId branch, std::string_view path,
                                   Clock::duration valid) const noexcept;
  [[nodiscard]] Slot& slot(BranchId branch, std::string_view path) noexcept;

  std::atomic<std::uint64_t> changes_{0};
  std::mutex mutex_;
  /// What changes_ came to by the last move.
  std::uint64_t last_move_ = 0;
  std::array<Slot, kSlots> slots_;
  std::atomic<std::uint64_t> made_{0};
  std::array<std::atomic<std::uint64_t>, 1024> absent_{};
};

}  // namespace bough::ops
