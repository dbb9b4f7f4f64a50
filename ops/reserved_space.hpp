#pragma once

#include "ops/backing.hpp"

namespace bough::ops {

/// Reserves in the empty file `target`, which is open for writing, what the file `source` has
/// reserved and not written to (fallocate(2)): each range where the file system tells them
/// (FIEMAP); elsewhere the whole file, if it takes up all of its size. Nothing where the target's
/// file system cannot. What XFS has reserved behind the end of a file it may have done by itself,
/// so that is left out. `like`: what `source` is.
[[nodiscard]] Result<void> reserve_as(Backing& backing, int source, const FileStat& like,
                                      int target);

}  // namespace bough::ops
