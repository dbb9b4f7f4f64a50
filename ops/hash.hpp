#pragma once

#include <cstdint>
#include <string_view>

namespace bough::ops {

/// SplitMix64's finisher: a bijection in which every bit of the input reaches every bit of the
/// output.
[[nodiscard]] constexpr std::uint64_t mix_hash(std::uint64_t value) noexcept {
  value ^= value >> 30;
  value *= 0xbf58476d1ce4e5b9u;
  value ^= value >> 27;
  value *= 0x94d049bb133111ebu;
  value ^= value >> 31;
  return value;
}

/// A number that depends on both and on their order.
[[nodiscard]] constexpr std::uint64_t combine_hash(std::uint64_t first,
                                                   std::uint64_t second) noexcept {
  return mix_hash(mix_hash(first + 0x9e3779b97f4a7c15u) ^ second);
}

/// 64-bit FNV-1a, then mixed, so that every bit of it may be used. The same from start to start:
/// the cookies of directories and users' inode numbers are made of it.
[[nodiscard]] constexpr std::uint64_t hash_text(std::string_view text) noexcept {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char each : text) {
    hash ^= static_cast<unsigned char>(each);
    hash *= 0x00000100000001b3u;
  }
  return mix_hash(hash);
}

}  // namespace bough::ops
