#include "ops/room.hpp"

namespace bough::ops {

bool may_move(const Pool& pool) {
  return pool.settings.move_when_full != nullptr && pool.branches.snapshot()->size() > 1;
}

Errno move_for_room(Pool& pool, const proto::Context& context, NodeId node, std::uint64_t asked,
                    Errno error) {
  // Each time the file went where there was room for this; others have taken it.
  constexpr std::uint32_t kMostMoves = 100;
  proto::PutOff* const put_off = context.put_off;
  if (put_off == nullptr || !may_move(pool)) return error;
  if (put_off->times >= kMostMoves ||
      (put_off->after != 0 && pool.relocations.came_to_nothing(put_off->after)))
    return error;
  if (pool.port->interrupted(context.unique)) return Errno{EINTR};
  put_off->until = pool.relocations.want(node, asked);
  return error;
}

std::optional<Errno> wait_for_move(Pool& pool, const proto::Context& context, NodeId node) {
  const std::uint64_t move = pool.relocations.of(node);
  if (move == 0) return std::nullopt;
  if (context.put_off == nullptr) return Errno{EBUSY};
  if (pool.port->interrupted(context.unique)) return Errno{EINTR};
  context.put_off->until = move;
  return Errno{EBUSY};
}

}  // namespace bough::ops
