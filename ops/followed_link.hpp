#pragma once

#include <cstdint>
#include <string_view>

#include "ops/branch.hpp"
#include "ops/pool.hpp"

/// The option follow-symlinks. A symbolic link on a branch is shown as what it leads to there,
/// which may lie outside of all branches: a node of its own (NodeTable::count_followed()), whose
/// file is the target, verified at each use. What is done to the file is done to the target; what
/// is done to the name (UNLINK, RENAME), to the link.
///
/// The way is walked name by name with the rights of the link's owner, and no capabilities: whoever
/// can make a link in the pool shall not see through it what he could not reach without. Whether a
/// caller may use the target is the kernel's to say, by the target's mode: nothing is followed with
/// the options uid, gid and umask, nor to file systems that judge by more (/proc). The way never
/// enters the pool itself, where its own process would wait for itself. What cannot be followed so,
/// for whatever reason, stays a link.
///
/// A link to a directory is that directory in every path (open_directory()): what is made, moved
/// and removed in it is so in the target. Below it links count by their own owners again, and the
/// kernel checks everybody's rights by what it is shown of each directory.
namespace bough::ops {

/// What a name is shown as.
struct Shown {
  FileStat stat;
  /// Of what the name, a symbolic link, leads to.
  bool followed = false;
};

/// What `name` in the directory `path` on `branch`, open as `directory`, is shown as. `stat` is
/// what was found of it.
[[nodiscard]] Shown shown_as(Pool& pool, Branch& branch, std::string_view path, int directory,
                             const char* name, const FileStat& stat);

[[nodiscard]] inline bool follows_directories(const Settings& settings) noexcept {
  const FollowSymlinks which = settings.links.follow;
  return which == FollowSymlinks::kDirectory || which == FollowSymlinks::kAll;
}

/// The directory at a pool path on a branch, some of whose names are links there. `flags` are
/// open(2)'s. ELOOP: the branch does not have it, a link cannot be followed, or it leads to where
/// the path comes from, so that there would be no end.
[[nodiscard]] Result<Fd> follow_path(Pool& pool, Branch& branch, std::string_view path, int flags);

/// O_PATH of what the symbolic link `name` in `directory` leads to. ENOENT, too: it is no link.
/// ELOOP, too: it leads into the pool.
[[nodiscard]] Result<Fd> follow_link(Pool& pool, int directory, const char* name);

/// The inode number of a target: that which it has under a name of its own, if it is on the file
/// system of a branch. `branch` is the link's.
[[nodiscard]] std::uint64_t number_on(const Pool& pool, const Branch& branch, const FileId& target);

}  // namespace bough::ops
