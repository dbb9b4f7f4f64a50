#pragma once

#include "ops/locate.hpp"

namespace bough::ops {

/// The option nfsopenhack, after a branch's EACCES for an open for writing: some servers (NFS with
/// root squashed) do not let even the daemon open a file without write bits, as git and others
/// make them and expect to go on writing where they have the right. Its owner and group get the
/// write bit for as long as the second attempt takes. Only for a file that has none at all, and for
/// `git` only below a directory .git. EACCES: no such file, or it did not help.
/// `flags` and `asked` as for reopen_file().
[[nodiscard]] Result<Fd> reopen_with_lent_bits(Pool& pool, NodeId node, const NodeFile& file,
                                               int flags, std::uint32_t asked);

}  // namespace bough::ops
