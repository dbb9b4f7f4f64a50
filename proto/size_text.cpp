#include "proto/size_text.hpp"

#include <algorithm>
#include <charconv>

namespace bough::proto {

namespace {
constexpr std::string_view kUnits = "bkmgt";
constexpr unsigned kUnitBits = 10;
}  // namespace

std::optional<std::uint64_t> parse_size(std::string_view text) noexcept {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec != std::errc{} || end - parsed.ptr > 1) return std::nullopt;
  if (parsed.ptr == end) return number;
  const auto unit = kUnits.find(static_cast<char>(*parsed.ptr | 0x20));
  if (unit == std::string_view::npos) return std::nullopt;
  const auto bits = static_cast<unsigned>(unit) * kUnitBits;
  if (number << bits >> bits != number) return std::nullopt;
  return number << bits;
}

bool is_too_large(std::string_view text) noexcept {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view rest = text.substr(digits);
  if (digits == 0 || rest.size() > 1) return false;
  if (!rest.empty() && kUnits.find(static_cast<char>(rest[0] | 0x20)) == std::string_view::npos)
    return false;
  return !parse_size(text);
}

std::string size_text(std::uint64_t bytes) {
  std::size_t unit = 0;
  while (bytes != 0 && unit + 1 < kUnits.size() && bytes % (1U << kUnitBits) == 0) {
    bytes >>= kUnitBits;
    ++unit;
  }
  std::string text = std::to_string(bytes);
  if (unit != 0) text += static_cast<char>(kUnits[unit] & ~0x20);
  return text;
}

}  // namespace bough::proto
