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

#include "ops/followed_path.hpp"
#include "ops/hash.hpp"
#include "ops/inode_number.hpp"
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

/// Root, and whom the daemon runs as: they say where links lead.
bool is_trusted(const Pool& pool, const FileStat& stat) noexcept {
  return stat.uid == 0 || stat.uid == pool.own.uid;
}

/// Without posix-acl the kernel judges by the mode alone, which may grant the group what the ACL
/// does not. Outside of the branches nobody agreed to that. A default ACL is one for all that
/// comes.
bool judged_by_mode(const Pool& pool, int path_fd) {
  if (pool.settings.posix_acl) return true;
  const auto has_none = [&](const char* name) {
    const auto acl = pool.backing.get_xattr(path_fd, name, {});
    return !acl && (acl.error() == Errno{ENODATA} || acl.error() == Errno{EOPNOTSUPP});
  };
  return has_none("system.posix_acl_access") && has_none("system.posix_acl_default");
}

/// The way that a link leads, walked name by name. A link on it counts only if nobody else than who
/// is trusted may have put it there.
class Way {
 public:
  Way(Pool& pool, MountRules& rules) : pool_(pool), backing_(pool.backing), rules_(rules) {}

  /// To the end of a text: O_PATH, in a place where it may be.
  Result<Fd> walk(std::string path) {
    constexpr int kMostLinks = 40;
    if (path.front() != '/') return Errno{ELOOP};
    if (const auto gone = go_to_root(); !gone) return gone.error();
    for (int links = 1;;) {
      path.erase(0, std::min(path.find_first_not_of('/'), path.size()));
      if (path.empty()) break;
      auto next = backing_.open_at(reached_.get(), first_step(path).c_str(), O_PATH, 0);
      if (!next) return next;
      const auto stat = backing_.stat_unasked(next->get());
      if (!stat) return stat.error();
      if (const auto passed = rules_.pass(next->get(), *stat); !passed) return passed.error();
      if (!stat->is_symlink()) {
        reached_ = *std::move(next);
        found_ = *stat;
        continue;
      }
      if (++links > kMostLinks || !counts(*stat)) return Errno{ELOOP};
      const auto text = text_of(backing_, next->get());
      if (!text) return text.error();
      if (text->front() == '/')
        if (const auto gone = go_to_root(); !gone) return gone.error();
      path.insert(0, *text);
    }
    if (const auto arrived = rules_.arrive(reached_.get(), found_); !arrived)
      return arrived.error();
    if (rules_.may_be_in_a_branch(found_) || !judged_by_mode(pool_, reached_.get()))
      return Errno{ELOOP};
    return std::move(reached_);
  }

 private:
  /// A link in the directory that the way has come to. What an ACL grants shows in the group's
  /// bits.
  [[nodiscard]] bool counts(const FileStat& link) const noexcept {
    return is_trusted(pool_, link) && is_trusted(pool_, found_) &&
           (found_.mode & (S_IWGRP | S_IWOTH)) == 0;
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
  MountRules& rules_;
  /// Where the way has come to.
  Fd reached_;
  FileStat found_;
};

/// follow_link() by rules that go on to be used for what is below.
Result<Fd> lead(Pool& pool, MountRules& rules, int directory, const char* name) {
  Backing& backing = pool.backing;
  const auto link = backing.open_at(directory, name, O_PATH, 0);
  if (!link) return link.error();
  const auto stat = backing.stat_unasked(link->get());
  if (!stat) return stat.error();
  if (!stat->is_symlink()) return Errno{ENOENT};
  const auto where = backing.stat(directory);
  if (!where) return where.error();
  if (!is_trusted(pool, *stat) || (where->mode & S_ISVTX) != 0) return Errno{ELOOP};
  auto text = text_of(backing, link->get());
  if (!text) return text.error();
  return Way(pool, rules).walk(*std::move(text));
}

bool may_follow(Pool& pool) {
  const char* const why = why_nothing_is_followed(pool);
  if (why == nullptr) return true;
  if (!pool.told_why_nothing_is_followed.exchange(true))
    pool.complain(std::string("follow-symlinks follows nothing: ") + why);
  return false;
}

/// The branch of a path for which is_followed(). Nothing: it is not known any more.
std::optional<BranchId> branch_of(const Pool& pool, std::string_view path) {
  while (!path.empty())
    if (const PathStep step = take_step(path); step.followed != proto::kNoNode) {
      const auto meant = pool.nodes.followed_directory(step.followed);
      return meant ? std::optional(meant->branch) : std::nullopt;
    }
  return std::nullopt;
}

/// ESTALE in place of what says that the name leads to something else, or to nothing.
Errno as_elsewhere(Errno error) noexcept {
  return means_absent(error) ? Errno{ESTALE} : error;
}

/// Down a path for which is_followed(), on the branch of its link: O_PATH.
Result<Fd> walk_down(Pool& pool, Branch& branch, std::string_view path) {
  const std::string_view plain = plain_part(path);
  path.remove_prefix(plain.empty() ? 0 : plain.size() + 1);
  const auto top = plain.empty() ? branch.root() : branch.directory(plain);
  if (!top) return top.error();
  MountRules rules(pool, branch);
  Fd reached;
  while (!path.empty()) {
    const PathStep step = take_step(path);
    const auto meant = pool.nodes.followed_directory(step.followed);
    if (!meant || meant->branch != branch.id()) return Errno{ESTALE};
    // Only the first one is a link.
    auto next = reached ? pool.backing.open_at(reached.get(), step.name.c_str(), O_PATH, 0)
                        : lead(pool, rules, top->fd(), step.name.c_str());
    if (!next) return as_elsewhere(next.error());
    const auto seen = pool.backing.stat_unasked(next->get());
    if (!seen) return seen.error();
    if (const auto allowed = rules.arrive(next->get(), *seen); !allowed)
      return as_elsewhere(allowed.error());
    const auto stat = pool.backing.stat(next->get());
    if (!stat) return stat.error();
    if (stat->id != meant->file || !stat->is_directory()) return Errno{ESTALE};
    if (!judged_by_mode(pool, next->get())) return Errno{ESTALE};
    reached = *std::move(next);
  }
  return reached;
}

bool is_asked_for(FollowSymlinks which, const FileStat& target) noexcept {
  switch (which) {
    case FollowSymlinks::kNever:
      return false;
    case FollowSymlinks::kDirectory:
      return target.is_directory();
    case FollowSymlinks::kRegular:
      return target.is_regular();
    case FollowSymlinks::kAll:
      // Whoever uses another kind (a socket, a pipe) by the link means the one outside.
      return target.is_regular() || target.is_directory();
  }
  return false;
}

/// The sticky bit of a directory keeps a name for its owner. The kernel would go by the owner of
/// what the link leads to, and by the copy of the directory that is shown.
bool keeps_names(Pool& pool, const Branch& but, std::string_view path) {
  const auto set = pool.branches.snapshot();
  for (const auto& branch : *set) {
    if (branch->id() == but.id() || branch->absent()) continue;
    const auto directory = open_directory(pool, *branch, path);
    if (!directory) continue;
    const auto stat = pool.backing.stat(directory->fd());
    if (stat && (stat->mode & S_ISVTX) != 0) return true;
  }
  return false;
}

}  // namespace

