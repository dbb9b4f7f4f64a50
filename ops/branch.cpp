#include "ops/branch.hpp"

#include <fcntl.h>
#include <linux/magic.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "ops/absences.hpp"
#include "ops/disk_gone.hpp"
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

/// Errors of a root by which its disk, or the way to it, is gone.
bool means_gone(Errno error) noexcept {
  switch (error.value()) {
    case ESTALE:
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
      return true;
    default:
      return means_disk_gone(error);
  }
}

/// Those that come of another directory, or none, at its path.
bool means_replaced(Errno error) noexcept {
  return error == Errno{ESTALE} || error == Errno{ENOENT} || error == Errno{ENOTDIR};
}

/// How long a root is good without a look whether its disk was unmounted.
constexpr std::chrono::seconds kLookEvery{1};

}  // namespace

std::string why_out_of_reach(Errno error) {
  if (error == Errno{ESTALE})
    return "another directory or file system is in its place: mount its disk; only if what is "
           "there now is to be used instead, make a file .boughfs.branch in it";
  return std::string("its directory cannot be reached (") + std::strerror(error.value()) + ")";
}

Branch::Branch(Backing& backing, BranchId id, BranchSpec spec)
    : backing_(backing), id_(id), spec_(std::move(spec)) {}

Result<std::shared_ptr<Branch>> Branch::open(Backing& backing, BranchId id, BranchSpec spec) {
  const std::shared_ptr<Branch> branch(new Branch(backing, id, std::move(spec)));
  auto fd = backing.open_root(branch->spec_.path);
  if (!fd) return fd.error();
  if (const auto adopted = branch->adopt(fd->get()); !adopted) return adopted.error();
  branch->root_ = std::make_shared<const Fd>(*std::move(fd));
  branch->look_at_ = std::chrono::steady_clock::now() + kLookEvery;
  return branch;
}

std::shared_ptr<Branch> Branch::expect(Backing& backing, BranchId id, BranchSpec spec,
                                       std::string why) {
  std::shared_ptr<Branch> branch(new Branch(backing, id, std::move(spec)));
  branch->why_absent_ = std::move(why);
  branch->absent_.store(true);
  return branch;
}

void Branch::attend(Absences& absences) {
  absences_ = &absences;
  if (absent() && !absences.add(weak_from_this())) throw std::bad_alloc();
}

bool Branch::frozen() const noexcept {
  return absences_ != nullptr && absences_->frozen();
}

FileId Branch::root_id() const {
  const std::lock_guard lock(mutex_);
  return root_id_;
}

std::string Branch::why_absent() const {
  const std::lock_guard lock(mutex_);
  return why_absent_;
}

bool Branch::replaced() const {
  const std::lock_guard lock(mutex_);
  return replaced_;
}

Result<void> Branch::adopt(int fd) {
  const auto stat = backing_.stat(fd);
  if (!stat) return stat.error();
  const auto fs = backing_.statfs(fd);
  if (!fs) return fs.error();
  const std::lock_guard lock(mutex_);
  root_id_ = stat->id;
  root_mark_ = root_mark(*stat, *fs);
  known_ = true;
  device_.store(stat->id.device, std::memory_order_relaxed);
  fsid_.store(fs->fsid, std::memory_order_relaxed);
  closes_quietly_.store(has_no_flush(fs->type), std::memory_order_relaxed);
  return {};
}

Result<DirRef> Branch::root() {
  const auto now = std::chrono::steady_clock::now();
  std::shared_ptr<const Fd> kept;
  {
    const std::lock_guard lock(mutex_);
    if (absent()) return absences_->error();
    if (root_ && now < look_at_) return DirRef(root_);
    kept = root_;
    // Others go on meanwhile.
    look_at_ = now + kLookEvery;
  }
  auto opened = open_same();
  // What failed once need not be gone.
  if (!opened && absences_ != nullptr && means_gone(opened.error())) opened = open_same();
  if (!opened) {
    if (means_gone(opened.error())) return go(opened.error());
    return kept ? Result<DirRef>(DirRef(std::move(kept))) : opened.error();
  }
  auto fresh = std::make_shared<const Fd>(*std::move(opened));
  const std::lock_guard lock(mutex_);
  if (retired_) return DirRef(std::move(fresh));
  root_ = std::move(fresh);
  return DirRef(root_);
}

