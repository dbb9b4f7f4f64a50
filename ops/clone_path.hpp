#pragma once

#include <string_view>

#include "ops/pool.hpp"

namespace bough::ops {

/// Makes the directory `path` (and what is missing above it) on branch `to`, each component as its
/// copy on `from` is: mode with set-gid and sticky, owner, xattrs with ACLs, times; immutable and
/// append-only flags are not copied. What exists stays untouched, its times included: to users
/// nothing new is in it. Acts as the daemon. Returns the directory on `to`, O_PATH. A component
/// that cannot be made leaves nothing half-made of itself behind.
[[nodiscard]] Result<DirRef> clone_path(Pool& pool, Branch& from, Branch& to,
                                        std::string_view path);

/// The same below any two directories.
[[nodiscard]] Result<DirRef> clone_below(Pool& pool, DirRef from, DirRef to, std::string_view path);

}  // namespace bough::ops
