#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>

#include "ops/backing.hpp"
#include "proto/ids.hpp"

namespace bough::ops {

/// What files and directories looked like when they were last opened, so that an open can tell
/// whether what the kernel has cached of one is still right. Of a fixed size, whatever the number
/// of files: one that shares its place with another merely counts as changed. Any thread; takes no
/// lock.
class SeenFiles {
 public:
  /// Whether the file's identity, size, mtime and ctime are those of the last call for this node;
  /// remembers them. A file that changed within the last kSettled nanoseconds is not remembered: a
  /// later change in the same tick of the file system's clock would leave the same times; where
  /// that clock may tick slowly, as in FAT, kSlowlySettled counts. `now_ns`: CLOCK_REALTIME's
  /// nanoseconds.
  [[nodiscard]] bool unchanged(proto::NodeId node, const FileStat& stat,
                               std::int64_t now_ns) noexcept;

  /// The same for a directory and its copies on all branches, in their order. What changed within
  /// the last kSlowlySettled nanoseconds is not remembered: an older reader's listing may still be
  /// on its way to the kernel.
  [[nodiscard]] bool unchanged(proto::NodeId node, std::span<const FileStat> copies,
                               std::int64_t now_ns) noexcept;

  /// For a file that changes where no times may tell it: by stores into a mapping of the branch's
  /// own file.
  void forget(proto::NodeId node) noexcept;

  static constexpr std::int64_t kSettled = 50'000'000;
  static constexpr std::int64_t kSlowlySettled = 2'500'000'000;

 private:
  [[nodiscard]] std::atomic<std::uint64_t>& place_of(proto::NodeId node) noexcept;
  [[nodiscard]] bool exchange(proto::NodeId node, std::span<const FileStat> stats,
                              std::int64_t settled_before) noexcept;

  static constexpr std::size_t kPlaces = 1U << 15U;
  /// 0: nothing remembered.
  std::array<std::atomic<std::uint64_t>, kPlaces> places_{};
};

}  // namespace bough::ops
