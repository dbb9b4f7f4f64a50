#include "ops/lent_write.hpp"

#include <sys/stat.h>

#include <string>

#include "ops/operations.hpp"

namespace bough::ops {
namespace {

constexpr std::uint32_t kPermissions = 07777;
constexpr std::uint32_t kAnyWrite = S_IWUSR | S_IWGRP | S_IWOTH;

bool below_git(const Pool& pool, NodeId node, BranchId on) {
  const auto set = pool.branches.snapshot();
  const Branch* const branch = set->by_id(on);
  NodeView view;
  if (branch == nullptr || !pool.nodes.view(node, view) || !view.named) return false;
  std::string path = branch->path();
  path.append("/").append(view.path.view()).append("/");
  return path.find("/.git/") != std::string::npos;
}

bool lends(const Pool& pool, NodeId node, const NodeFile& file) {
  if ((file.stat.mode & kAnyWrite) != 0) return false;
  switch (pool.settings.nfs_open_hack.get()) {
    case NfsOpenHack::kAll:
      return true;
    case NfsOpenHack::kGit:
      return below_git(pool, node, file.branch);
    case NfsOpenHack::kOff:
      break;
  }
  return false;
}

}  // namespace

Result<Fd> reopen_with_lent_bits(Pool& pool, NodeId node, const NodeFile& file, int flags,
                                 std::uint32_t asked) {
  const Errno refused{EACCES};
  if (!lends(pool, node, file)) return refused;
  const std::uint32_t own = file.stat.mode & kPermissions;
  const std::uint32_t lent = own | S_IWUSR | S_IWGRP;
  if (!pool.backing.chmod(file.fd(), lent)) return refused;
  auto opened = reopen_file(pool, file.fd(), flags, asked);
  // Not what somebody else has made of it meanwhile.
  const auto now = pool.backing.stat(file.fd());
  if (now && (now->mode & kPermissions) != lent) return opened;
  if (!pool.backing.chmod(file.fd(), own) || !opened) return refused;
  return opened;
}

}  // namespace bough::ops
