#include "ops/followed_link.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ops/credentials.hpp"
#include "ops/followed_path.hpp"
#include "ops/locate.hpp"
#include "ops/mount_rules.hpp"

namespace bough::ops {
namespace {

Result<std::string> text_of(Backing& backing, int link) {
  std::array<std::byte, PATH_MAX> text;
  const auto size = backing.readlink(link, text);
  if (!size) return size.error();
  if (*size == 0) return Errno{ENOENT};
  return std::string(reinterpret_cast<const char*>(text.data()), *size);
}

/// In such a directory a link is its owner's to remove, as natively; shown as what it leads to it
/// would be the target's owner's.
bool keeps_names(const FileStat& directory) noexcept {
  return (directory.mode & S_ISVTX) != 0;
}

/// Such a directory (/tmp) is open to all, so who leaves a link there may mean others to fall into
/// it: the rule of the sysctl protected_symlinks.
bool may_be_a_trap(const FileStat& directory, const FileStat& link) noexcept {
  constexpr std::uint32_t kOpenToAll = S_ISVTX | S_IWOTH;
  return (directory.mode & kOpenToAll) == kOpenToAll && link.uid != directory.uid;
}

/// Without posix-acl the kernel judges by the mode alone, which may grant the group what the ACL
/// does not. Outside of the branches nobody agreed to that.
bool judged_by_mode(const Pool& pool, int path_fd) {
  if (pool.settings.posix_acl) return true;
  const auto acl = pool.backing.get_xattr(path_fd, "system.posix_acl_access", {});
  return !acl && (acl.error() == Errno{ENODATA} || acl.error() == Errno{EOPNOTSUPP});
}

/// The way that one link of a branch leads, walked name by name with the rights of its owner. What
/// somebody else has a word in, another link's text or the names in a directory that is his, is
/// walked with his rights from there on if the way was root's before; else a link of another user,
/// who is not root, is its end.
class Way {
 public:
  Way(Pool& pool, Branch& branch) : pool_(pool), backing_(pool.backing), rules_(pool, branch) {}

  /// What the symbolic link `link` in `directory` leads to: O_PATH, on a mount where it may.
  Result<Fd> lead(int directory, int link, const FileStat& stat) {
    const auto where = backing_.stat(directory);
    if (!where) return where.error();
    if (keeps_names(*where)) return Errno{ELOOP};
    auto text = text_of(backing_, link);
    if (!text) return text.error();
    found_ = *where;
    auto reached = [&]() -> Result<Fd> {
      if (const auto as = act_as(stat.uid, stat.gid); !as) return as.error();
      return walk(directory, *std::move(text));
    }();
    guard_.reset();
    if (reached && !judged_by_mode(pool_, reached->get())) return Errno{ELOOP};
    return reached;
  }

 private:
  Result<void> act_as(std::uint32_t uid, std::uint32_t gid) {
    guard_.reset();
    guard_.emplace(pool_, uid, gid, std::nullopt, 0, CallerGuard::Purpose::kFollow);
    uid_ = uid;
    return guard_->ready();
  }
  Result<void> heed(std::uint32_t uid, std::uint32_t gid) {
    return uid_ == 0 && uid != 0 ? act_as(uid, gid) : Result<void>();
  }
  Result<void> go_to_root() {
    auto root = backing_.open_root("/");
    if (!root) return root.error();
    const auto stat = backing_.stat_unasked(root->get());
    if (!stat) return stat.error();
    reached_ = *std::move(root);
    found_ = *stat;
    return rules_.begin_at_root(reached_.get());
  }

  Result<Fd> walk(int directory, std::string path) {
    constexpr int kMostLinks = 40;
    if (path.front() == '/')
      if (const auto gone = go_to_root(); !gone) return gone.error();
    for (int links = 1;;) {
      path.erase(0, std::min(path.find_first_not_of('/'), path.size()));
      if (path.empty()) break;
      if (const auto heeded = heed(found_.uid, found_.gid); !heeded) return heeded.error();
      auto next = backing_.open_at(reached_ ? reached_.get() : directory, first_step(path).c_str(),
                                   O_PATH, 0);
      if (!next) return next;
      const auto stat = backing_.stat_unasked(next->get());
      if (!stat) return stat.error();
      if (const auto passed = rules_.pass(next->get(), *stat); !passed) return passed.error();
      if (!stat->is_symlink()) {
        reached_ = *std::move(next);
        found_ = *stat;
        continue;
      }
      if (++links > kMostLinks || may_be_a_trap(found_, *stat)) return Errno{ELOOP};
      if (stat->uid != 0 && stat->uid != uid_ && uid_ != 0) return Errno{ELOOP};
      if (const auto heeded = heed(stat->uid, stat->gid); !heeded) return heeded.error();
      auto text = text_of(backing_, next->get());
      if (!text) return text.error();
      if (text->front() == '/')
        if (const auto gone = go_to_root(); !gone) return gone.error();
      path.insert(0, *text);
    }
    if (!reached_) return Errno{ENOENT};
    if (const auto arrived = rules_.arrive(reached_.get(), found_); !arrived)
      return arrived.error();
    return std::move(reached_);
  }
  /// Takes it from `path`. A slash at the end asks for a directory.
  static std::string first_step(std::string& path) {
    const auto slash = path.find('/');
    std::string step = path.substr(0, slash);
    if (slash == std::string::npos)
      path.clear();
    else if (path.find_first_not_of('/', slash) == std::string::npos)
      path = "/.";
    else
      path.erase(0, slash);
    return step;
  }

