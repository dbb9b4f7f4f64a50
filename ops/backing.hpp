#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ops/fd.hpp"
#include "ops/mounts.hpp"
#include "proto/replies.hpp"
#include "proto/result.hpp"

namespace bough::ops {

using proto::Errno;
using proto::Result;
using proto::Time;

/// What makes a file itself, wherever its names are: an inode number alone is recycled, so the
/// birth time goes with it (0 where the file system keeps none). `device` is st_dev, good while the
/// file system stays mounted.
struct FileId {
  std::uint64_t device = 0;
  std::uint64_t ino = 0;
  std::int64_t birth_ns = 0;
  friend bool operator==(const FileId&, const FileId&) noexcept = default;
};

/// statx(2)'s answer, with the fields that we use.
struct FileStat {
  FileId id;
  std::uint64_t size = 0;
  /// In units of 512 bytes.
  std::uint64_t blocks = 0;
  Time atime;
  Time mtime;
  Time ctime;
  Time btime;
  std::uint32_t mode = 0;
  std::uint32_t nlink = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t rdev_major = 0;
  std::uint32_t rdev_minor = 0;
  std::uint32_t block_size = 0;
  /// STATX_* bits that the file system filled in.
  std::uint32_t mask = 0;
  std::uint64_t attributes = 0;
  std::uint64_t attributes_mask = 0;

  [[nodiscard]] bool is_directory() const noexcept { return (mode & 0170000U) == 0040000U; }
  [[nodiscard]] bool is_regular() const noexcept { return (mode & 0170000U) == 0100000U; }
  [[nodiscard]] bool is_symlink() const noexcept { return (mode & 0170000U) == 0120000U; }
};

/// statfs(2)'s answer. `fsid` is f_fsid folded into one number: 0 where the file system has none.
/// The blocks are counted in units of `fragment_size`.
struct FsStat {
  std::uint64_t blocks = 0;
  std::uint64_t blocks_free = 0;
  std::uint64_t blocks_available = 0;
  std::uint64_t files = 0;
  std::uint64_t files_free = 0;
  std::uint64_t fsid = 0;
  std::uint64_t type = 0;
  std::uint32_t block_size = 0;
  std::uint32_t fragment_size = 0;
  std::uint32_t name_max = 0;
  bool read_only = false;
};

/// Times for utimensat(2): absent stays as it is.
struct TimesChange {
  std::optional<proto::TimeChange> atime;
  std::optional<proto::TimeChange> mtime;
};

/// Who a thread acts as. `group` is its only supplementary group; without one a thread has those
/// that it began with while it acts as the user that it began as, and none while it acts as
/// another.
struct Identity {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::optional<std::uint32_t> group;
  std::uint32_t umask = 0;
  /// With fsuid 0: files that are written keep their set-id bits (CAP_FSETID). With another fsuid
  /// they never do.
  bool keeps_set_ids = true;
  friend bool operator==(const Identity&, const Identity&) noexcept = default;
};

/// Every call of ops into the kernel, so that a test can put faults, delays and short counts
/// between the two. All members may be called from any thread at once and hold no lock. An `fd` or
/// `dir` parameter is borrowed. Where a parameter is called `path_fd` an O_PATH descriptor will do.
/// Descriptors are opened with O_CLOEXEC; EINTR is retried where the call did nothing yet.
class Backing {
 public:
  virtual ~Backing() = default;

