#include "ops/backing.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/ioprio.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <climits>
#include <csignal>
#include <cstring>
#include <vector>

namespace bough::ops {

namespace {

Errno last_error() noexcept {
  return Errno{errno};
}

/// Repeats a call that a signal ended before it did anything.
template <class Call>
auto uninterrupted(Call call) -> decltype(call()) {
  for (;;) {
    const auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

template <class Call>
Result<void> done(Call call) {
  if (uninterrupted(call) < 0) return last_error();
  return {};
}

template <class Call>
Result<Fd> opened(Call call) {
  const int fd = static_cast<int>(uninterrupted(call));
  if (fd < 0) return last_error();
  return Fd(fd);
}

template <class Call>
Result<std::size_t> counted(Call call) {
  const auto count = uninterrupted(call);
  if (count < 0) return last_error();
  return static_cast<std::size_t>(count);
}

/// The name under which the kernel follows a descriptor, O_PATH ones included, to its very inode: a
/// symlink behind it is not followed further.
class ProcPath {
 public:
  explicit ProcPath(int fd) noexcept {
    constexpr std::string_view kPrefix = "/proc/self/fd/";
    std::memcpy(text_.data(), kPrefix.data(), kPrefix.size());
    char* const end =
        std::to_chars(text_.data() + kPrefix.size(), text_.data() + text_.size() - 1, fd).ptr;
    *end = '\0';
  }
  [[nodiscard]] const char* c_str() const noexcept { return text_.data(); }

 private:
  std::array<char, 32> text_;
};

Result<Fd> open_beneath(int dir, const char* path, int flags, bool follow) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(static_cast<unsigned>(flags | O_CLOEXEC));
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  if (!follow) how.resolve |= RESOLVE_NO_SYMLINKS;
  // EAGAIN: something on the way was renamed while a ".." of a followed symlink was checked.
  constexpr int kTries = 16;
  for (int tries = 0;; ++tries) {
    auto fd = opened([&] { return ::syscall(SYS_openat2, dir, path, &how, sizeof how); });
    if (fd || fd.error() != Errno{EAGAIN} || tries == kTries) return fd;
  }
}

Result<Fd> open_in_pieces(int root, std::string_view path, int flags, bool follow) {
  std::array<char, PATH_MAX> piece;
  Fd reached;
  for (;;) {
    std::size_t length = path.size();
    if (length >= piece.size()) {
      length = path.rfind('/', piece.size() - 1);
      if (length == std::string_view::npos || length == 0) return Errno{ENAMETOOLONG};
    }
    std::memcpy(piece.data(), path.data(), length);
    piece[length] = '\0';
    const bool last = length == path.size();
    const int from = reached ? reached.get() : root;
    auto next = open_beneath(from, piece.data(), last ? flags : O_PATH | O_DIRECTORY, follow);
    if (!next || last) return next;
    reached = *std::move(next);
    path.remove_prefix(length + 1);
  }
}

/// The same, for kernels without openat2(2).
Result<Fd> walk_beneath(int root, std::string_view path, int flags, bool follow) {
  if (path.starts_with('/')) return Errno{EXDEV};
  const int own_flags = O_CLOEXEC | (follow ? 0 : O_NOFOLLOW);
  Fd reached;
  for (;;) {
    const std::string_view name = path.substr(0, path.find('/'));
    path.remove_prefix(name.size());
    while (path.starts_with('/')) path.remove_prefix(1);
    if (name == "..") return Errno{EXDEV};
    std::array<char, NAME_MAX + 1> text;
    if (name.size() >= text.size()) return Errno{ENAMETOOLONG};
    std::memcpy(text.data(), name.data(), name.size());
    text[name.size()] = '\0';
    const bool last = path.empty();
    const int from = reached ? reached.get() : root;
    auto next = opened([&] {
      return ::openat(from, text.data(), (last ? flags : O_PATH | O_DIRECTORY) | own_flags);
    });
    if (!next && next.error() == Errno{ENOTDIR} && !follow) {
      // O_DIRECTORY hides from us that O_NOFOLLOW met a symlink.
      struct ::stat stat;
      if (::fstatat(from, text.data(), &stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(stat.st_mode))
        return Errno{ELOOP};
    }
    if (!next || last) return next;
    reached = *std::move(next);
  }
}

Time to_time(const statx_timestamp& from) noexcept {
  return {from.tv_sec, from.tv_nsec};
}

Result<FileStat> stat_with(int dir, const char* name, int flags) {
  struct statx from;
  const auto call = [&] {
    return ::statx(dir, name, flags | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
                   STATX_BASIC_STATS | STATX_BTIME, &from);
  };
  if (uninterrupted(call) < 0) return last_error();
  FileStat to;
  to.id.device = makedev(from.stx_dev_major, from.stx_dev_minor);
  to.id.ino = from.stx_ino;
  if ((from.stx_mask & STATX_BTIME) != 0) {
    to.btime = to_time(from.stx_btime);
    to.id.birth_ns = static_cast<std::int64_t>(
        static_cast<std::uint64_t>(to.btime.seconds) * 1'000'000'000U + to.btime.nanoseconds);
  }
  to.size = from.stx_size;
  to.blocks = from.stx_blocks;
  to.atime = to_time(from.stx_atime);
  to.mtime = to_time(from.stx_mtime);
  to.ctime = to_time(from.stx_ctime);
  to.mode = from.stx_mode;
  to.nlink = from.stx_nlink;
  to.uid = from.stx_uid;
  to.gid = from.stx_gid;
  to.rdev_major = from.stx_rdev_major;
  to.rdev_minor = from.stx_rdev_minor;
  to.block_size = from.stx_blksize;
  to.mask = from.stx_mask;
  to.attributes = from.stx_attributes;
  to.attributes_mask = from.stx_attributes_mask;
  return to;
}

timespec to_timespec(const std::optional<proto::TimeChange>& change) noexcept {
  timespec to{};
  if (!change) {
    to.tv_nsec = UTIME_OMIT;
  } else if (change->now) {
    to.tv_nsec = UTIME_NOW;
  } else {
    to.tv_sec = change->seconds;
    to.tv_nsec = static_cast<long>(change->nanoseconds);
  }
  return to;
}

// The ids of a thread. The kernel keeps them per thread, glibc's wrappers of setgroups and capset
// spread or do not exist: hence the bare system calls.

struct Capabilities {
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};

  [[nodiscard]] bool read() noexcept {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    return ::syscall(SYS_capget, &header, sets.data()) == 0;
  }
  [[nodiscard]] bool write() const noexcept {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    return ::syscall(SYS_capset, &header, sets.data()) == 0;
  }
};

/// What the kernel takes from the effective set by itself when fsuid leaves 0, and what the daemon
/// needs again to make a name that the kernel has already permitted. All are below bit 32.
constexpr std::uint32_t kDacCapabilities =
    (1U << CAP_DAC_OVERRIDE) | (1U << CAP_DAC_READ_SEARCH) | (1U << CAP_MKNOD);

bool set_effective(std::uint32_t capabilities, bool raised) noexcept {
  Capabilities caps;
  if (!caps.read()) return false;
  const std::uint32_t before = caps.sets[0].effective;
  const std::uint32_t after =
      raised ? before | (capabilities & caps.sets[0].permitted) : before & ~capabilities;
  if (after == before) return true;
  caps.sets[0].effective = after;
  return caps.write();
}

/// setfsuid(2) and setfsgid(2) do not report failure: asking with an id that cannot be tells.
bool set_fsuid(std::uint32_t uid) noexcept {
  ::setfsuid(uid);
  return static_cast<std::uint32_t>(::setfsuid(static_cast<uid_t>(-1))) == uid;
}
bool set_fsgid(std::uint32_t gid) noexcept {
  ::setfsgid(gid);
  return static_cast<std::uint32_t>(::setfsgid(static_cast<gid_t>(-1))) == gid;
}

/// Who this thread acts as, so that only what differs costs a call. Read from the kernel at the
/// thread's first use; from then on only PosixBacking changes these ids on the thread.
class ThreadIds {
 public:
  ThreadIds() {
    now_.uid = static_cast<std::uint32_t>(::setfsuid(static_cast<uid_t>(-1)));
    now_.gid = static_cast<std::uint32_t>(::setfsgid(static_cast<gid_t>(-1)));
    read_umask();
    own_uid_ = now_.uid;
    const int count = ::getgroups(0, nullptr);
    own_groups_.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    if (count > 0 && ::getgroups(count, own_groups_.data()) < 0) own_groups_.clear();
  }

  [[nodiscard]] const Identity& now() const noexcept { return now_; }

  void read_umask() noexcept {
    now_.umask = ::umask(0);
    ::umask(now_.umask);
  }

  Result<void> become(const Identity& who, bool keep_dac) {
    const Identity before = now_;
    const bool before_dac = keep_dac_;
    const Result<void> result = apply(who, keep_dac);
    if (!result) static_cast<void>(apply(before, before_dac));
    return result;
  }

 private:
  enum class Groups { kOwn, kNone, kOne };

  Result<void> apply(const Identity& who, bool keep_dac) {
    if (who.gid != now_.gid) {
      const bool took = set_fsgid(who.gid);
      now_.gid = static_cast<std::uint32_t>(::setfsgid(static_cast<gid_t>(-1)));
      if (!took) return Errno{EPERM};
    }
    if (const auto set = set_groups(who); !set) return set;
    const bool moves = who.uid != now_.uid;
    if (moves) {
      const bool took = set_fsuid(who.uid);
      now_.uid = static_cast<std::uint32_t>(::setfsuid(static_cast<uid_t>(-1)));
      if (!took) return Errno{EPERM};
    }
    if (who.umask != now_.umask) {
      ::umask(who.umask);
      now_.umask = who.umask;
    }
    // With fsuid 0 the kernel itself keeps or gives back the capabilities.
    if (who.uid != 0 && (moves || keep_dac != keep_dac_) &&
        !set_effective(kDacCapabilities, keep_dac))
      return last_error();
    keep_dac_ = keep_dac;
    if (who.uid == 0 && who.keeps_set_ids != now_.keeps_set_ids &&
        !set_effective(1U << CAP_FSETID, who.keeps_set_ids))
      return last_error();
    now_.keeps_set_ids = who.keeps_set_ids;
    return {};
  }

  /// Who is not the thread's own user has at most the one group that the request names.
  Result<void> set_groups(const Identity& who) {
    Groups wanted = who.uid == own_uid_ || own_groups_.empty() ? Groups::kOwn : Groups::kNone;
    if (who.group) wanted = Groups::kOne;
    if (wanted == groups_ && who.group == now_.group) return {};
    if (denied_) return {};
    const gid_t* list = nullptr;
    std::size_t size = 0;
    gid_t one = 0;
    if (wanted == Groups::kOne) {
      one = *who.group;
      list = &one;
      size = 1;
    } else if (wanted == Groups::kOwn) {
      list = own_groups_.data();
      size = own_groups_.size();
    }
    if (::syscall(SYS_setgroups, size, list) != 0) {
      // A user namespace may deny setgroups(2) even to its root: then nobody's groups can be other
      // than the daemon's, and the request goes on without its group.
      if (errno != EPERM) return last_error();
      Capabilities caps;
      if (!caps.read() || (caps.sets[0].effective & (1U << CAP_SETGID)) == 0) return Errno{EPERM};
      denied_ = true;
      return {};
    }
    groups_ = wanted;
    now_.group = who.group;
    return {};
  }

  Identity now_;
  std::uint32_t own_uid_ = 0;
  std::vector<gid_t> own_groups_;
  Groups groups_ = Groups::kOwn;
  bool denied_ = false;
  bool keep_dac_ = true;
};

ThreadIds& thread_ids() {
  thread_local ThreadIds ids;
  return ids;
}

class PosixBacking final : public Backing {
 public:
  explicit PosixBacking(Openat2 openat2) noexcept : openat2_(openat2 == Openat2::kUse) {}

  Result<Fd> open_root(const std::string& path) override {
    return opened([&] { return ::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC); });
  }

  Result<Fd> open_directory(int root, std::string_view path, int flags, bool follow) override {
    flags |= O_DIRECTORY;
    if (path.empty()) path = ".";
    if (path.find('\0') != std::string_view::npos) return Errno{ELOOP};
    if (openat2_.load(std::memory_order_relaxed)) {
      auto fd = open_in_pieces(root, path, flags, follow);
      if (fd || fd.error() != Errno{ENOSYS}) return fd;
      openat2_.store(false, std::memory_order_relaxed);
    }
    return walk_beneath(root, path, flags, follow);
  }

  Result<Fd> open_at(int dir, const char* name, int flags, std::uint32_t mode) override {
    return opened(
        [&] { return ::openat(dir, name, flags | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC, mode); });
  }

  Result<Fd> reopen(int path_fd, int flags) override {
    const ProcPath path(path_fd);
    flags &= ~(O_NOFOLLOW | O_CREAT | O_EXCL);
    return opened([&] { return ::open(path.c_str(), flags | O_NOCTTY | O_CLOEXEC); });
  }

  Result<Fd> duplicate(int fd) override {
    return opened([&] { return ::fcntl(fd, F_DUPFD_CLOEXEC, 0); });
  }

  Result<void> replace(int fd, int by) override {
    // EBUSY: somebody is just being given the number, which cannot last.
    const auto call = [&] {
      for (;;)
        if (const int got = ::dup3(by, fd, O_CLOEXEC); got >= 0 || errno != EBUSY) return got;
    };
    return done([&] { return call() < 0 ? -1 : 0; });
  }

  Result<void> lock(int fd) override {
    return done([&] { return ::flock(fd, LOCK_EX | LOCK_NB); });
  }

  Result<bool> has_writers(int fd) override {
    // Who opens the file just then has us told by a signal, which is to be one that nobody minds.
    if (::fcntl(fd, F_SETSIG, SIGURG) < 0) return last_error();
    if (::fcntl(fd, F_SETLEASE, F_RDLCK) == 0) {
      (void)::fcntl(fd, F_SETLEASE, F_UNLCK);
      return false;
    }
    if (errno == EAGAIN) return true;
    return last_error();
  }

  Result<void> clear_direct(int fd) override {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fcntl(fd, F_SETFL, flags & ~O_DIRECT) < 0) return last_error();
    return {};
  }

  Result<Fd> open_unnamed(int dir, int flags, std::uint32_t mode) override {
    return opened([&] { return ::openat(dir, ".", flags | O_TMPFILE | O_CLOEXEC, mode); });
  }

  Result<FileStat> stat_at(int dir, const char* name) override { return stat_with(dir, name, 0); }

  Result<FileStat> stat(int path_fd) override { return stat_with(path_fd, "", AT_EMPTY_PATH); }

  Result<FileStat> stat_unasked(int path_fd) override {
    return stat_with(path_fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC);
  }

  Result<std::uint64_t> mount_id(int path_fd) override {
    struct statx from;
    const auto call = [&] {
      return ::statx(path_fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
                     STATX_MNT_ID, &from);
    };
    if (uninterrupted(call) < 0) return last_error();
    if ((from.stx_mask & STATX_MNT_ID) == 0) return Errno{ENOSYS};
    return from.stx_mnt_id;
  }

  Result<std::vector<Mount>> mounts() override { return list_mounts(); }

  Result<bool> is_served_device(std::uint32_t major, std::uint32_t minor) override {
    return ops::is_served_device(major, minor);
  }

  Result<std::string> path_of(int path_fd) override {
    std::array<char, PATH_MAX> text;
    const std::string link = "/proc/self/fd/" + std::to_string(path_fd);
    const ssize_t size = ::readlink(link.c_str(), text.data(), text.size());
    if (size < 0) return last_error();
    if (static_cast<std::size_t>(size) == text.size()) return Errno{ENAMETOOLONG};
    return std::string(text.data(), static_cast<std::size_t>(size));
  }

  Result<FsStat> statfs(int path_fd) override {
    struct ::statfs from;
    if (uninterrupted([&] { return ::fstatfs(path_fd, &from); }) < 0) return last_error();
    FsStat to;
    to.blocks = from.f_blocks;
    to.blocks_free = from.f_bfree;
    to.blocks_available = from.f_bavail;
    to.files = from.f_files;
    to.files_free = from.f_ffree;
    to.fsid = static_cast<std::uint64_t>(static_cast<std::uint32_t>(from.f_fsid.__val[0])) |
              static_cast<std::uint64_t>(static_cast<std::uint32_t>(from.f_fsid.__val[1])) << 32U;
    to.type = static_cast<std::uint64_t>(from.f_type);
    to.block_size = static_cast<std::uint32_t>(from.f_bsize);
    to.fragment_size =
        static_cast<std::uint32_t>(from.f_frsize != 0 ? from.f_frsize : from.f_bsize);
    to.name_max = static_cast<std::uint32_t>(from.f_namelen);
    to.read_only = (from.f_flags & ST_RDONLY) != 0;
    return to;
  }

  Result<std::size_t> readlink(int path_fd, std::span<std::byte> out) override {
    return counted(
        [&] { return ::readlinkat(path_fd, "", reinterpret_cast<char*>(out.data()), out.size()); });
  }

  Result<std::size_t> list(int fd, std::span<std::byte> out) override {
    return counted([&] { return ::syscall(SYS_getdents64, fd, out.data(), out.size()); });
  }

  Result<void> mkdir_at(int dir, const char* name, std::uint32_t mode) override {
    return done([&] { return ::mkdirat(dir, name, mode); });
  }

  Result<void> mknod_at(int dir, const char* name, std::uint32_t mode,
                        std::uint32_t rdev) override {
    return done([&] { return ::mknodat(dir, name, mode, rdev); });
  }

  Result<void> symlink_at(const char* target, int dir, const char* name) override {
    return done([&] { return ::symlinkat(target, dir, name); });
  }

  Result<void> link_fd(int path_fd, int dir, const char* name) override {
    const ProcPath path(path_fd);
    return done([&] { return ::linkat(AT_FDCWD, path.c_str(), dir, name, AT_SYMLINK_FOLLOW); });
  }

  Result<void> unlink_at(int dir, const char* name) override {
    return done([&] { return ::unlinkat(dir, name, 0); });
  }

  Result<void> rmdir_at(int dir, const char* name) override {
    return done([&] { return ::unlinkat(dir, name, AT_REMOVEDIR); });
  }

  Result<void> rename_at(int old_dir, const char* old_name, int new_dir, const char* new_name,
                         std::uint32_t flags) override {
    return done([&] { return ::renameat2(old_dir, old_name, new_dir, new_name, flags); });
  }

  Result<void> chmod(int path_fd, std::uint32_t mode) override {
    // fchmodat2(2), from Linux 6.6 on; a sandbox may refuse what it does not know with EPERM.
    constexpr long kFchmodat2 = 452;
    const auto changed =
        done([&] { return ::syscall(kFchmodat2, path_fd, "", mode, AT_EMPTY_PATH); });
    if (changed || (changed.error() != Errno{ENOSYS} && changed.error() != Errno{EPERM}))
      return changed;
    const ProcPath path(path_fd);
    return done([&] { return ::chmod(path.c_str(), mode); });
  }

  Result<void> chown(int path_fd, std::uint32_t uid, std::uint32_t gid) override {
    return done([&] { return ::fchownat(path_fd, "", uid, gid, AT_EMPTY_PATH); });
  }

  Result<void> set_times(int path_fd, const TimesChange& times) override {
    const std::array<timespec, 2> both{to_timespec(times.atime), to_timespec(times.mtime)};
    const auto set = done([&] { return ::utimensat(path_fd, "", both.data(), AT_EMPTY_PATH); });
    if (set || set.error() != Errno{EINVAL}) return set;
    // utimensat(2) knows AT_EMPTY_PATH from Linux 5.8 on.
    const ProcPath path(path_fd);
    return done([&] { return ::utimensat(AT_FDCWD, path.c_str(), both.data(), 0); });
  }

  Result<void> truncate(int fd, std::uint64_t size) override {
    return done([&] { return ::ftruncate(fd, static_cast<off_t>(size)); });
  }

  Result<std::size_t> get_xattr(int path_fd, const char* name, std::span<std::byte> out) override {
    const ProcPath path(path_fd);
    return counted([&] { return ::getxattr(path.c_str(), name, out.data(), out.size()); });
  }

  Result<std::size_t> list_xattr(int path_fd, std::span<std::byte> out) override {
    const ProcPath path(path_fd);
    return counted(
        [&] { return ::listxattr(path.c_str(), reinterpret_cast<char*>(out.data()), out.size()); });
  }

  Result<void> set_xattr(int path_fd, const char* name, std::span<const std::byte> value,
                         std::uint32_t flags) override {
    const ProcPath path(path_fd);
    return done([&] {
      return ::setxattr(path.c_str(), name, value.data(), value.size(), static_cast<int>(flags));
    });
  }

  Result<void> remove_xattr(int path_fd, const char* name) override {
    const ProcPath path(path_fd);
    return done([&] { return ::removexattr(path.c_str(), name); });
  }

  Result<int> control(int fd, std::uint32_t command, std::span<std::byte> argument) override {
    const int value = uninterrupted([&] { return ::ioctl(fd, command, argument.data()); });
    if (value < 0) return last_error();
    return value;
  }

  Result<std::size_t> read(int fd, std::span<std::byte> out, std::uint64_t offset) override {
    return counted([&] { return ::pread(fd, out.data(), out.size(), static_cast<off_t>(offset)); });
  }

  Result<std::size_t> write(int fd, std::span<const std::byte> data, std::uint64_t offset,
                            bool append) override {
    if (!append)
      return counted(
          [&] { return ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset)); });
    const iovec part{const_cast<std::byte*>(data.data()), data.size()};
    return counted(
        [&] { return ::pwritev2(fd, &part, 1, static_cast<off_t>(offset), RWF_APPEND); });
  }

