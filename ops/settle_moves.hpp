#pragma once

#include "ops/pool.hpp"

namespace bough::ops {

/// Ends what a crash, or a branch that could not be changed, left unfinished of moves
/// (ops/move_record.hpp), so that each file is on one branch. The new file counts once it has all
/// the names, since it has them only when it is whole; else the old one. But where only one of the
/// two was changed since, that one counts; if both were, both stay. A file that is open through the
/// pool is never removed, and the copy that counts is the one that is open if the other is as it
/// was.
///
/// What cannot be decided or done yet stays for the next time: a branch is out of reach or not in
/// the pool, is read-only, or both copies are open. The copy that does not count is hidden
/// meanwhile (ops/unsettled.hpp). Complains about what it did, and once about what it could not.
///
/// At the start, when a branch comes back, and when the branches change; not inside the gate.
void finish_moves(Pool& pool);

}  // namespace bough::ops