/// Why nothing is followed; null: nothing stands against it. Not with other owners or modes than
/// their own: what users may not use would be open to them, outside of the branches, too. Nor where
/// the kernel maps ids before it judges by them. Nor when the pool's own device is not known.
const char* why_nothing_is_followed(const Pool& pool) {
  const ShownAttributes& shown = pool.settings.shown;
  constexpr auto kAsTheyAre = ShownAttributes::kAsTheyAre;
  if (pool.settings.allow_idmap) return "allow-idmap is on";
  if (shown.uid != kAsTheyAre || shown.gid != kAsTheyAre || shown.umask != kAsTheyAre)
    return "uid, gid or umask is set";
  return pool.own_device().has_value() ? nullptr : "the pool does not find its own mount";
}

Result<Fd> follow_link(Pool& pool, Branch& branch, int directory, const char* name) {
  if (!may_follow(pool)) return Errno{ELOOP};
  return open_with_relief(pool, [&] {
    MountRules rules(pool, branch);
    return lead(pool, rules, directory, name);
  });
}

Result<Fd> follow_path(Pool& pool, Branch& branch, std::string_view path, int flags) {
  const auto owner = branch_of(pool, path);
  if (!owner) return Errno{ESTALE};
  if (*owner != branch.id()) return Errno{ELOOP};
  if (!follows_directories(pool.settings) || !may_follow(pool)) return Errno{ESTALE};
  return open_with_relief(pool, [&]() -> Result<Fd> {
    auto reached = walk_down(pool, branch, path);
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
    if (const auto allowed = rules.arrive(file->get(), *seen); !allowed)
      return allowed.error() == Errno{ELOOP} ? Errno{EACCES} : allowed.error();
  }
  const auto stat = pool.backing.stat(file->get());
  if (stat && !stat->is_symlink() && !judged_by_mode(pool, file->get())) return Errno{EACCES};
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
  if (which == FollowSymlinks::kNever || !stat.is_symlink() || is_followed(path))
    return {stat, false};
  const auto target = follow_link(pool, branch, directory, name);
  if (!target) return {stat, false};
  const auto found = pool.backing.stat(target->get());
  if (!found || !is_asked_for(which, *found) || keeps_names(pool, branch, path))
    return {stat, false};
  return {*found, true};
}

std::uint64_t number_outside(const Pool& pool, const FileId& target) {
  const auto set = pool.branches.snapshot();
  for (const auto& branch : *set)
    if (branch->device() == target.device) return branch->user_ino(target);
  return inode_ino(mix_hash(target.device), target.ino);
}

std::uint64_t number_in(const Pool& pool, NodeId parent, const Branch& branch, const FileId& file) {
  const bool outside =
      pool.settings.links.follow != FollowSymlinks::kNever && pool.nodes.followed_directory(parent);
  return outside ? number_outside(pool, file) : branch.user_ino(file);
}

}  // namespace bough::ops
