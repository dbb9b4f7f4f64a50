#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "ops/branch.hpp"
#include "ops/pool.hpp"

/// The option follow-symlinks. A symbolic link on a branch is shown as what it leads to there,
/// which may lie outside of all branches: a node of its own (NodeTable::count_followed()), that
/// remembers which file or directory that is, verified at each use. What is done to the file is
/// done to the target; what is done to the name (UNLINK, RMDIR, RENAME), to the link.
///
/// The way is walked name by name with the rights of the link's owner, and no capabilities: whoever
/// can make a link in the pool shall not see through it what he could not reach without. Whether a
/// caller may use the target is the kernel's to say, by the target's mode: nothing is followed with
/// the options uid, gid, umask and allow-idmap; and without posix-acl what has an ACL is neither
/// followed nor to be found below a followed directory. Which mounts a way may lead into is
/// MountRules' to say. A link in a directory with the sticky bit is not followed: natively its
/// owner alone may remove it. What cannot be followed, for whatever reason, stays a link.
///
/// A followed directory is its branch's alone: no other branch's directory is merged with it, and
/// where a directory is what is shown, no link of another branch takes part in it. Else who may
/// write the one would act in the other. It is part of paths as followed_path.hpp says: each walk
/// opens the link's way anew, and the directory that it comes to must be the one that the node is.
/// Below it links count by their own owners again.
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

/// The directory at a path for which is_followed(), on a branch. `flags` are open(2)'s. ESTALE: a
/// link on it leads elsewhere now, or is not followed any more. ELOOP, like the errors of
/// Branch::directory(): the branch does not have it, since the link is another's, or since it leads
/// to where the path comes from, so that there would be no end.
[[nodiscard]] Result<Fd> follow_path(Pool& pool, Branch& branch, std::string_view path, int flags);

/// O_PATH of what the symbolic link `name` in `directory`, on `branch`, leads to. ENOENT, too: it
/// is no link.
[[nodiscard]] Result<Fd> follow_link(Pool& pool, Branch& branch, int directory, const char* name);

/// Backing::stat_at() of a name in the directory `path`. Below a followed link no server of another
/// file system is asked (ELOOP): it may be the one who waits for this. ELOOP, too: it has an ACL.
[[nodiscard]] Result<FileStat> stat_name(Pool& pool, Branch& branch, std::string_view path,
                                         int directory, const char* name);

/// The branches that take part in a directory: the pool's, but of a followed directory, and what is
/// below one, the link's alone. None where that is not known any more.
[[nodiscard]] std::shared_ptr<const BranchSet> branches_of(Pool& pool, std::string_view path);

/// The inode number of a target: that which it has under a name of its own, if it is on the file
/// system of a branch. `branch` is the link's.
[[nodiscard]] std::uint64_t number_on(const Pool& pool, const Branch& branch, const FileId& target);

}  // namespace bough::ops
