#pragma once

#include <linux/ioctl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace bough::ops {

/// What boughfs move, evacuate and balance ask of a pool, one name at a time. Not an extended
/// attribute: the kernel has a directory locked for as long as one is set in it, and nobody could
/// look a name up there until the file is moved.
struct MoveCall {
  /// From the pool's root, without a slash in front. All names of a file must be known to the pool,
  /// so that the one who asks has them open (O_PATH).
  std::string path;
  /// The paths of branches as the key `branches` has them. The file is on `from`.
  std::string from;
  /// Empty: where the create policy says.
  std::string to;
  /// Bytes a second; 0: as fast as it goes.
  std::uint64_t rate = 0;
  bool verify = false;
};

/// The longest that an ioctl(2) can have.
inline constexpr std::size_t kMoveCallSize = (1U << _IOC_SIZEBITS) - 8;
using MoveBytes = std::array<std::byte, kMoveCallSize>;

/// Returns the ioctl's number, which tells the kernel how many of the bytes it is to hand over; 0:
/// it is too long. For the open root directory of the pool.
[[nodiscard]] std::uint32_t write_move_call(const MoveCall& call, MoveBytes& into) noexcept;
/// Whether an ioctl of this number is one.
[[nodiscard]] constexpr bool is_move_call(std::uint32_t command) noexcept {
  constexpr std::uint32_t kSize = std::uint32_t{_IOC_SIZEMASK} << _IOC_SIZESHIFT;
  return (command & ~kSize) == _IOC(_IOC_WRITE, 'b', 0x6d, 0);
}
/// Nothing: it is malformed.
[[nodiscard]] std::optional<MoveCall> parse_move_call(std::span<const std::byte> bytes);

}  // namespace bough::ops