  Pool& pool_;
  Backing& backing_;
  MountRules rules_;
  std::optional<CallerGuard> guard_;
  std::uint32_t uid_ = 0;
  /// Where the way has come to; nothing: where it began.
  Fd reached_;
  FileStat found_;
};

/// The walk of a pool path on a branch.
class PathWalk {
 public:
  PathWalk(Pool& pool, Branch& branch, int root)
      : pool_(pool), branch_(branch), rules_(pool, branch), root_(root) {}

  /// O_PATH; nothing for "".
  Result<Fd> down(std::string_view path) {
    const auto stat = pool_.backing.stat(root_);
    if (!stat) return stat.error();
    passed_.push_back(stat->id);
    Fd reached;
    while (!path.empty()) {
      const PathStep step = take_step(path);
      const int from = reached ? reached.get() : root_;
      auto next = step.followed == proto::kNoNode
                      ? plain(from, step.name.c_str())
                      : followed(from, step.name.c_str(), step.followed);
      if (!next) return next;
      reached = *std::move(next);
    }
    return reached;
  }

  [[nodiscard]] bool has_passed(const FileId& directory) const {
    return std::find(passed_.begin(), passed_.end(), directory) != passed_.end();
  }

 private:
  Result<Fd> plain(int from, const char* name) {
    auto next = pool_.backing.open_at(from, name, O_PATH, 0);
    if (!next) return next;
    const auto seen = pool_.backing.stat_unasked(next->get());
    if (!seen) return seen.error();
    if (seen->is_symlink()) return Errno{ELOOP};
    if (!seen->is_directory()) return Errno{ENOTDIR};
    if (below_link_)
      if (const auto allowed = rules_.arrive(next->get(), *seen); !allowed) return allowed.error();
    const auto stat = pool_.backing.stat(next->get());
    if (!stat) return stat.error();
    // A directory that the way comes to again: there would be no end.
    if (below_link_ && has_passed(stat->id)) return Errno{ELOOP};
    passed_.push_back(stat->id);
    return next;
  }

  /// The directory that the node is, or ESTALE.
  Result<Fd> followed(int from, const char* name, NodeId node) {
    const auto meant = pool_.nodes.followed_directory(node);
    if (!meant || meant->branch != branch_.id()) return Errno{ESTALE};
    auto target = follow_link(pool_, branch_, from, name);
    if (!target) return out_of_descriptors(target.error()) ? target.error() : Errno{ESTALE};
    const auto stat = pool_.backing.stat(target->get());
    if (!stat || stat->id != meant->file || !stat->is_directory()) return Errno{ESTALE};
    if (has_passed(stat->id)) return Errno{ESTALE};
    passed_.push_back(stat->id);
    below_link_ = true;
    return target;
  }
  static bool out_of_descriptors(Errno error) noexcept {
    return error == Errno{EMFILE} || error == Errno{ENFILE};
  }

