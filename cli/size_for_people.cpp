#include "cli/size_for_people.hpp"

#include <array>
#include <cstdio>
#include <string_view>

namespace bough::cli {

std::string size_for_people(std::uint64_t bytes) {
  constexpr std::string_view kUnits = "BKMGTPE";
  std::size_t unit = 0;
  auto number = static_cast<double>(bytes);
  while (number >= 1024 && unit + 1 < kUnits.size()) {
    number /= 1024;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), number < 100 && unit > 0 ? "%.1f%c" : "%.0f%c", number,
                kUnits[unit]);
  return text.data();
}

}  // namespace bough::cli
