#pragma once

#include <algorithm>
#include <cstdint>

namespace bough::ops {

/// What minfreespace=auto (kMinFreeBySize) asks of a branch of `total` bytes.
[[nodiscard]] constexpr std::uint64_t minimum_by_size(std::uint64_t total) noexcept {
  constexpr std::uint64_t kMost = std::uint64_t{4} << 30U;
  constexpr std::uint64_t kShare = 20;
  return std::min(kMost, total / kShare);
}

}  // namespace bough::ops
