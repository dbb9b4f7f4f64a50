#pragma once

#include "ops/move_words.hpp"
#include "ops/locate.hpp"
#include "proto/replies.hpp"

namespace bough::ops {

/// Serves a MoveCall; the request is put off until the file is moved, and an INTERRUPT gives the
/// move up. The caller has the right to it. As relocate(), and: ENODEV: the pool has no such
/// branch. ENOENT: the pool does not know the name. EXDEV: what the pool shows under it is not on
/// `from`. EBUSY: the file is on its way already, or is used in a way that cannot follow.
/// EOPNOTSUPP: no file that moves.
[[nodiscard]] Result<proto::IoctlReply> serve_move_call(Pool& pool, const Context& context,
                                                        const proto::IoctlRequest& request);

}  // namespace bough::ops
