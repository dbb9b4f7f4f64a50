#pragma once

#include <cstdint>

#include "ops/branch.hpp"
#include "ops/pool.hpp"

/// The option follow-symlinks. A symbolic link on a branch is shown as what it leads to there,
/// which may lie outside of all branches: a node of its own (NodeTable::count_followed()), whose
/// file is the target, verified at each use. What is done to the file is done to the target; what
/// is done to the name (UNLINK, RENAME), to the link.
///
/// The way is walked name by name with the rights of the link's owner, and no capabilities: whoever
/// can make a link in the pool shall not see through it what he could not reach without. It never
/// enters the pool itself, where its own process would wait for itself. What cannot be followed so,
/// for whatever reason, stays a link.
namespace bough::ops {

/// What a name is shown as.
struct Shown {
  FileStat stat;
  /// Of what the name, a symbolic link, leads to.
  bool followed = false;
};

/// What `name` in `directory`, of which `stat` was found, is shown as.
[[nodiscard]] Shown shown_as(Pool& pool, int directory, const char* name, const FileStat& stat);

/// O_PATH of what the symbolic link `name` in `directory` leads to. ENOENT, too: it is no link.
/// ELOOP, too: it leads into the pool.
[[nodiscard]] Result<Fd> follow_link(Pool& pool, int directory, const char* name);

/// The inode number of a target: that which it has under a name of its own, if it is on the file
/// system of a branch. `branch` is the link's.
[[nodiscard]] std::uint64_t number_on(const Pool& pool, const Branch& branch, const FileId& target);

}  // namespace bough::ops
