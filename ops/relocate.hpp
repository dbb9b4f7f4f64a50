#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "ops/pool.hpp"

namespace bough::ops {

/// What a move tells about itself, and is told. Called on its thread.
struct MoveWatch {
  /// The file and the branches are known; bytes that take room.
  std::function<void(const std::string& path, const std::string& from, const std::string& to,
                     std::uint64_t bytes)>
      begins;
  /// So far up in the file. False: the move is to end, with ECANCELED.
  std::function<bool(std::uint64_t at)> goes_on;
  /// Takes room on a branch for as long as the move lasts, if `available` bytes are enough beside
  /// what other moves have taken there.
  std::function<bool(BranchId branch, std::uint64_t bytes, std::uint64_t available)> reserve;
  std::function<void(BranchId branch, std::uint64_t bytes)> give_back;
};

/// Where a file is to go, and how.
struct MoveAim {
  /// Chooses among the branches that have more room than the file takes and `asked` bytes. A create
  /// policy; borrowed.
  const policy::Policy* policy = nullptr;
  std::uint64_t asked = 0;
  /// The policy may choose a branch that has not the file's directory, whatever kind it is of.
  bool any_path = false;
  /// The only branch to go to; nothing is chosen then.
  std::optional<BranchId> to{};
  /// The branch that it is to leave. EXDEV: it is not there.
  std::optional<BranchId> from{};
  /// The copy is read back from its disk and compared before the old file goes. EIO: it differs.
  bool verify = false;
  /// While it is copied, others' reading and writing comes first.
  bool idle = false;
  /// Bytes between two calls of MoveWatch::goes_on.
  std::uint64_t step = 64U << 20U;
};

/// Moves a node's file, with all its names and all that is open of it, to another branch. To users
/// it stays the same file: node, inode number, handles.
///
/// The caller holds the node and keeps everybody from changing the file through the pool until this
/// returns; names may change meanwhile. Readers go on, on the old file and then on the new one.
///
/// The copy has no name until it is whole and on the disk. Then, with the gate closed for as long
/// as the names take: it gets them, which is synced; all handles become the copy; the source's
/// names go. A record of that lies on the target meanwhile (ops/move_record.hpp). After any failure
/// the file is where it was, whole, with all its names, and nothing else is left but directories.
///
/// Refused are: what has names that the pool does not know (EBUSY), or a copy on a further branch
/// (EEXIST: one would be hidden or overwritten by the other); what has no name; what can only be
/// appended to or not be changed at all (EPERM); what the kernel reads and writes past us (EBUSY).
/// EBUSY as well: it was changed behind the pool meanwhile. ENOSPC: no branch has room. ENODEV: the
/// branch to go to has left the pool. EMEDIUMTYPE: it is no regular file. EROFS: one of the two may
/// not be changed.
[[nodiscard]] Result<void> relocate(Pool& pool, NodeId node, const MoveAim& aim,
                                    const MoveWatch& watch);

}  // namespace bough::ops
