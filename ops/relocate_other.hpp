#pragma once

#include "ops/relocate.hpp"

namespace bough::ops {

/// As relocate(), for what has no content that could be open: symbolic links, pipes, sockets,
/// devices. It is made anew on the target, which is on the disk before the old one goes. A crash in
/// between leaves both, which are alike; the next move then takes the new one for what it is.
[[nodiscard]] Result<void> relocate_special(Pool& pool, NodeId node, const MoveAim& aim);

/// Takes an empty directory off the branch `aim.from`: it stays where else it is, and goes to
/// another branch if it is nowhere else. ENOTEMPTY: there is something in it on that branch.
/// ENOENT: it is not on that branch.
[[nodiscard]] Result<void> relocate_directory(Pool& pool, NodeId node, const MoveAim& aim);

}  // namespace bough::ops
