#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace bough::proto {

/// The kernel's number for one of our nodes. Opaque, 64 bits, never used for a second node.
struct NodeId {
  std::uint64_t value = 0;
  friend constexpr auto operator<=>(NodeId, NodeId) noexcept = default;
};

/// What tells a reused nodeid from its predecessor (fuse_entry_out.generation). 0 for the root.
struct Generation {
  std::uint64_t value = 0;
  friend constexpr auto operator<=>(Generation, Generation) noexcept = default;
};

/// An open file or directory of ours, as the kernel echoes it (fh).
struct HandleId {
  std::uint64_t value = 0;
  friend constexpr auto operator<=>(HandleId, HandleId) noexcept = default;
};

/// The kernel's number for one request. Bit 0 marks an INTERRUPT's own header, bit 63 a resent
/// request; a reply carries the number exactly as it came, tables are keyed by key().
struct Unique {
  static constexpr std::uint64_t kInterruptBit = 1;
  static constexpr std::uint64_t kResendBit = std::uint64_t{1} << 63;

  std::uint64_t value = 0;

  [[nodiscard]] constexpr bool resent() const noexcept { return (value & kResendBit) != 0; }
  [[nodiscard]] constexpr std::uint64_t key() const noexcept {
    return value & ~(kResendBit | kInterruptBit);
  }
  friend constexpr auto operator<=>(Unique, Unique) noexcept = default;
};

inline constexpr NodeId kRootNode{1};
inline constexpr NodeId kNoNode{0};

}  // namespace bough::proto

template <>
struct std::hash<bough::proto::NodeId> {
  std::size_t operator()(bough::proto::NodeId id) const noexcept {
    return std::hash<std::uint64_t>{}(id.value);
  }
};