  Pool& pool_;
  Branch& branch_;
  MountRules rules_;
  const int root_;
  bool below_link_ = false;
  std::vector<FileId> passed_;
};

bool is_asked_for(FollowSymlinks which, const FileStat& target) noexcept {
  switch (which) {
    case FollowSymlinks::kNever:
      return false;
    case FollowSymlinks::kDirectory:
      return target.is_directory();
    case FollowSymlinks::kRegular:
      return target.is_regular();
    case FollowSymlinks::kAll:
      break;
  }
  return true;
}

/// Not with other owners or modes than their own: what users may not use would be open to them,
/// outside of the branches, too. Nor where the kernel maps ids before it judges by them. Nor when
/// the pool's own device is not known.
bool may_follow(const Pool& pool) {
  const ShownAttributes& shown = pool.settings.shown;
  constexpr auto kAsTheyAre = ShownAttributes::kAsTheyAre;
  return shown.uid == kAsTheyAre && shown.gid == kAsTheyAre && shown.umask == kAsTheyAre &&
         !pool.settings.allow_idmap && pool.own_device().has_value();
}

/// The branch of the followed directories on a path: that of the last one, which is that of all.
/// Nothing: it is not known any more.
std::optional<BranchId> branch_of(const Pool& pool, std::string_view path) {
  NodeId last = proto::kNoNode;
  while (!path.empty())
    if (const PathStep step = take_step(path); step.followed != proto::kNoNode)
      last = step.followed;
  const auto meant = pool.nodes.followed_directory(last);
  return meant ? std::optional(meant->branch) : std::nullopt;
}

}  // namespace

Result<Fd> follow_link(Pool& pool, Branch& branch, int directory, const char* name) {
  if (!may_follow(pool)) return Errno{ELOOP};
  return open_with_relief(pool, [&]() -> Result<Fd> {
    const auto link = pool.backing.open_at(directory, name, O_PATH, 0);
    if (!link) return link.error();
    const auto stat = pool.backing.stat_unasked(link->get());
    if (!stat) return stat.error();
    if (!stat->is_symlink()) return Errno{ENOENT};
    return Way(pool, branch).lead(directory, link->get(), *stat);
  });
}

Result<Fd> follow_path(Pool& pool, Branch& branch, std::string_view path, int flags) {
  const auto owner = branch_of(pool, path);
  if (!owner) return Errno{ESTALE};
  if (*owner != branch.id()) return Errno{ELOOP};
  if (!follows_directories(pool.settings)) return Errno{ESTALE};
  const auto root = branch.root();
  if (!root) return root.error();
  return open_with_relief(pool, [&]() -> Result<Fd> {
    auto reached = PathWalk(pool, branch, root->fd()).down(path);
    if (!reached || flags == O_PATH) return reached;
    return pool.backing.reopen(reached->get(), flags | O_DIRECTORY);
  });
}

Result<FileStat> stat_name(Pool& pool, Branch& branch, std::string_view path, int directory,
                           const char* name) {
  if (!is_followed(path)) return pool.backing.stat_at(directory, name);
  const auto file =
      open_with_relief(pool, [&] { return pool.backing.open_at(directory, name, O_PATH, 0); });
  if (!file) return file.error();
  const auto here = pool.backing.mount_id(directory);
  const auto there = pool.backing.mount_id(file->get());
  if (!here || !there || *here != *there) {
    const auto seen = pool.backing.stat_unasked(file->get());
    if (!seen) return seen.error();
    MountRules rules(pool, branch);
    if (const auto allowed = rules.arrive(file->get(), *seen); !allowed) return allowed.error();
  }
  const auto stat = pool.backing.stat(file->get());
  if (stat && !stat->is_symlink() && !judged_by_mode(pool, file->get())) return Errno{ELOOP};
  return stat;
}

std::shared_ptr<const BranchSet> branches_of(Pool& pool, std::string_view path) {
  auto set = pool.branches.snapshot();
  if (!is_followed(path)) return set;
  const auto owner = branch_of(pool, path);
  std::vector<Member> members;
  for (std::size_t i = 0; i < set->size(); ++i)
    if (owner && (*set)[i].id() == *owner) members.push_back(set->member(i));
  return std::make_shared<const BranchSet>(members, std::vector<Member>(), set->serial());
}

Shown shown_as(Pool& pool, Branch& branch, std::string_view path, int directory, const char* name,
               const FileStat& stat) {
  const FollowSymlinks which = pool.settings.links.follow;
  if (which == FollowSymlinks::kNever || !stat.is_symlink()) return {stat, false};
  const auto target = follow_link(pool, branch, directory, name);
  if (!target) return {stat, false};
  const auto found = pool.backing.stat(target->get());
  if (!found || !is_asked_for(which, *found)) return {stat, false};
  if (found->is_directory()) {
    const auto root = branch.root();
    if (!root) return {stat, false};
    PathWalk walk(pool, branch, root->fd());
    if (!walk.down(path) || walk.has_passed(found->id)) return {stat, false};
  }
  return {*found, true};
}

std::uint64_t number_on(const Pool& pool, const Branch& branch, const FileId& target) {
  if (target.device == branch.device()) return branch.user_ino(target);
  const auto set = pool.branches.snapshot();
  for (const auto& other : *set)
    if (other->device() == target.device) return other->user_ino(target);
  return branch.user_ino(target);
}

}  // namespace bough::ops
