#pragma once

#include <string>
#include <vector>

namespace bough::cli {

/// Before anything is mounted: the mount point is a directory, or a dead pool that mounting will
/// clear, or a name /dev/fd/N; and neither lies a branch in it nor it in a branch, since such a
/// pool would wait for itself. Directories are told by device and inode, so that another spelling
/// hides nothing. Throws StartError(kUsage) with one line.
void check_mountpoint(const std::string& mountpoint, const std::vector<std::string>& branches);

/// Before the trace file is made: it does not lie on a branch, where the pool would show it and
/// each look at it would add to it, nor under the mount point, where the pool would hide it. Throws
/// StartError(kUsage) with one line.
void check_trace_file(const std::string& trace, const std::string& mountpoint,
                      const std::vector<std::string>& branches);

/// The same for a branch that is to be added to a pool which is mounted: what is wrong, or nothing.
[[nodiscard]] std::string why_no_branch_with_trace(const std::string& trace,
                                                   const std::string& branch);

}  // namespace bough::cli
