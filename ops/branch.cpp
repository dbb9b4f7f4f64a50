#include "ops/branch.hpp"

#include <fcntl.h>
#include <linux/magic.h>

#include <cerrno>

#include "ops/hash.hpp"
#include "ops/inode_number.hpp"

namespace bough::ops {
namespace {

/// By f_type. What is not known here is asked to flush.
bool has_no_flush(std::uint64_t type) noexcept {
  constexpr std::uint64_t kExfat = 0x2011bab0;
  constexpr std::uint64_t kZfs = 0x2fc12fc1;
  switch (type) {
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case TMPFS_MAGIC:
    case MSDOS_SUPER_MAGIC:
    case kExfat:
    case kZfs:
      return true;
    default:
      return false;
  }
}

}  // namespace

Branch::Branch(Backing& backing, BranchId id, BranchSpec spec)
    : backing_(backing), id_(id), spec_(std::move(spec)) {}

Result<std::shared_ptr<Branch>> Branch::open(Backing& backing, BranchId id, BranchSpec spec) {
  const std::shared_ptr<Branch> branch(new Branch(backing, id, std::move(spec)));
  auto fd = backing.open_root(branch->spec_.path);
  if (!fd) return fd.error();
  const auto stat = backing.stat(fd->get());
  if (!stat) return stat.error();
  const auto fs = backing.statfs(fd->get());
  if (!fs) return fs.error();
  branch->root_id_ = stat->id;
  branch->device_ = stat->id.device;
  branch->fsid_ = fs->fsid;
  branch->closes_quietly_ = has_no_flush(fs->type);
  branch->root_ = std::make_shared<const Fd>(*std::move(fd));
  return branch;
}

Result<DirRef> Branch::root() {
  {
    const std::lock_guard lock(mutex_);
    if (root_) return DirRef(root_);
  }
  auto fd = backing_.open_root(spec_.path);
  if (!fd) return fd.error();
  if (const auto same = verify_root(fd->get()); !same) return same.error();
  auto opened = std::make_shared<const Fd>(*std::move(fd));
  const std::lock_guard lock(mutex_);
  if (retired_) return DirRef(std::move(opened));
  if (!root_) root_ = std::move(opened);
  return DirRef(root_);
}

Result<void> Branch::verify_root(int fd) {
  const auto stat = backing_.stat(fd);
  if (!stat) return stat.error();
  const auto fs = backing_.statfs(fd);
  if (!fs) return fs.error();
  const bool same_volume = fs->fsid == fsid_ && (fsid_ != 0 || stat->id.device == device());
  if (!same_volume || stat->id.ino != root_id_.ino || stat->id.birth_ns != root_id_.birth_ns)
    return Errno{ESTALE};
  device_.store(stat->id.device, std::memory_order_relaxed);
  return {};
}

Result<DirRef> Branch::directory(std::string_view path) {
  auto top = root();
  if (!top || path.empty()) return top;
  auto fd = backing_.open_directory(top->fd(), path, O_PATH, false);
  if (!fd) return fd.error();
  return DirRef(*std::move(fd));
}

Result<Fd> Branch::readable_directory(std::string_view path) {
  const auto top = root();
  if (!top) return top.error();
  return backing_.open_directory(top->fd(), path, O_RDONLY, false);
}

Result<FsStat> Branch::statfs() {
  const auto top = root();
  if (!top) return top.error();
  return statfs(top->fd());
}

Result<FsStat> Branch::statfs(int root) {
  const auto now = std::chrono::steady_clock::now();
  std::uint64_t forgotten = 0;
  {
    const std::lock_guard lock(mutex_);
    forgotten = statfs_forgotten_;
  }
  auto stat = backing_.statfs(root);
  if (!stat) return stat;
  const std::lock_guard lock(mutex_);
  if (forgotten != statfs_forgotten_ || (last_statfs_ && last_statfs_at_ > now)) return stat;
  last_statfs_ = *stat;
  last_statfs_at_ = now;
  return stat;
}

std::optional<Branch::LastStatfs> Branch::last_statfs() const {
  const auto now = std::chrono::steady_clock::now();
  const std::lock_guard lock(mutex_);
  if (!last_statfs_) return std::nullopt;
  return LastStatfs{*last_statfs_, now - last_statfs_at_};
}

void Branch::forget_statfs() noexcept {
  const std::lock_guard lock(mutex_);
  last_statfs_.reset();
  ++statfs_forgotten_;
}

void Branch::refresh() noexcept {
  std::shared_ptr<const Fd> top;
  {
    const std::lock_guard lock(mutex_);
    top = root_;
  }
  if (!top || !statfs(top->get())) forget_statfs();
  refreshing_.store(false);
}

void Branch::give_up_refresh() noexcept {
  forget_statfs();
  refreshing_.store(false);
}

std::uint64_t Branch::user_ino(const FileId& file) const noexcept {
  std::uint64_t volume = fsid_ != 0 ? fsid_ : hash_text(spec_.path);
  // Something else is mounted inside the branch, or it is a subvolume: its numbers may repeat ours.
  if (file.device != device()) volume = combine_hash(volume, file.device);
  return inode_ino(volume, file.ino);
}

void Branch::let_go() noexcept {
  std::shared_ptr<const Fd> dropped;
  const std::lock_guard lock(mutex_);
  dropped.swap(root_);
}

void Branch::retire() noexcept {
  std::shared_ptr<const Fd> dropped;
  const std::lock_guard lock(mutex_);
  retired_ = true;
  dropped.swap(root_);
}

}  // namespace bough::ops
