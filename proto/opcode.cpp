#include "proto/opcode.hpp"

#include <algorithm>

namespace bough::proto {

namespace {

constexpr std::size_t kDense = 64;
constexpr std::uint8_t kNoRow = 0xff;

/// Opcode to row number for the dense part of the table.
constexpr auto kRowOf = [] {
  std::array<std::uint8_t, kDense> rows{};
  rows.fill(kNoRow);
  for (std::size_t row = 0; row < kOpcodes.size(); ++row)
    if (kOpcodes[row].opcode < kDense) rows[kOpcodes[row].opcode] = static_cast<std::uint8_t>(row);
  return rows;
}();

constexpr OpcodeInfo kUnknown{0, "UNKNOWN", OpcodeClass::kUnserved, true, false};

static_assert(std::is_sorted(kOpcodes.begin(), kOpcodes.end(),
                             [](const OpcodeInfo& a, const OpcodeInfo& b) {
                               return a.opcode < b.opcode;
                             }));

}  // namespace

const OpcodeInfo& opcode_info(std::uint32_t opcode) noexcept {
  if (opcode < kDense) return kRowOf[opcode] == kNoRow ? kUnknown : kOpcodes[kRowOf[opcode]];
  for (const OpcodeInfo& row : kOpcodes)
    if (row.opcode == opcode) return row;
  return kUnknown;
}

}  // namespace bough::proto
