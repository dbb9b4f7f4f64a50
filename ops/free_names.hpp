#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string_view>

#include "proto/ids.hpp"

namespace bough::ops {

/// Names that a LOOKUP has just found on no branch. The kernel asks so right before each request
/// that makes a name, and holds the directory still in between (its i_rwsem), so that every branch
/// need not be asked once more. Whether a name that it knows is still good, it asks without holding
/// anything: the name may be made while that LOOKUP runs. Any thread; the lock is held for a
/// comparison.
class FreeNames {
 public:
  using Clock = std::chrono::steady_clock;

  /// To be taken before the branches are asked for the name that is then noted.
  [[nodiscard]] std::uint32_t changes(proto::NodeId parent, std::string_view name) noexcept {
    return slot(parent, name).changes.load();
  }
  /// LOOKUP found that no branch has the name. Not noted if it was found() since `changes`.
  void note(proto::NodeId parent, std::string_view name, std::uint32_t changes) noexcept;
  /// A branch has the name: a request saw it there, or made it.
  void found(proto::NodeId parent, std::string_view name) noexcept;
  /// A branch has come into the pool.
  void forget_all() noexcept;
  /// Whether the name was free a moment ago. True once only: the caller is about to use it.
  [[nodiscard]] bool take(proto::NodeId parent, std::string_view name) noexcept;

 private:
  struct Slot {
    proto::NodeId parent = proto::kNoNode;
    std::uint8_t size = 0;
    std::array<char, 255> name;
    Clock::time_point since;
    /// How often a name was found() that belongs here.
    std::atomic<std::uint32_t> changes{0};
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
