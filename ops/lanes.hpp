#pragma once

#include <cstdint>

#include "ops/node_table.hpp"

namespace bough::ops {

/// What only one branch can hold up shares a lane of it (proto::Filesystem::lane()); names have
/// lane 0.
[[nodiscard]] constexpr std::uint8_t lane_of(BranchId branch) noexcept {
  constexpr BranchId kBranchLanes = 128;
  return static_cast<std::uint8_t>(1 + branch % kBranchLanes);
}

}  // namespace bough::ops
