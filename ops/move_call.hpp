#pragma once

#include <linux/ioctl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "ops/locate.hpp"
#include "proto/replies.hpp"

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

/// The longest that an ioctl(2) can have; all of it is handed over.
inline constexpr std::size_t kMoveCallSize = (1U << _IOC_SIZEBITS) - 8;
/// Of the open root directory of the pool.
inline constexpr std::uint32_t kMoveCommand = _IOC(_IOC_WRITE, 'b', 0x6d, kMoveCallSize);
using MoveBytes = std::array<std::byte, kMoveCallSize>;

/// False: it is too long.
[[nodiscard]] bool write_move_call(const MoveCall& call, MoveBytes& into) noexcept;
/// Nothing: it is malformed.
[[nodiscard]] std::optional<MoveCall> parse_move_call(std::span<const std::byte> bytes);

/// Serves it; the request is put off until the file is moved, and an INTERRUPT gives the move up.
/// The caller has the right to it. As relocate(), and: ENODEV: the pool has no such branch. ENOENT:
/// the pool does not know the name. EXDEV: what the pool shows under it is not on `from`. EBUSY:
/// the file is on its way already, or is used in a way that cannot follow. EOPNOTSUPP: no file that
/// moves.
[[nodiscard]] Result<proto::IoctlReply> serve_move_call(Pool& pool, const Context& context,
                                                        const proto::IoctlRequest& request);

}  // namespace bough::ops
