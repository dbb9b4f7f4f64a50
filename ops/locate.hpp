#pragma once

#include <cerrno>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <vector>

#include "ops/pool.hpp"
#include "proto/filesystem.hpp"
#include "proto/name.hpp"

namespace bough::ops {

using proto::Context;
using proto::Name;

/// NAME_MAX: no local file system keeps longer names, and no node has room for one.
inline constexpr std::size_t kNameMax = 255;

/// Lets go of every descriptor that can be opened again (branches' roots, idle listings) and counts
/// the shortage. Takes the locks of directory handles only where they are free.
void relieve_descriptors(Pool& pool) noexcept;

/// Makes a call that opens something; when descriptors have run out (EMFILE, ENFILE), once more
/// after relieve_descriptors().
template <class Call>
auto open_with_relief(Pool& pool, Call call) -> decltype(call()) {
  auto first = call();
  if (first || (first.error() != Errno{EMFILE} && first.error() != Errno{ENFILE})) return first;
  relieve_descriptors(pool);
  return call();
}

/// The directory `path` on `branch`, O_PATH, with relief; where is_followed(path), as
/// follow_path().
[[nodiscard]] Result<DirRef> open_directory(Pool& pool, Branch& branch, std::string_view path);
/// The same, readable.
[[nodiscard]] Result<Fd> open_readable_directory(Pool& pool, Branch& branch, std::string_view path);

/// The same as it was lately (see DirectoryCache), for looking up what is verified or merely shown.
[[nodiscard]] Result<DirRef> recent_directory(Pool& pool, Branch& branch, std::string_view path);

/// A directory node's path. ENOTDIR: it is a file. ENOENT: no name leads to it any more, since it
/// was removed. ESTALE: the node is not known, or its name, which was a link or lies below one,
/// leads elsewhere now.
[[nodiscard]] Result<void> directory_path(Pool& pool, NodeId directory, PathText& into);

/// One copy of a name: the branch that has it, its parent directory there, and its attributes.
struct Copy {
  std::shared_ptr<const BranchSet> set;
  std::size_t index = 0;
  DirRef parent;
  FileStat stat;
  [[nodiscard]] Branch& branch() const { return (*set)[index]; }
};

/// The errno for a policy's refusal (EROFS, ENOSPC, ENOENT).
[[nodiscard]] Errno refusal_errno(policy::Refusal why) noexcept;

/// Whether an errno of reaching a path on a branch only says that the branch does not have it
/// (ENOENT, ENOTDIR, ELOOP: the pool's directory is something else there).
[[nodiscard]] bool means_absent(Errno error) noexcept;

/// The copy of `name` in the directory `path` that users see (shown_copy.hpp); one stat serves
/// search and answer. ENOENT when no branch has it; another errno when a branch that had to be
/// asked failed. `parent` is the directory's node.
[[nodiscard]] Result<Copy> find_copy(Pool& pool, NodeId parent, std::string_view path, Name name);

/// Every branch on which the directory `path` exists, in list order, for reading it.
struct DirectoryCopy {
  std::size_t index = 0;
  DirRef directory;
  FileStat stat;
};
[[nodiscard]] Result<std::vector<DirectoryCopy>> find_directory_copies(Pool& pool,
                                                                       const BranchSet& set,
                                                                       std::string_view path);

/// A node's own file, reached and verified: an O_PATH descriptor of exactly the inode that the node
/// is (or of the first copy of the directory that the search policy chooses).
struct NodeFile {
  Fd own;
  std::shared_ptr<const Fd> shared;
  DirRef directory;
  FileStat stat;
  BranchId branch = kNoBranch;
  /// NodeView::ino.
  std::uint64_t ino = 0;
  /// NodeView::link. The attributes are the file's own.
  bool link = false;
  /// NodeView::followed: copies of its path on other branches are no copies of it.
  bool followed = false;
  [[nodiscard]] int fd() const noexcept {
    if (directory) return directory.fd();
    return shared ? shared->get() : own.get();
  }
};

/// Goes by the last used name, then the node's other names, verifying the identity on the branch,
/// then by the descriptor that is kept of an unlinked one. ESTALE: the node is unknown, or no way
/// leads to its file any more (the kernel then looks the name up again).
[[nodiscard]] Result<NodeFile> reach(Pool& pool, NodeId node);

/// The same, and as the last way an open handle of the file: for what a program does with a
/// descriptor (fstat, fchmod, fsetxattr) on a file that was replaced behind the pool. The kernel
/// names only the node then. Not for open(2) by a name, which is to find the new file.
[[nodiscard]] Result<NodeFile> reach_open(Pool& pool, NodeId node);

/// A node's file, opened by one of its names and verified.
struct OpenFile {
  Fd fd;
  FileStat stat;
  BranchId branch = kNoBranch;
};

/// In one step, on local file systems, without O_TRUNC or O_CREAT in `flags`. Any failure (ESTALE:
/// no name leads to the file now; EAGAIN: it has a lease) only means that reach() has to be asked:
/// O_NONBLOCK is added, against what may have come in its place.
[[nodiscard]] Result<OpenFile> open_by_name(Pool& pool, NodeId node, int flags);

/// Only the attributes, without opening anything where a stat by name will do: of a file that is
/// shown as a link, the link's. `ino` is NodeView's.
[[nodiscard]] Result<FileStat> stat_node(Pool& pool, NodeId node, std::uint64_t& ino,
                                         BranchId& branch);

/// What a change of attributes acts on: the node's own file (`own`, unless its branch is read-only
/// and it is a directory) and the other copies of the same pool path and type that the action
/// policy chooses. Copies count as one file for its users: the own file decides about success.
struct Subject {
  NodeFile own;
  bool change_own = true;
  std::vector<NodeFile> others;

  /// Calls `change` (Result<void>(NodeFile&)) for the deciding file and, if that went well, for the
  /// rest.
  template <class Change>
  Result<void> apply(Change change) {
    NodeFile& first = change_own ? own : others.front();
    if (const auto done = change(first); !done) return done.error();
    for (NodeFile& other : others)
      if (&other != &first) (void)change(other);
    return {};
  }
};

/// Before find_subject(), and until the change is made: for a directory no copy is made meanwhile.
[[nodiscard]] std::unique_lock<std::mutex> hold_copies(Pool& pool, NodeId node);

/// EROFS: the node's file, or every copy of a directory, is on read-only branches, or the policy of
/// `function` is erofs. Else as reach_open().
[[nodiscard]] Result<Subject> find_subject(Pool& pool, NodeId node, ActionFunction function);
/// The same where another copy than the node's own file decides: `own`.
[[nodiscard]] Result<Subject> find_subject(Pool& pool, NodeId node, ActionFunction function,
                                           Result<NodeFile> own);

/// Whether the branch may be changed; one that left the pool while files are open on it, as it was.
[[nodiscard]] bool writable(Pool& pool, BranchId branch);

/// Notes the branch in the trace line of the request, if one is written.
void note_branch(const Context& context, const Branch& branch);
void note_branch(const Context& context, const Pool& pool, BranchId branch);

}  // namespace bough::ops
