#include "proto/utf8.hpp"

namespace bough::proto {

std::size_t utf8_length(std::string_view bytes, std::size_t index) noexcept {
  const auto at = [bytes](std::size_t place) { return static_cast<unsigned char>(bytes[place]); };
  const unsigned char lead = at(index);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || index + length > bytes.size()) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((at(index + i) & 0xc0U) != 0x80) return 0;
  const unsigned char second = at(index + 1);
  const bool overlong = (lead == 0xe0 && second < 0xa0) || (lead == 0xf0 && second < 0x90);
  const bool surrogate = lead == 0xed && second > 0x9f;
  const bool too_large = lead == 0xf4 && second > 0x8f;
  return overlong || surrogate || too_large ? 0 : length;
}

}  // namespace bough::proto
