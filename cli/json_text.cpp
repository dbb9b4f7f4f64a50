#include "cli/json_text.hpp"

#include <cstddef>

namespace bough::cli {
namespace {

unsigned char at(std::string_view bytes, std::size_t index) {
  return static_cast<unsigned char>(bytes[index]);
}

/// The length of the UTF-8 sequence at `index`, or 0: see RFC 3629, section 4.
std::size_t sequence_length(std::string_view bytes, std::size_t index) {
  const unsigned char lead = at(bytes, index);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || index + length > bytes.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(bytes, index + i) & 0xc0U) != 0x80) return 0;
  }
  const unsigned char second = at(bytes, index + 1);
  const bool overlong = (lead == 0xe0 && second < 0xa0) || (lead == 0xf0 && second < 0x90);
  const bool surrogate = lead == 0xed && second > 0x9f;
  const bool too_large = lead == 0xf4 && second > 0x8f;
  return overlong || surrogate || too_large ? 0 : length;
}

void add_escape(std::string& to, unsigned char code) {
  constexpr char kDigits[] = "0123456789abcdef";
  to += "\\u00";
  to += kDigits[code >> 4U];
  to += kDigits[code & 0xfU];
}

}  // namespace

std::string json_text(std::string_view bytes) {
  std::string text = "\"";
  for (std::size_t i = 0; i < bytes.size();) {
    const unsigned char lead = at(bytes, i);
    const std::size_t length = sequence_length(bytes, i);
    if (lead == '"' || lead == '\\') {
      text += '\\';
      text += bytes[i++];
    } else if (lead < 0x20 || length == 0) {
      add_escape(text, lead);
      ++i;
    } else {
      text += bytes.substr(i, length);
      i += length;
    }
  }
  return text + '"';
}

}  // namespace bough::cli
