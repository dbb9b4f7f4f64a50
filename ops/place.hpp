#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "ops/locate.hpp"
#include "ops/pool_facts.hpp"

/// What the operations that make, move and remove names share.
namespace bough::ops {

/// What kept a branch from saying whether it has the directory or name in question. A branch whose
/// disk is gone (ESTALE from its root) takes no part and is no error; below a followed link there
/// is no other branch to go on with, so that ESTALE is one.
[[nodiscard]] std::optional<Errno> unanswered(const PoolFacts& facts) noexcept;

/// A name that is there already.
struct Existing {
  std::size_t branch = 0;
  FileStat stat;
};

/// The first copy of the new name `name` in the directory that `facts` are about, on any branch;
/// nobody is asked if the kernel's LOOKUP found none just now (FreeNames). An error: a branch could
/// not be asked, so that nobody can say the name is free.
[[nodiscard]] Result<std::optional<Existing>> find_existing(Pool& pool, const Context& context,
                                                            PoolFacts& facts, Name name);

/// The directory `path` on branch `index` of `set`, cloned each component from the copy that the
/// search chooses where it is missing. `facts` are about `path`.
[[nodiscard]] Result<DirRef> reach_or_clone(Pool& pool, const BranchSet& set, std::size_t index,
                                            std::string_view path, PoolFacts& facts);

/// The same where it is known to be missing, or was a moment ago.
[[nodiscard]] Result<DirRef> clone_parents(Pool& pool, const BranchSet& set, std::size_t index,
                                           std::string_view path);

/// The directory `path` on branch `index` of `set`, for what comes from another branch: cloned
/// where it is missing, and then the way to it is on the disk.
[[nodiscard]] Result<DirRef> reach_or_clone_synced(Pool& pool, const BranchSet& set,
                                                   std::size_t index, const std::string& path);

/// For a file that stays on its branch (LINK, RENAME): EXDEV when something that is no directory
/// stands in the way there. mv(1) and cp(1) then copy the file to another branch.
[[nodiscard]] Result<DirRef> or_exdev(Result<DirRef> reached);

/// Whether LINK and RENAME leave it at the directories that a branch has (EXDEV where one is
/// missing): the create policy is one that preserves paths, so mv(1) shall choose a branch by it.
[[nodiscard]] bool keeps_to_paths(const Pool& pool) noexcept;

/// Whether an error may come from what a directory lately was.
[[nodiscard]] bool may_be_misled(Errno error) noexcept;

/// Makes an attempt (Result<void>(Directories, bool& acted)) that looks names up in directories as
/// they were lately. If these misled it before it changed anything, another one that looks at
/// everything as it is now.
template <class Attempt>
Result<void> as_lately_or_now(Attempt attempt) {
  bool acted = false;
  auto done = attempt(PoolFacts::Directories::kRecent, acted);
  if (done || acted || !may_be_misled(done.error())) return done;
  return attempt(PoolFacts::Directories::kNow, acted);
}

/// After an EROFS from branch `index`: demotes it if its file system says that it is read-only now,
/// or takes nothing at all. (After an error ext4 refuses every change, and since Linux 6.12 its
/// statfs(2) does not tell. Something else that is mounted inside the branch may be meant as well.)
void demote_if_read_only(Pool& pool, const BranchSet& set, std::size_t index);

/// Before copies of a name go: may those stay that the action policy did not choose? Hidden ones on
/// read-only branches may. Not the copy that users see, `shown` (EROFS: they would be told that it
/// went), nor one whose branch could not be asked (its errno). `facts` are about the name.
[[nodiscard]] Result<void> may_leave_others(PoolFacts& facts, const policy::Choice& chosen,
                                            std::size_t shown);

/// Whether the directory `name` in `parent` holds nothing.
[[nodiscard]] Result<bool> is_empty_directory(Pool& pool, int parent, const char* name);

/// An O_PATH descriptor of `name` in `parent`, taken before the name goes, if it is the file
/// `expected`. Empty otherwise; a failure is counted, and fails nothing.
[[nodiscard]] std::shared_ptr<Fd> pin_victim(Pool& pool, int parent, const char* name,
                                             const FileId& expected);

/// What changed in a directory (O_PATH will do) reaches the disk. Some file systems have no such
/// call for directories, and write them at once or not at all.
[[nodiscard]] Result<void> sync_directory(Pool& pool, int directory);

/// Takes back a name that was just made, unless the operation came to its end. Lives no longer than
/// the descriptor of the name's directory.
class UndoName {
 public:
  UndoName(Backing& backing, int parent, const char* name, bool directory) noexcept
      : backing_(backing), parent_(parent), name_(name), directory_(directory) {}
  ~UndoName();
  UndoName(const UndoName&) = delete;
  UndoName& operator=(const UndoName&) = delete;
  void dismiss() noexcept { name_ = nullptr; }

 private:
  Backing& backing_;
  int parent_;
  const char* name_;
  bool directory_;
};

}  // namespace bough::ops
