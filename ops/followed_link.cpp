#include "ops/followed_link.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ops/credentials.hpp"
#include "ops/locate.hpp"
#include "ops/rename_exdev.hpp"

namespace bough::ops {
namespace {

Result<std::string> text_of(Backing& backing, int link) {
  std::array<std::byte, PATH_MAX> text;
  const auto size = backing.readlink(link, text);
  if (!size) return size.error();
  if (*size == 0) return Errno{ENOENT};
  return std::string(reinterpret_cast<const char*>(text.data()), *size);
}

/// Not the kernel's own file systems, which judge who opens a file by more than its mode: they
/// would show the daemon what they do not show its users. None of them has a device.
bool judges_by_modes(Backing& backing, int path_fd, const FileStat& stat) {
  constexpr auto kOwnJudges = std::to_array<std::uint64_t>({PROC_SUPER_MAGIC,
                                                            SYSFS_MAGIC,
                                                            DEBUGFS_MAGIC,
                                                            TRACEFS_MAGIC,
                                                            SECURITYFS_MAGIC,
                                                            SELINUX_MAGIC,
                                                            SMACK_MAGIC,
                                                            CGROUP_SUPER_MAGIC,
                                                            CGROUP2_SUPER_MAGIC,
                                                            BPF_FS_MAGIC,
                                                            PSTOREFS_MAGIC,
                                                            EFIVARFS_MAGIC,
                                                            DEVPTS_SUPER_MAGIC,
                                                            NSFS_MAGIC,
                                                            BINFMTFS_MAGIC,
                                                            ANON_INODE_FS_MAGIC,
                                                            SOCKFS_MAGIC,
                                                            PIPEFS_MAGIC,
                                                            0x62656570 /* configfs */,
                                                            0x19800202 /* mqueue */});
  if (major(stat.id.device) != 0) return true;
  const auto fs = backing.statfs(path_fd);
  return fs && std::find(kOwnJudges.begin(), kOwnJudges.end(), fs->type) == kOwnJudges.end();
}

/// Walks a path from `directory` on, links in it included. Calls nothing but Backing.
Result<Fd> walk(Backing& backing, int directory, std::string path, std::uint64_t own_device) {
  constexpr int kMostLinks = 40;
  Fd reached;
  FileStat found;
  const auto go_to_root = [&]() -> Result<void> {
    auto root = backing.open_root("/");
    if (!root) return root.error();
    const auto stat = backing.stat_unasked(root->get());
    if (!stat) return stat.error();
    reached = *std::move(root);
    found = *stat;
    return {};
  };
  if (path.front() == '/')
    if (const auto gone = go_to_root(); !gone) return gone.error();
  for (int links = 1;;) {
    path.erase(0, std::min(path.find_first_not_of('/'), path.size()));
    if (path.empty()) break;
    const auto slash = path.find('/');
    const std::string step = path.substr(0, slash);
    // A slash at the end asks for a directory.
    if (slash == std::string::npos)
      path.clear();
    else if (path.find_first_not_of('/', slash) == std::string::npos)
      path = "/.";
    else
      path.erase(0, slash);
    auto next = backing.open_at(reached ? reached.get() : directory, step.c_str(), O_PATH, 0);
    if (!next) return next;
    const auto stat = backing.stat_unasked(next->get());
    if (!stat) return stat.error();
    if (stat->id.device == own_device) return Errno{ELOOP};
    if (!stat->is_symlink()) {
      reached = *std::move(next);
      found = *stat;
      continue;
    }
    if (++links > kMostLinks) return Errno{ELOOP};
    auto text = text_of(backing, next->get());
    if (!text) return text.error();
    if (text->front() == '/')
      if (const auto gone = go_to_root(); !gone) return gone.error();
    path.insert(0, *text);
  }
  if (!reached) return Errno{ENOENT};
  if (!judges_by_modes(backing, reached.get(), found)) return Errno{ELOOP};
  return reached;
}

/// What the symbolic link `link` in `directory` leads to, for its owner.
Result<Fd> target_of(Pool& pool, int directory, int link, const FileStat& stat,
                     std::uint64_t own_device) {
  auto text = text_of(pool.backing, link);
  if (!text) return text.error();
  const CallerGuard guard(pool, stat.uid, stat.gid, std::nullopt, 0, CallerGuard::Purpose::kFollow);
  if (const auto ready = guard.ready(); !ready) return ready.error();
  return walk(pool.backing, directory, *std::move(text), own_device);
}

/// The walk of a pool path on a branch.
class PathWalk {
 public:
  PathWalk(Pool& pool, int root, std::uint64_t own_device)
      : pool_(pool), own_device_(own_device), root_(root) {}

