#pragma once

#include <cstddef>
#include <string_view>

namespace bough::proto {

/// The length in bytes of the UTF-8 sequence that begins at `index` (RFC 3629, section 4); 0: none
/// does. Names are any bytes, and what is printed of them is to be read by others as text.
[[nodiscard]] std::size_t utf8_length(std::string_view bytes, std::size_t index) noexcept;

}  // namespace bough::proto