  // --- opening
  /// A branch's root, following symlinks, as O_PATH | O_DIRECTORY.
  virtual Result<Fd> open_root(const std::string& path) = 0;
  /// A directory below `root` by a relative path ("" is a fresh descriptor of the root itself) with
  /// RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS, and RESOLVE_NO_SYMLINKS unless `follow`. A symlink in
  /// the way is ELOOP, an absolute path and one that leaves the root EXDEV. Paths longer than
  /// PATH_MAX are walked in pieces; one with a zero byte in it (followed_path.hpp) is ELOOP.
  /// Without openat2(2) every path is walked name by name, ".." is always EXDEV, and a symlink that
  /// is followed may lead out.
  virtual Result<Fd> open_directory(int root, std::string_view path, int flags, bool follow) = 0;
  /// `name` in `dir`; O_NOFOLLOW and O_NOCTTY are added.
  virtual Result<Fd> open_at(int dir, const char* name, int flags, std::uint32_t mode) = 0;
  /// The same file once more with other flags (by /proc/self/fd); O_NOFOLLOW, O_CREAT, O_EXCL
  /// dropped.
  virtual Result<Fd> reopen(int path_fd, int flags) = 0;
  /// One more descriptor of what `fd` has open, of the same open file.
  virtual Result<Fd> duplicate(int fd) = 0;
  /// `fd` has from now on open what `by` has (dup3(2)): in one step, while others use it; calls
  /// that run go on with what it had.
  virtual Result<void> replace(int fd, int by) = 0;
  /// A lock of the whole file (flock(2)), until this descriptor and its duplicates are closed.
  /// EWOULDBLOCK: somebody has it.
  virtual Result<void> lock(int fd) = 0;
  /// Whether anybody, we ourselves among them, has the file open for writing; `fd` has it open for
  /// reading only. (A lease is taken, fcntl(2), and given back at once.) An error: the file system,
  /// or our rights, do not let it be told.
  virtual Result<bool> has_writers(int fd) = 0;
  /// Takes O_DIRECT from an open file. Calls that run meanwhile may still have it.
  virtual Result<void> clear_direct(int fd) = 0;
  /// A new file without a name in `dir` (O_TMPFILE).
  virtual Result<Fd> open_unnamed(int dir, int flags, std::uint32_t mode) = 0;

  // --- asking
  /// Never follows a symlink in the last place.
  virtual Result<FileStat> stat_at(int dir, const char* name) = 0;
  virtual Result<FileStat> stat(int path_fd) = 0;
  /// The same as far as this kernel knows it: of a file that a server has, the server is not asked.
  /// Its device and type are always known.
  virtual Result<FileStat> stat_unasked(int path_fd) = 0;
  /// The number of the mount (STATX_MNT_ID) that the file was reached by; no server is asked. While
  /// the descriptor is open no other mount gets it. ENOSYS: the kernel does not tell (before 5.8).
  virtual Result<std::uint64_t> mount_id(int path_fd) = 0;
  /// list_mounts().
  virtual Result<std::vector<Mount>> mounts() = 0;
  virtual Result<FsStat> statfs(int path_fd) = 0;
  /// The link's text; path_fd is the symlink itself.
  virtual Result<std::size_t> readlink(int path_fd, std::span<std::byte> out) = 0;
  /// getdents64(2) into `out`.
  virtual Result<std::size_t> list(int fd, std::span<std::byte> out) = 0;

  // --- names
  virtual Result<void> mkdir_at(int dir, const char* name, std::uint32_t mode) = 0;
  virtual Result<void> mknod_at(int dir, const char* name, std::uint32_t mode,
                                std::uint32_t rdev) = 0;
  virtual Result<void> symlink_at(const char* target, int dir, const char* name) = 0;
  /// Links the file of `path_fd` itself, not whatever its name means by now.
  virtual Result<void> link_fd(int path_fd, int dir, const char* name) = 0;
  virtual Result<void> unlink_at(int dir, const char* name) = 0;
  virtual Result<void> rmdir_at(int dir, const char* name) = 0;
  virtual Result<void> rename_at(int old_dir, const char* old_name, int new_dir,
                                 const char* new_name, std::uint32_t flags) = 0;

  // --- attributes
  virtual Result<void> chmod(int path_fd, std::uint32_t mode) = 0;
  /// 0xffffffff leaves an id as it is.
  virtual Result<void> chown(int path_fd, std::uint32_t uid, std::uint32_t gid) = 0;
  virtual Result<void> set_times(int path_fd, const TimesChange& times) = 0;
  /// A writable descriptor.
  virtual Result<void> truncate(int fd, std::uint64_t size) = 0;
  virtual Result<std::size_t> get_xattr(int path_fd, const char* name,
                                        std::span<std::byte> out) = 0;
  virtual Result<std::size_t> list_xattr(int path_fd, std::span<std::byte> out) = 0;
  virtual Result<void> set_xattr(int path_fd, const char* name, std::span<const std::byte> value,
                                 std::uint32_t flags) = 0;
  virtual Result<void> remove_xattr(int path_fd, const char* name) = 0;
  /// One of the ioctls of the allow-list (ops/ioctl); `argument` is its decoded structure.
  virtual Result<int> control(int fd, std::uint32_t command, std::span<std::byte> argument) = 0;