  Result<void> sync(int fd, bool data_only) override {
    return done([&] { return data_only ? ::fdatasync(fd) : ::fsync(fd); });
  }

  Result<void> sync_file_system(int fd) override {
    return done([&] { return ::syncfs(fd); });
  }

  Result<void> flush(int fd) override {
    const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) return last_error();
    // The descriptor is gone even when close(2) is interrupted.
    if (::close(copy) < 0 && errno != EINTR) return last_error();
    return {};
  }

  void drop_cache(int fd, bool written) noexcept override {
    constexpr unsigned kWholly =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    if (written) (void)::sync_file_range(fd, 0, 0, kWholly);
    (void)::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  }

  Result<void> allocate(int fd, std::uint32_t mode, std::uint64_t offset,
                        std::uint64_t length) override {
    return done([&] {
      return ::fallocate(fd, static_cast<int>(mode), static_cast<off_t>(offset),
                         static_cast<off_t>(length));
    });
  }

  Result<std::uint64_t> seek(int fd, std::uint64_t offset, std::uint32_t whence) override {
    const off_t at = ::lseek(fd, static_cast<off_t>(offset), static_cast<int>(whence));
    if (at < 0) return last_error();
    return static_cast<std::uint64_t>(at);
  }

  Result<std::size_t> copy_range(int in, std::uint64_t in_offset, int out, std::uint64_t out_offset,
                                 std::size_t length) override {
    return counted([&] {
      auto from = static_cast<off_t>(in_offset);
      auto to = static_cast<off_t>(out_offset);
      return ::copy_file_range(in, &from, out, &to, length, 0);
    });
  }

  Result<void> own_thread_state() override {
    if (::unshare(CLONE_FS) != 0) return last_error();
    // Until now any thread could change it.
    thread_ids().read_umask();
    return {};
  }

  Identity identity() override { return thread_ids().now(); }

  Result<void> become(const Identity& who, bool keep_dac) override {
    return thread_ids().become(who, keep_dac);
  }

  void act_with_priority_of(std::uint32_t tid) noexcept override {
    constexpr long kNone = -1;
    thread_local long own = kNone;
    thread_local long taken = kNone;
    const auto take = [](long priority) {
      return ::syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, priority) == 0;
    };
    if (tid == 0) {
      if (taken != kNone && take(own)) taken = kNone;
      return;
    }
    const long wanted = ::syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, tid);
    if (wanted < 0 || wanted == taken) return;
    if (own == kNone) own = ::syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
    if (take(wanted)) taken = wanted;
  }

  void act_idle(bool idle) noexcept override {
    thread_local long before = 0;
    if (idle) before = ::syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
    const long wanted = idle ? IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0) : before;
    if (wanted >= 0) (void)::syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, wanted);
  }

 private:
  std::atomic<bool> openat2_;
};

}  // namespace

std::unique_ptr<Backing> make_posix_backing(Openat2 openat2) {
  return std::make_unique<PosixBacking>(openat2);
}

}  // namespace bough::ops
