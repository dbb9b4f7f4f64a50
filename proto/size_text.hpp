#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bough::proto {

/// A number of bytes as people write it: decimal, then at most one of b k m g t in either case,
/// powers of 1024. Nothing: not that, or more than 64 bits hold.
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text) noexcept;

/// Whether the text has the form of parse_size(), and 64 bits do not hold what it says.
[[nodiscard]] bool is_too_large(std::string_view text) noexcept;

/// The shortest exact spelling: 4G, 1000.
[[nodiscard]] std::string size_text(std::uint64_t bytes);

}  // namespace bough::proto
