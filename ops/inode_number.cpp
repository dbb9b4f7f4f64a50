#include "ops/inode_number.hpp"

#include <array>
#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace bough::ops {
namespace {

/// What is reserved becomes something else.
constexpr std::uint64_t kept_off(std::uint64_t ino) noexcept {
  return ino > kRootIno ? ino : ino + kRootIno + 1;
}

/// The least significant byte first, so that disks that are carried between machines keep their
/// numbers.
std::uint64_t hash_number(std::uint64_t number, std::uint64_t seed) noexcept {
  std::array<unsigned char, 8> bytes;
  for (unsigned char& byte : bytes) {
    byte = static_cast<unsigned char>(number & 0xffU);
    number >>= 8U;
  }
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

}  // namespace

std::uint64_t path_sum(std::uint64_t parent, std::string_view name) noexcept {
  return parent * kPathFactor + XXH3_64bits(name.data(), name.size());
}

std::uint64_t path_ino(std::uint64_t sum) noexcept {
  return sum == 0 ? kRootIno : kept_off(hash_number(sum, 0));
}

std::uint64_t inode_ino(std::uint64_t volume, std::uint64_t ino) noexcept {
  return kept_off(hash_number(ino, volume));
}

std::uint64_t short_ino(std::uint64_t ino) noexcept {
  if (ino == kRootIno) return kRootIno;
  return kept_off((ino ^ ino >> 32U) & 0xffffffffU);
}

}  // namespace bough::ops
