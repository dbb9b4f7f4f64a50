#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "cli/configuration.hpp"

namespace bough::cli {

/// Whether the disk of a branch is there. The first of these decides: the branch has the xattr
/// user.mergerfs.branch (or user.boughfs.branch) or an entry .mergerfs.branch (.boughfs.branch): it
/// is; the xattr ….branch_mounts_here or such an entry: it is not; else it is if it lies on another
/// device than the mount point, whose st_dev is `under`. A directory that does not exist is not
/// there.
[[nodiscard]] bool is_mounted(const std::string& branch, dev_t under);

/// With branches-mount-timeout: runs mount(8) once for each branch whose disk is not there, and
/// waits until all are, as long as that option says. The directories that the branch list names by
/// then. What is still missing is a StartError with branches-mount-timeout-fail, else a line for
/// `warn`; a list that names nothing (branch_directories()) is one in any case. Without that option
/// the same as branch_directories().
[[nodiscard]] std::vector<std::string> await_branches(
    const Configuration& config, const std::function<void(const std::string&)>& warn);

}  // namespace bough::cli
