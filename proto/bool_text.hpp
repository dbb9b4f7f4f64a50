#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace bough::proto {

/// The words that every option of the form BOOL takes, as mergerfs has them; case counts.
[[nodiscard]] constexpr std::optional<bool> parse_bool(std::string_view text) noexcept {
  for (const std::string_view yes : {"true", "t", "1", "on", "yes"})
    if (text == yes) return true;
  for (const std::string_view no : {"false", "f", "0", "off", "no"})
    if (text == no) return false;
  return std::nullopt;
}

[[nodiscard]] inline std::string bool_text(bool value) {
  return value ? "true" : "false";
}

}  // namespace bough::proto
