#pragma once

#include <cstdint>
#include <string_view>

#include "ops/hash.hpp"

namespace bough::ops {

/// A directory of the pool has copies, and which of them is the first changes while others are made
/// and removed: so its inode number follows from its path alone. (tar(1) gives up on a directory
/// whose number has changed.)
///
/// Paths are summed up name by name, from the root (0) down or, with the factor's powers, from the
/// directory up.
inline constexpr std::uint64_t kPathFactor = 0x9e3779b97f4a7c15u;

[[nodiscard]] constexpr std::uint64_t path_sum(std::uint64_t parent,
                                               std::string_view name) noexcept {
  return parent * kPathFactor + hash_text(name);
}

/// The inode number that users see. 1 is the root's, 0 means no file to many programs.
[[nodiscard]] constexpr std::uint64_t directory_ino(std::uint64_t sum) noexcept {
  constexpr std::uint64_t kRootIno = 1;
  if (sum == 0) return kRootIno;
  const std::uint64_t ino = mix_hash(sum);
  return ino > kRootIno ? ino : ino + kRootIno + 1;
}

}  // namespace bough::ops
