#pragma once

#include <cstdint>

#include "ops/pool.hpp"

namespace bough::ops {

/// In whose name room is taken: reserved blocks and quotas bind him.
struct Payer {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
};

/// Makes `name` in the directory `to` a whole copy of the regular file `source`, which is open for
/// reading: data with its holes, owner, mode with set-ids, xattrs with ACLs and capabilities, file
/// flags but immutable and append-only, times. Blocks are shared where the file system can. What
/// the target's file system cannot hold (see cannot_hold()) is left out.
///
/// Until it is whole nobody but its owner may open it (mode 0); when this returns it is on the disk
/// (fsync(2)); the caller may rename it over something else then. Acts as the daemon, but data is
/// written as `payer`. Returns what the copy is.
///
/// EBUSY: `source` was changed meanwhile. EEXIST: the name is taken. After any failure the name is
/// not there.
[[nodiscard]] Result<FileStat> copy_file(Pool& pool, int source, int to, const char* name,
                                         Payer payer);

}  // namespace bough::ops