  Result<Fd> down(std::string_view path) {
    if (const auto stat = pool_.backing.stat_unasked(root_))
      passed_.push_back(stat->id);
    else
      return stat.error();
    Fd reached;
    while (!path.empty()) {
      const std::string name(path.substr(0, path.find('/')));
      path.remove_prefix(std::min(name.size() + 1, path.size()));
      auto next = step(reached ? reached.get() : root_, name);
      if (!next) return next;
      reached = *std::move(next);
    }
    return reached;
  }

 private:
  Result<Fd> step(int from, const std::string& name) {
    auto next = pool_.backing.open_at(from, name.c_str(), O_PATH, 0);
    if (!next) return next;
    auto stat = pool_.backing.stat_unasked(next->get());
    if (!stat) return stat.error();
    if (stat->is_symlink()) {
      next = target_of(pool_, from, next->get(), *stat, own_device_);
      if (!next) return next;
      stat = pool_.backing.stat_unasked(next->get());
      if (!stat) return stat.error();
      followed_ = true;
    }
    if (!stat->is_directory()) return Errno{ENOTDIR};
    if (stat->id.device == own_device_) return Errno{ELOOP};
    if (followed_) {
      if (std::find(passed_.begin(), passed_.end(), stat->id) != passed_.end()) return Errno{ELOOP};
      const bool elsewhere = stat->id.device != passed_.back().device;
      if (elsewhere && !judges_by_modes(pool_.backing, next->get(), *stat)) return Errno{ELOOP};
    }
    passed_.push_back(stat->id);
    return next;
  }

  Pool& pool_;
  const std::uint64_t own_device_;
  const int root_;
  bool followed_ = false;
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

/// Nothing: no link is followed. With other owners or modes than their own, what users may not use
/// would be open to them, outside of the branches, too.
std::optional<std::uint64_t> device_to_avoid(const Pool& pool) {
  const ShownAttributes& shown = pool.settings.shown;
  constexpr auto kAsTheyAre = ShownAttributes::kAsTheyAre;
  if (shown.uid != kAsTheyAre || shown.gid != kAsTheyAre || shown.umask != kAsTheyAre)
    return std::nullopt;
  return pool.own_device();
}

}  // namespace

Result<Fd> follow_link(Pool& pool, int directory, const char* name) {
  const auto own_device = device_to_avoid(pool);
  if (!own_device) return Errno{ELOOP};
  return open_with_relief(pool, [&]() -> Result<Fd> {
    const auto link = pool.backing.open_at(directory, name, O_PATH, 0);
    if (!link) return link.error();
    const auto stat = pool.backing.stat_unasked(link->get());
    if (!stat) return stat.error();
    if (!stat->is_symlink()) return Errno{ENOENT};
    return target_of(pool, directory, link->get(), *stat, *own_device);
  });
}

Result<Fd> follow_path(Pool& pool, Branch& branch, std::string_view path, int flags) {
  const auto own_device = device_to_avoid(pool);
  const auto root = branch.root();
  if (!root) return root.error();
  if (!own_device) return Errno{ELOOP};
  pool.backing.avoid(*own_device);
  auto opened = open_with_relief(pool, [&]() -> Result<Fd> {
    PathWalk walk(pool, root->fd(), *own_device);
    auto reached = walk.down(path);
    if (!reached || flags == O_PATH) return reached;
    return pool.backing.reopen(reached->get(), flags | O_DIRECTORY);
  });
  if (opened || opened.error() == Errno{EMFILE} || opened.error() == Errno{ENFILE}) return opened;
  return Errno{ELOOP};
}

Shown shown_as(Pool& pool, Branch& branch, std::string_view path, int directory, const char* name,
               const FileStat& stat) {
  const FollowSymlinks which = pool.settings.links.follow;
  if (which == FollowSymlinks::kNever || !stat.is_symlink()) return {stat, false};
  auto target = follow_link(pool, directory, name);
  if (!target) return {stat, false};
  auto found = pool.backing.stat(target->get());
  if (!found || !is_asked_for(which, *found)) return {stat, false};
  if (found->is_directory()) {
    target = follow_path(pool, branch, joined(path, name), O_PATH);
    if (!target) return {stat, false};
    found = pool.backing.stat(target->get());
    if (!found || !found->is_directory()) return {stat, false};
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
