#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "ops/branch_crew.hpp"

namespace bough::ops {

/// The option func.readdir: how the copies of a directory are opened and read. What is listed is
/// the same with each. In one word, so that it can change while requests run.
struct alignas(8) ReaddirPolicy {
  /// One after the other; opened at once; opened and read at once.
  enum class Kind : std::uint8_t { kSeq, kCosr, kCor };
  Kind kind = Kind::kSeq;
  /// How many of the two numbers the user gave, to show what he wrote.
  std::uint8_t numbers = 0;
  /// Threads; 0: one a processor, at most 8; -N: one for N processors.
  std::int16_t threads = 0;
  /// How many may wait for each thread; 0: 2.
  std::int16_t depth = 0;

  [[nodiscard]] BranchCrew::Size crew() const noexcept;
};
static_assert(std::is_trivially_copyable_v<ReaddirPolicy> && sizeof(ReaddirPolicy) == 8);

/// KIND[:THREADS[:DEPTH]]; seq takes numbers too, and does nothing with them.
[[nodiscard]] std::optional<ReaddirPolicy> parse_readdir_policy(std::string_view text) noexcept;
[[nodiscard]] std::string readdir_policy_text(const ReaddirPolicy& policy);

}  // namespace bough::ops
