#pragma once

#include <functional>

#include "ops/caller.hpp"
#include "ops/pool.hpp"

namespace bough::ops {

/// Between two looks at anything else; the kernel copies at most 2 GiB a call.
inline constexpr std::uint64_t kCopyStep = 64U << 20U;

/// A file to be copied, by a descriptor of it (O_PATH will do). That it is read does not show.
[[nodiscard]] Result<Fd> open_source(Pool& pool, int path_fd);

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

/// Whether a file's size and mtime say that nobody wrote to it between two looks.
[[nodiscard]] bool same_content(const FileStat& now, const FileStat& then) noexcept;

/// The same into `target`, an empty file that is open for reading and writing, has mode 0 and stays
/// the caller's to remove. `like`: what `source` was when the caller looked at it, who also looks
/// whether it has changed meanwhile. `goes_on` is told
/// after each piece how many bytes of data it had, holes among them, and says whether to go on
/// (else ECANCELED); a piece has at most `step` bytes. Not `synced`: the caller sees to it that it
/// is on the disk.
[[nodiscard]] Result<FileStat> copy_into(Pool& pool, int source, const FileStat& like, int target,
                                         Payer payer,
                                         const std::function<bool(std::uint64_t)>& goes_on,
                                         std::uint64_t step = kCopyStep, bool synced = true);

/// Whether `copy` has on its disk the `size` bytes that `source` has: its pages are written and
/// leave the page cache first. Both are open for reading. ECANCELED: `goes_on`, which is asked now
/// and then, says no.
[[nodiscard]] Result<bool> reads_back(Pool& pool, int source, int copy, std::uint64_t size,
                                      const std::function<bool()>& goes_on);

}  // namespace bough::ops
