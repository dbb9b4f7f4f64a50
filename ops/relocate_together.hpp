#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "ops/relocate.hpp"

namespace bough::ops {

/// Files up to this size are worth moving several at a time.
inline constexpr std::uint64_t kMovesTogether = 1U << 20U;

/// Small files that nobody has open, moved as by relocate(), but with syncs of whole file systems
/// for all of them, and few closures of the gate. For the rest each goes its own way, with a record
/// of its own: those that cannot move stay where they are, and whoever wants to know why asks
/// relocate(). Not with link-cow, which may hold a node for long. One thread. Of the files, which
/// are added in the order of their nodes, the caller holds until the end what relocate() wants.
class RelocationBatch {
 public:
  /// `aim` outlives it.
  RelocationBatch(Pool& pool, const MoveAim& aim);
  ~RelocationBatch();
  RelocationBatch(const RelocationBatch&) = delete;
  RelocationBatch& operator=(const RelocationBatch&) = delete;

  /// Copies it. `moved` becomes true once it is moved, and outlives the batch. EIO: it cannot be
  /// read, written or read back whole. Whatever else is the matter, relocate() may do better.
  [[nodiscard]] Result<void> add(NodeId node, MoveWatch watch, bool& moved);
  /// Moves all that were added. Once.
  void run();

 private:
  class Syncs;
  class Member;

  [[nodiscard]] bool commit_some();
  void finish();

  Pool& pool_;
  const MoveAim& aim_;
  const std::unique_ptr<Syncs> syncs_;
  /// Copied, but not moved.
  std::vector<std::unique_ptr<Member>> going_;
  /// Moved, on the record still.
  std::vector<std::unique_ptr<Member>> gone_;
};

}  // namespace bough::ops
