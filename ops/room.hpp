#pragma once

#include <cerrno>
#include <cstdint>
#include <optional>

#include "ops/freed_space.hpp"
#include "ops/pool.hpp"
#include "proto/filesystem.hpp"

/// How requests that change a file go along with moves of files (the option moveonenospc).
namespace bough::ops {

/// Whether a file that has no room left may go to another branch: with moveonenospc, and where
/// there is more than one.
[[nodiscard]] bool may_move(const Pool& pool);

[[nodiscard]] inline bool lacks_room(Errno error) noexcept {
  return error == Errno{ENOSPC} || error == Errno{EDQUOT};
}

/// After `error` of a change that wanted `asked` bytes more: has the node's file moved to where
/// there is room, if it may be, and the request put off until then. The answer to the request, if
/// it was not put off.
[[nodiscard]] Errno move_for_room(Pool& pool, const proto::Context& context, NodeId node,
                                  std::uint64_t asked, Errno error);

/// Puts the request off until the move of the node's file is over. Nothing: there is none any more.
/// Else the answer, if it could not be put off.
[[nodiscard]] std::optional<Errno> wait_for_move(Pool& pool, const proto::Context& context,
                                                 NodeId node);

/// Makes a change (a Result) by an open file, but not while the file is being moved.
template <class Change>
auto unless_moving(Pool& pool, const proto::Context& context, FileHandle& handle, Change change)
    -> decltype(change()) {
  for (;;) {
    if (const ChangeGate::Passage passage(handle.changes); passage) return change();
    if (const auto waits = wait_for_move(pool, context, handle.node)) return *waits;
  }
}
/// By a node.
template <class Change>
auto unless_moving(Pool& pool, const proto::Context& context, NodeId node, Change change)
    -> decltype(change()) {
  for (;;) {
    if (const auto share = pool.relocations.share(node)) return change();
    if (const auto waits = wait_for_move(pool, context, node)) return *waits;
  }
}

[[nodiscard]] inline NodeId node_of(NodeId node) noexcept {
  return node;
}
[[nodiscard]] inline NodeId node_of(const FileHandle& handle) noexcept {
  return handle.node;
}

/// The same for a change that wants `asked` bytes of room: where there are none, the file is moved
/// to another branch first. `subject`: FileHandle& or NodeId.
template <class Subject, class Change>
auto with_room(Pool& pool, const proto::Context& context, Subject&& subject, std::uint64_t asked,
               Change change) -> decltype(change()) {
  auto result =
      unless_moving(pool, context, subject, [&] { return with_freed_space(pool, change); });
  const bool put_off = context.put_off != nullptr && context.put_off->until != 0;
  if (result || put_off || !lacks_room(result.error())) return result;
  return move_for_room(pool, context, node_of(subject), asked, result.error());
}

}  // namespace bough::ops
