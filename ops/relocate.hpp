#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
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

/// Moves a node's file, with all its names and all that is open of it, to another branch that the
/// create policy `policy` chooses among those that have more room than the file takes and `asked`
/// bytes. To users it stays the same file: node, inode number, handles.
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
/// EBUSY as well: it was changed behind the pool meanwhile. ENOSPC: no branch has room.
[[nodiscard]] Result<void> relocate(Pool& pool, NodeId node, const policy::Policy& policy,
                                    std::uint64_t asked, const MoveWatch& watch);

}  // namespace bough::ops
