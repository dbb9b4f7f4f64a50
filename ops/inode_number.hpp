#pragma once

#include <cstdint>
#include <string_view>

#include "ops/backing.hpp"

/// The inode numbers that users see (the option inodecalc). They are the same after a restart, and
/// whatever the order of the branches: nothing goes into them but what is on the disks, and paths.
namespace bough::ops {

/// By path: a directory's copies on the branches have one number, and a file keeps its number when
/// it moves to another branch. By inode (the file system and its number there): the number stays
/// when the name changes, and hard links have one. Hybrid, the default: directories by path, all
/// else by inode. Passthrough: the branch's number as it is, which two branches may both have.
enum class InodeCalc : std::uint8_t {
  kPassthrough,
  kPathHash,
  kPathHash32,
  kDevinoHash,
  kDevinoHash32,
  kHybridHash,
  kHybridHash32
};

/// The root's number where it is not the branch's own.
inline constexpr std::uint64_t kRootIno = 1;

/// Paths are summed up name by name, from the root (0) down or, with the factor's powers, from the
/// name up.
inline constexpr std::uint64_t kPathFactor = 0x9e3779b97f4a7c15u;
[[nodiscard]] std::uint64_t path_sum(std::uint64_t parent, std::string_view name) noexcept;

/// The number of the path of that sum: XXH3 of 64 bits. Never 0, which means no file to many
/// programs, and kRootIno only for the root.
[[nodiscard]] std::uint64_t path_ino(std::uint64_t sum) noexcept;
/// The number of the inode `ino` of the file system `volume`: likewise, never 0 or kRootIno.
[[nodiscard]] std::uint64_t inode_ino(std::uint64_t volume, std::uint64_t ino) noexcept;
/// 32 bits of a number of 64, for programs that know no more: again never 0, kRootIno for itself.
[[nodiscard]] std::uint64_t short_ino(std::uint64_t ino) noexcept;

[[nodiscard]] constexpr bool is_short(InodeCalc calc) noexcept {
  return calc == InodeCalc::kPathHash32 || calc == InodeCalc::kDevinoHash32 ||
         calc == InodeCalc::kHybridHash32;
}
[[nodiscard]] constexpr bool goes_by_path(InodeCalc calc, bool directory) noexcept {
  const bool path = calc == InodeCalc::kPathHash || calc == InodeCalc::kPathHash32;
  const bool hybrid = calc == InodeCalc::kHybridHash || calc == InodeCalc::kHybridHash32;
  return path || (hybrid && directory);
}

/// The number of what has the attributes `stat` (its id, type and links). `by_path` and `by_inode`
/// (std::uint64_t()) are asked for the one that it takes. A file of several names goes by inode in
/// any case: it is one file under each of them.
template <class ByPath, class ByInode>
[[nodiscard]] std::uint64_t shown_ino(InodeCalc calc, const FileStat& stat, ByPath by_path,
                                      ByInode by_inode) {
  if (calc == InodeCalc::kPassthrough) return stat.id.ino;
  const bool directory = stat.is_directory();
  const bool by_name = goes_by_path(calc, directory) && (directory || stat.nlink < 2);
  const std::uint64_t ino = by_name ? by_path() : by_inode();
  return is_short(calc) ? short_ino(ino) : ino;
}

}  // namespace bough::ops