Result<Fd> Branch::open_same() {
  auto fd = backing_.open_root(spec_.path);
  if (!fd) return fd;
  if (const auto same = verify_root(fd->get()); !same) return same.error();
  return fd;
}

Errno Branch::go(Errno error) {
  if (absences_ == nullptr) {
    let_go();
    return error;
  }
  std::shared_ptr<const Fd> dropped;
  {
    const std::lock_guard lock(mutex_);
    if (absent() || retired_) return absences_->error();
    why_absent_ = why_out_of_reach(error);
    replaced_ = means_replaced(error);
    absent_.store(true, std::memory_order_release);
    dropped.swap(root_);
  }
  forget_statfs();
  if (!absences_->add(weak_from_this())) absent_.store(false);
  return absences_->error();
}

std::string Branch::why_away(Errno error, int root) const {
  std::string why = means_replaced(error) ? absences_->why_not(spec_.path, root) : std::string();
  return why.empty() ? why_out_of_reach(error) : why;
}

bool Branch::look_again() {
  auto fd = backing_.open_root(spec_.path);
  const auto stay = [this](std::string why) {
    const std::lock_guard lock(mutex_);
    why_absent_ = std::move(why);
    return false;
  };
  bool known = false;
  {
    const std::lock_guard lock(mutex_);
    known = known_;
  }
  // Of one that was never there it is known already what it waits for.
  if (!fd) return known && stay(why_away(fd.error(), -1));
  const auto as_before = known ? verify_root(fd->get()) : Result<void>();
  if (!as_before && (as_before.error() != Errno{ESTALE} || !absences_->vouched(fd->get())))
    return stay(why_away(as_before.error(), fd->get()));
  if (!known || !as_before) {
    std::string why = absences_->why_not(spec_.path, fd->get());
    if (!why.empty()) return stay(std::move(why));
    if (const auto adopted = adopt(fd->get()); !adopted)
      return stay(why_out_of_reach(adopted.error()));
  }
  auto opened = std::make_shared<const Fd>(*std::move(fd));
  const std::lock_guard lock(mutex_);
  if (!retired_) root_ = std::move(opened);
  look_at_ = std::chrono::steady_clock::now() + kLookEvery;
  absent_.store(false, std::memory_order_release);
  return true;
}

Result<void> Branch::verify_root(int fd) {
  const auto stat = backing_.stat(fd);
  if (!stat) return stat.error();
  const auto fs = backing_.statfs(fd);
  if (!fs) return fs.error();
  const RootMark now = root_mark(*stat, *fs);
  RootMark was;
  {
    const std::lock_guard lock(mutex_);
    was = root_mark_;
  }
  const bool same_volume = now.fsid == was.fsid && (was.fsid != 0 || stat->id.device == device());
  const bool same = same_volume && now.ino == was.ino && now.birth_ns == was.birth_ns;
  // On another device f_fsid is another one where it is the device's number.
  const bool same_directory = was.ino == now.ino && was.birth_ns == now.birth_ns;
  if (!same && !(can_be_told_again(was) && same_directory && is_same_root(was, now)))
    return Errno{ESTALE};
  device_.store(stat->id.device, std::memory_order_relaxed);
  return {};
}

void Branch::suspect() noexcept {
  const std::lock_guard lock(mutex_);
  look_at_ = {};
}

Errno Branch::from_below(Errno error) noexcept {
  if (error != Errno{ESTALE} && !means_disk_gone(error)) return error;
  suspect();
  return error == Errno{ESTALE} ? Errno{EIO} : error;
}

Result<DirRef> Branch::directory(std::string_view path) {
  auto top = root();
  if (!top || path.empty()) return top;
  auto fd = backing_.open_directory(top->fd(), path, O_PATH, false);
  if (!fd) return from_below(fd.error());
  return DirRef(*std::move(fd));
}

Result<Fd> Branch::readable_directory(std::string_view path) {
  const auto top = root();
  if (!top) return top.error();
  auto fd = backing_.open_directory(top->fd(), path, O_RDONLY, false);
  if (!fd) return from_below(fd.error());
  return fd;
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
  const std::uint64_t fsid = fsid_.load(std::memory_order_relaxed);
  std::uint64_t volume = fsid != 0 ? fsid : hash_text(spec_.path);
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
  {
    const std::lock_guard lock(mutex_);
    retired_ = true;
    dropped.swap(root_);
  }
  if (absences_ != nullptr) absences_->forget(*this);
}

}  // namespace bough::ops
