#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "ops/branch.hpp"
#include "ops/pool.hpp"

/// The option follow-symlinks. A symbolic link on a branch is shown as what it leads to outside of
/// all branches: a node of its own kind (NodeTable::count_followed()), that remembers which file or
/// directory that is, verified at each use. What is done to the file is done to the target; what is
/// done to the name (UNLINK, RMDIR, RENAME), to the link.
///
/// Only links of root's, or of the user's whom the daemon runs as, with an absolute text, and not
/// in a directory with the sticky bit, where natively a link is its owner's to remove. So who leads
/// where is the administrator's word alone, and the way is walked with the daemon's own rights.
/// Whether a caller may use the target is the kernel's to say, by the target's mode: nothing is
/// followed with the options uid, gid, umask and allow-idmap; and without posix-acl what has an ACL
/// is neither followed nor to be found below a followed directory. Which mounts a way may lead
/// into, and which places, is MountRules' to say. What cannot be followed, for whatever reason,
/// stays a link; so does every link below a followed directory.
///
/// A target file is one node whatever leads to it, on whatever branches. A followed directory is
/// its branch's alone: no other branch's directory is merged with it, and where a directory is what
/// is shown, no link of another branch takes part in it. Else who may write the one would act in
/// the other. It, and each directory below it, is part of paths as followed_path.hpp says: each
/// walk opens the link's way anew, and the directories that it comes to must be those that the
/// nodes are.
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

/// Why nothing is followed in this pool, whatever the option says; null: it is.
[[nodiscard]] const char* why_nothing_is_followed(const Pool& pool);

[[nodiscard]] inline bool follows_directories(const Settings& settings) noexcept {
  const FollowSymlinks which = settings.links.follow;
  return which == FollowSymlinks::kDirectory || which == FollowSymlinks::kAll;
}

/// The directory at a path for which is_followed(), on a branch. `flags` are open(2)'s. ESTALE: a
/// name on it leads elsewhere now, or is not followed any more. ELOOP, like the errors of
/// Branch::directory(): the branch does not have it, since the link is another's.
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

/// The inode number of what lies outside of the branches: the same by whatever link, and that which
/// it would have on a branch if it is on the file system of one. Else it is made of the device's
/// number, which may be another one after the next start of the machine.
[[nodiscard]] std::uint64_t number_outside(const Pool& pool, const FileId& target);
/// The inode number of a file in the directory `parent`, found on `branch`.
[[nodiscard]] std::uint64_t number_in(const Pool& pool, NodeId parent, const Branch& branch,
                                      const FileId& file);

}  // namespace bough::ops
