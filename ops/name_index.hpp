#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <vector>

#include "ops/branch_set.hpp"
#include "ops/name_set.hpp"
#include "ops/name_watch.hpp"
#include "proto/ids.hpp"

namespace bough::ops {

struct Pool;

/// Which branches need not be asked for a name, since they have none such: directories that are
/// asked about again and again are listed on every branch and watched from then on, so that what
/// appears in them is known before it can be asked for. Only local file systems that compare names
/// byte by byte. Any thread; the lock is held while events are read, which waits for nothing. A
/// directory is listed by the thread that asks, without the lock.
class NameIndex {
 public:
  using Clock = std::chrono::steady_clock;

  /// What is known of one name.
  class Answer {
   public:
    /// Nothing.
    Answer() noexcept = default;
    explicit Answer(std::uint64_t without) noexcept : without_(without) {}
    /// Whether the branch at this place of the set has no such name.
    [[nodiscard]] bool lacks(std::size_t branch) const noexcept {
      return branch < kMostBranches && (without_ >> branch & 1U) != 0;
    }

   private:
    std::uint64_t without_ = 0;
  };

  /// About `name` in `directory`, whose path is `path`. Lists the directory if that is worth it; a
  /// branch that cannot be listed is no error. Where a copy of the directory itself was moved or
  /// mounted over behind the pool, that is noticed as late as DirectoryCache notices it.
  [[nodiscard]] Answer ask(Pool& pool, const BranchSet& set, proto::NodeId directory,
                           std::string_view path, std::string_view name);
  /// Gives memory and watches back, and knows nothing any more.
  void clear() noexcept;

  static constexpr std::size_t kMostBranches = 64;

  /// A branch's copy of a directory. Not watched: it is asked each time.
  struct Copy {
    int watch = NameWatch::kNone;
    std::uint64_t device = 0;
    std::uint64_t ino = 0;
  };
  /// A name and the branches that have it.
  struct Seen {
    std::uint64_t hash = 0;
    std::uint64_t branches = 0;
  };
  /// What was listed now; copies that are as they were before have no names here.
  struct Listed {
    std::vector<Copy> copies;
    std::vector<Seen> names;
    std::uint64_t bytes = 0;
  };

 private:
  struct Slot {
    proto::NodeId directory = proto::kNoNode;
    /// The branch set that `copies` are of.
    std::uint64_t set = 0;
    Clock::time_point began;
    Clock::time_point last;
    Clock::time_point checked;
    Clock::time_point not_before;
    std::uint32_t asked = 0;
    /// Which listing of it is under way; 0: none.
    std::uint64_t listing = 0;
    std::vector<Copy> copies;
    NameSet names;
    /// What happened while it was being listed.
    std::vector<Seen> meanwhile;
    std::vector<int> gone;
  };
  static constexpr std::size_t kSlots = 16;

  [[nodiscard]] bool list(Pool& pool, const BranchSet& set, std::string_view path,
                          const std::vector<Copy>& before, Listed& into);
  /// Only where it has no `watch` yet; a directory whose names have come to fold case is refused.
  [[nodiscard]] bool list_copy(Pool& pool, int path_fd, std::size_t branch, int watch, Copy& copy,
                               Listed& into);
  void read_events_locked();
  void take_locked(const NameWatch::Event& event);
  void install_locked(Slot& slot, const Listed& listed);
  /// All that is known of its names goes; a listing that is under way will not be used.
  void release_locked(Slot& slot) noexcept;
  void release_old_locked(Clock::time_point now) noexcept;
  void unwatch_locked(const Copy& copy) noexcept;
  [[nodiscard]] static std::uint64_t without(const Slot& slot, std::uint64_t hash) noexcept;

  std::mutex mutex_;
  NameWatch watch_;
  std::array<Slot, kSlots> slots_;
  std::uint64_t last_listing_ = 0;
};

}  // namespace bough::ops
