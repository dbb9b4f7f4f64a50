#include "cli/json_text.hpp"

#include <cstddef>

#include "proto/utf8.hpp"

namespace bough::cli {
namespace {

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
    const unsigned char lead = static_cast<unsigned char>(bytes[i]);
    const std::size_t length = proto::utf8_length(bytes, i);
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