  // --- data
  virtual Result<std::size_t> read(int fd, std::span<std::byte> out, std::uint64_t offset) = 0;
  /// `append`: at the end of the file wherever that is (RWF_APPEND). The offset is where the caller
  /// believes it to be: XFS judges by it whether an O_DIRECT write is one of whole blocks (Linux
  /// 6.18), and puts what it finds on the disk in front of one that is not.
  virtual Result<std::size_t> write(int fd, std::span<const std::byte> data, std::uint64_t offset,
                                    bool append) = 0;
  virtual Result<void> sync(int fd, bool data_only) = 0;
  /// All that was changed on the file system of `fd` (syncfs(2)), which is open for something. What
  /// failed to be written since `fd` was opened is an error (Linux 5.8).
  virtual Result<void> sync_file_system(int fd) = 0;
  /// What close(2) would report of a descriptor that stays open.
  virtual Result<void> flush(int fd) = 0;
  /// The file's pages leave the page cache; of one that may have been written they go to the disk
  /// first, without which they would stay.
  virtual void drop_cache(int fd, bool written) noexcept = 0;
  virtual Result<void> allocate(int fd, std::uint32_t mode, std::uint64_t offset,
                                std::uint64_t length) = 0;
  virtual Result<std::uint64_t> seek(int fd, std::uint64_t offset, std::uint32_t whence) = 0;
  virtual Result<std::size_t> copy_range(int in, std::uint64_t in_offset, int out,
                                         std::uint64_t out_offset, std::size_t length) = 0;

  // --- the calling thread
  /// Gives the thread a umask and working directory of its own (unshare(CLONE_FS)).
  virtual Result<void> own_thread_state() = 0;
  /// The ids of the calling thread as they are now: fsuid, fsgid, umask. The kernel is asked at a
  /// thread's first use only (for the umask once more by own_thread_state()): from then on nothing
  /// but become() may change them on the thread.
  virtual Identity identity() = 0;
  /// fsgid, supplementary groups (the raw, per-thread system call), fsuid, umask, in this order;
  /// then the DAC capabilities and CAP_MKNOD are effective again if `keep_dac` and they are
  /// permitted, and with fsuid 0 CAP_FSETID as `keeps_set_ids` says. EPERM: an id could not be
  /// taken; the thread is who it was before.
  virtual Result<void> become(const Identity& who, bool keep_dac) = 0;
  /// The I/O priority (ioprio_get(2)) of the task `tid`, if it has one that can be asked for and
  /// taken, becomes the calling thread's; 0: the thread has the one again that it began with.
  virtual void act_with_priority_of(std::uint32_t tid) noexcept = 0;
  /// Disks serve the calling thread when nobody else asks them (ioprio_set(2), the idle class), as
  /// far as their scheduler knows the difference; and again as before.
  virtual void act_idle(bool idle) noexcept = 0;

  // --- what the machine is like
  /// Where a descriptor's file is, absolute; what is out of the process's sight, and what was
  /// removed, has a path that says so and cannot be used (/proc/self/fd).
  virtual Result<std::string> path_of(int path_fd) = 0;
  /// mounts.hpp's.
  virtual Result<bool> is_served_device(std::uint32_t major, std::uint32_t minor) = 0;
};

enum class Openat2 : std::uint8_t {
  kUse,  ///< until the kernel says that it has none (ENOSYS: before 5.6)
  kAvoid,
};
[[nodiscard]] std::unique_ptr<Backing> make_posix_backing(Openat2 openat2 = Openat2::kUse);

}  // namespace bough::ops
