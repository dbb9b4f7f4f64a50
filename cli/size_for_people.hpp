#pragma once

#include <cstdint>
#include <string>

namespace bough::cli {

/// Bytes with a unit (powers of 1024) and three digits at most: 980M, 12.5G.
[[nodiscard]] std::string size_for_people(std::uint64_t bytes);

}  // namespace bough::cli
