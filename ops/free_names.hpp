#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string_view>

#include "proto/ids.hpp"

namespace bough::ops {

/// Names that a LOOKUP has just found on no branch. The kernel asks so right before each request
/// that makes a name, and holds the directory still in between (its i_rwsem), so that every branch
/// need not be asked once more. Any thread; the lock is held for a comparison.
class FreeNames {
 public:
  using Clock = std::chrono::steady_clock;

  /// LOOKUP found that no branch has the name.
  void note(proto::NodeId parent, std::string_view name) noexcept;
  /// Whether the name was free a moment ago. True once only: the caller is about to use it.
  [[nodiscard]] bool take(proto::NodeId parent, std::string_view name) noexcept;

 private:
  struct Slot {
    proto::NodeId parent = proto::kNoNode;
    std::uint8_t size = 0;
    std::array<char, 255> name;
    Clock::time_point since;
  };
  static constexpr std::size_t kSlots = 32;
  /// A client that was not scheduled for longer has its name looked for again.
  static constexpr std::chrono::milliseconds kMoment{20};

  [[nodiscard]] Slot& slot(proto::NodeId parent, std::string_view name) noexcept;
  [[nodiscard]] static bool holds(const Slot& slot, proto::NodeId parent,
                                  std::string_view name) noexcept;

  std::mutex mutex_;
  std::array<Slot, kSlots> slots_;
};

}  // namespace bough::ops
