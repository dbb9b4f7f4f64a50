#include "ops/followed_link.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <climits>
#include <string>
#include <utility>

#include "ops/credentials.hpp"
#include "ops/locate.hpp"

namespace bough::ops {
namespace {

Result<std::string> text_of(Backing& backing, int link) {
  std::array<std::byte, PATH_MAX> text;
  const auto size = backing.readlink(link, text);
  if (!size) return size.error();
  if (*size == 0) return Errno{ENOENT};
  return std::string(reinterpret_cast<const char*>(text.data()), *size);
}

/// Walks a path from `directory` on, links in it included. Calls nothing but Backing.
Result<Fd> walk(Backing& backing, int directory, std::string path, std::uint64_t own_device) {
  constexpr int kMostLinks = 40;
  Fd reached;
  const auto go_to_root = [&]() -> Result<void> {
    auto root = backing.open_root("/");
    if (!root) return root.error();
    reached = *std::move(root);
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
      break;
  }
  return true;
}

}  // namespace

Result<Fd> follow_link(Pool& pool, int directory, const char* name) {
  const auto own_device = pool.own_device();
  if (!own_device) return Errno{ELOOP};
  return open_with_relief(pool, [&]() -> Result<Fd> {
    const auto link = pool.backing.open_at(directory, name, O_PATH, 0);
    if (!link) return link.error();
    const auto stat = pool.backing.stat_unasked(link->get());
    if (!stat) return stat.error();
    if (!stat->is_symlink()) return Errno{ENOENT};
    auto text = text_of(pool.backing, link->get());
    if (!text) return text.error();
    const CallerGuard guard(pool, stat->uid, stat->gid, std::nullopt, 0,
                            CallerGuard::Purpose::kFollow);
    if (const auto ready = guard.ready(); !ready) return ready.error();
    return walk(pool.backing, directory, *std::move(text), *own_device);
  });
}

Shown shown_as(Pool& pool, int directory, const char* name, const FileStat& stat) {
  const FollowSymlinks which = pool.settings.links.follow;
  if (which == FollowSymlinks::kNever || !stat.is_symlink()) return {stat, false};
  const auto target = follow_link(pool, directory, name);
  if (!target) return {stat, false};
  const auto found = pool.backing.stat(target->get());
  if (!found || !is_asked_for(which, *found)) return {stat, false};
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
