#pragma once

#include <cstddef>
#include <cstdint>

/// The FUSE wire, protocol 7.31 to 7.46, under names of our own: no struct, enumerator or macro of
/// <linux/fuse.h> is declared here, so both can stand in one translation unit, whichever kernel
/// that header is from. Integers are host-endian; every size and offset is asserted below. Layout:
/// Linux, include/uapi/linux/fuse.h.
namespace bough::proto::abi {

// --- numbers

inline constexpr std::uint32_t kMajor = 7;
inline constexpr std::uint32_t kMinReadBuffer = 8192;
inline constexpr std::uint32_t kIoctlMaxIov = 256;
/// An id that the caller's has no counterpart for (ALLOW_IDMAP).
inline constexpr std::uint32_t kInvalidId = 0xffffffff;
inline constexpr std::uint32_t kStatfsType = 0x65735546;

enum class Opcode : std::uint32_t {
  kLookup = 1,
  kForget = 2,
  kGetattr = 3,
  kSetattr = 4,
  kReadlink = 5,
  kSymlink = 6,
  kMknod = 8,
  kMkdir = 9,
  kUnlink = 10,
  kRmdir = 11,
  kRename = 12,
  kLink = 13,
  kOpen = 14,
  kRead = 15,
  kWrite = 16,
  kStatfs = 17,
  kRelease = 18,
  kFsync = 20,
  kSetxattr = 21,
  kGetxattr = 22,
  kListxattr = 23,
  kRemovexattr = 24,
  kFlush = 25,
  kInit = 26,
  kOpendir = 27,
  kReaddir = 28,
  kReleasedir = 29,
  kFsyncdir = 30,
  kGetlk = 31,
  kSetlk = 32,
  kSetlkw = 33,
  kAccess = 34,
  kCreate = 35,
  kInterrupt = 36,
  kBmap = 37,
  kDestroy = 38,
  kIoctl = 39,
  kPoll = 40,
  kNotifyReply = 41,
  kBatchForget = 42,
  kFallocate = 43,
  kReaddirplus = 44,
  kRename2 = 45,
  kLseek = 46,
  kCopyFileRange = 47,
  kSetupmapping = 48,
  kRemovemapping = 49,
  kSyncfs = 50,
  kTmpfile = 51,
  kStatx = 52,
  kCopyFileRange64 = 53,
  kCuseInit = 4096,
  /// CUSE_INIT and INIT as a peer of the other byte order sends them.
  kCuseInitSwapped = 1048576,
  kInitSwapped = 436207616,
};

enum class NotifyCode : std::int32_t {
  kPoll = 1,
  kInvalInode = 2,
  kInvalEntry = 3,
  kStore = 4,
  kRetrieve = 5,
  kDelete = 6,
  kResend = 7,
  kIncEpoch = 8,
  kPrune = 9,
};

// SetattrIn.valid
inline constexpr std::uint32_t kSetMode = 1U << 0;
inline constexpr std::uint32_t kSetUid = 1U << 1;
inline constexpr std::uint32_t kSetGid = 1U << 2;
inline constexpr std::uint32_t kSetSize = 1U << 3;
inline constexpr std::uint32_t kSetAtime = 1U << 4;
inline constexpr std::uint32_t kSetMtime = 1U << 5;
inline constexpr std::uint32_t kSetHandle = 1U << 6;
inline constexpr std::uint32_t kSetAtimeNow = 1U << 7;
inline constexpr std::uint32_t kSetMtimeNow = 1U << 8;
inline constexpr std::uint32_t kSetLockOwner = 1U << 9;
inline constexpr std::uint32_t kSetCtime = 1U << 10;
inline constexpr std::uint32_t kSetKillSuidgid = 1U << 11;

/// OpenOut.open_flags, known to kernel and users as FOPEN_*.
namespace open_reply {
/// Reads and writes bypass the page cache.
inline constexpr std::uint32_t kDirectIo = 1U << 0;
/// The page cache (or listing cache) of earlier opens stays.
inline constexpr std::uint32_t kKeepCache = 1U << 1;
inline constexpr std::uint32_t kNonseekable = 1U << 2;
/// This directory handle fills and uses the kernel's listing cache.
inline constexpr std::uint32_t kCacheDir = 1U << 3;
inline constexpr std::uint32_t kStream = 1U << 4;
/// close(2) sends no FLUSH.
inline constexpr std::uint32_t kNoflush = 1U << 5;
/// With kDirectIo: writes within the size may run side by side.
inline constexpr std::uint32_t kParallelDirectWrites = 1U << 6;
/// Reads, writes and mappings go to the backing file of `backing_id`.
inline constexpr std::uint32_t kPassthrough = 1U << 7;
inline constexpr std::uint32_t kIoUringZeroCopy = 1U << 8;
}  // namespace open_reply

inline constexpr std::uint32_t kGetattrHandle = 1U << 0;
inline constexpr std::uint32_t kLockFlock = 1U << 0;
inline constexpr std::uint32_t kReadLockOwner = 1U << 1;
inline constexpr std::uint32_t kWriteCache = 1U << 0;
inline constexpr std::uint32_t kWriteLockOwner = 1U << 1;
inline constexpr std::uint32_t kWriteKillSuidgid = 1U << 2;
inline constexpr std::uint32_t kReleaseFlush = 1U << 0;
inline constexpr std::uint32_t kReleaseFlockUnlock = 1U << 1;
inline constexpr std::uint32_t kOpenKillSuidgid = 1U << 0;
inline constexpr std::uint32_t kSetxattrAclKillSgid = 1U << 0;
inline constexpr std::uint32_t kFsyncDataOnly = 1U << 0;
inline constexpr std::uint32_t kPollScheduleNotify = 1U << 0;
inline constexpr std::uint32_t kExpireOnly = 1U << 0;
inline constexpr std::uint32_t kAttrSubmount = 1U << 0;
inline constexpr std::uint32_t kAttrDax = 1U << 1;

inline constexpr std::uint32_t kIoctlCompat = 1U << 0;
inline constexpr std::uint32_t kIoctlUnrestricted = 1U << 1;
inline constexpr std::uint32_t kIoctlRetry = 1U << 2;
inline constexpr std::uint32_t kIoctl32Bit = 1U << 3;
inline constexpr std::uint32_t kIoctlDir = 1U << 4;
inline constexpr std::uint32_t kIoctlCompatX32 = 1U << 5;

/// Extension types up to this one are the number of security contexts in the record.
inline constexpr std::uint32_t kMaxSecurityContexts = 31;
inline constexpr std::uint32_t kExtensionGroups = 32;

// ioctl(2) on a device descriptor
inline constexpr unsigned long kDeviceClone = 0x8004e500UL;
inline constexpr unsigned long kDeviceBackingOpen = 0x4010e501UL;
inline constexpr unsigned long kDeviceBackingClose = 0x4004e502UL;
inline constexpr unsigned long kDeviceSyncInit = 0xe503UL;

// cmd_op of a ring's command
inline constexpr std::uint32_t kUringRegister = 1;
inline constexpr std::uint32_t kUringCommitAndFetch = 2;
inline constexpr std::uint32_t kUringAddQueue = 3;
inline constexpr std::uint32_t kUringAddBufpool = 4;
inline constexpr std::size_t kUringHeaderPart = 128;

// --- framing

struct InHeader {
  std::uint32_t len;
  std::uint32_t opcode;
  std::uint64_t unique;
  std::uint64_t nodeid;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint32_t pid;
  /// In units of 8 bytes, counted inside len.
  std::uint16_t total_extlen;
  std::uint16_t padding;
};

/// `error`: 0 or a negative errno; in a notification (unique 0) its positive code.
struct OutHeader {
  std::uint32_t len;
  std::int32_t error;
  std::uint64_t unique;
};

struct ExtHeader {
  std::uint32_t size;
  std::uint32_t type;
};
struct SecurityContextHeader {
  std::uint32_t size;
  std::uint32_t count;
};
struct SecurityContext {
  std::uint32_t size;
  std::uint32_t padding;
};
struct SuppGroups {
  std::uint32_t count;
};

// --- attributes

struct Attr {
  std::uint64_t ino;
  std::uint64_t size;
  std::uint64_t blocks;
  std::uint64_t atime;
  std::uint64_t mtime;
  std::uint64_t ctime;
  std::uint32_t atimensec;
  std::uint32_t mtimensec;
  std::uint32_t ctimensec;
  std::uint32_t mode;
  std::uint32_t nlink;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint32_t rdev;
  std::uint32_t blksize;
  std::uint32_t flags;
};

struct EntryOut {
  std::uint64_t nodeid;
  std::uint64_t generation;
  std::uint64_t entry_valid;
  std::uint64_t attr_valid;
  std::uint32_t entry_valid_nsec;
  std::uint32_t attr_valid_nsec;
  Attr attr;
};

struct AttrOut {
  std::uint64_t attr_valid;
  std::uint32_t attr_valid_nsec;
  std::uint32_t dummy;
  Attr attr;
};

struct GetattrIn {
  std::uint32_t getattr_flags;
  std::uint32_t dummy;
  std::uint64_t fh;
};

struct SetattrIn {
  std::uint32_t valid;
  std::uint32_t padding;
  std::uint64_t fh;
  std::uint64_t size;
  std::uint64_t lock_owner;
  std::uint64_t atime;
  std::uint64_t mtime;
  std::uint64_t ctime;
  std::uint32_t atimensec;
  std::uint32_t mtimensec;
  std::uint32_t ctimensec;
  std::uint32_t mode;
  std::uint32_t unused4;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint32_t unused5;
};

struct SxTime {
  std::int64_t tv_sec;
  std::uint32_t tv_nsec;
  std::int32_t reserved;
};

struct Statx {
  std::uint32_t mask;
  std::uint32_t blksize;
  std::uint64_t attributes;
  std::uint32_t nlink;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint16_t mode;
  std::uint16_t spare0;
  std::uint64_t ino;
  std::uint64_t size;
  std::uint64_t blocks;
  std::uint64_t attributes_mask;
  SxTime atime;
  SxTime btime;
  SxTime ctime;
  SxTime mtime;
  std::uint32_t rdev_major;
  std::uint32_t rdev_minor;
  std::uint32_t dev_major;
  std::uint32_t dev_minor;
  std::uint64_t spare2[14];
};

struct StatxIn {
  std::uint32_t getattr_flags;
  std::uint32_t reserved;
  std::uint64_t fh;
  std::uint32_t sx_flags;
  std::uint32_t sx_mask;
};

struct StatxOut {
  std::uint64_t attr_valid;
  std::uint32_t attr_valid_nsec;
  std::uint32_t flags;
  std::uint64_t spare[2];
  Statx stat;
};

struct StatfsOut {
  std::uint64_t blocks;
  std::uint64_t bfree;
  std::uint64_t bavail;
  std::uint64_t files;
  std::uint64_t ffree;
  std::uint32_t bsize;
  std::uint32_t namelen;
  std::uint32_t frsize;
  std::uint32_t padding;
  std::uint32_t spare[6];
};

// --- names

struct ForgetIn {
  std::uint64_t nlookup;
};
struct ForgetOne {
  std::uint64_t nodeid;
  std::uint64_t nlookup;
};
struct BatchForgetIn {
  std::uint32_t count;
  std::uint32_t dummy;
};
struct MknodIn {
  std::uint32_t mode;
  std::uint32_t rdev;
  std::uint32_t umask;
  std::uint32_t padding;
};
struct MkdirIn {
  std::uint32_t mode;
  std::uint32_t umask;
};
struct RenameIn {
  std::uint64_t newdir;
};
struct Rename2In {
  std::uint64_t newdir;
  std::uint32_t flags;
  std::uint32_t padding;
};
struct LinkIn {
  std::uint64_t oldnodeid;
};
struct AccessIn {
  std::uint32_t mask;
  std::uint32_t padding;
};

// --- files

struct OpenIn {
  std::uint32_t flags;
  std::uint32_t open_flags;
};
struct CreateIn {
  std::uint32_t flags;
  std::uint32_t mode;
  std::uint32_t umask;
  std::uint32_t open_flags;
};
/// backing_id is padding before 7.40.
struct OpenOut {
  std::uint64_t fh;
  std::uint32_t open_flags;
  std::int32_t backing_id;
};
struct CreateOut {
  EntryOut entry;
  OpenOut open;
};
struct ReleaseIn {
  std::uint64_t fh;
  std::uint32_t flags;
  std::uint32_t release_flags;
  std::uint64_t lock_owner;
};
struct FlushIn {
  std::uint64_t fh;
  std::uint32_t unused;
  std::uint32_t padding;
  std::uint64_t lock_owner;
};
struct FsyncIn {
  std::uint64_t fh;
  std::uint32_t fsync_flags;
  std::uint32_t padding;
};
struct ReadIn {
  std::uint64_t fh;
  std::uint64_t offset;
  std::uint32_t size;
  std::uint32_t read_flags;
  std::uint64_t lock_owner;
  std::uint32_t flags;
  std::uint32_t padding;
};
struct WriteIn {
  std::uint64_t fh;
  std::uint64_t offset;
  std::uint32_t size;
  std::uint32_t write_flags;
  std::uint64_t lock_owner;
  std::uint32_t flags;
  std::uint32_t padding;
};
struct WriteOut {
  std::uint32_t size;
  std::uint32_t padding;
};
struct FallocateIn {
  std::uint64_t fh;
  std::uint64_t offset;
  std::uint64_t length;
  std::uint32_t mode;
  std::uint32_t padding;
};
struct LseekIn {
  std::uint64_t fh;
  std::uint64_t offset;
  std::uint32_t whence;
  std::uint32_t padding;
};
struct LseekOut {
  std::uint64_t offset;
};
struct CopyFileRangeIn {
  std::uint64_t fh_in;
  std::uint64_t off_in;
  std::uint64_t nodeid_out;
  std::uint64_t fh_out;
  std::uint64_t off_out;
  std::uint64_t len;
  std::uint64_t flags;
};
struct CopyFileRangeOut {
  std::uint64_t bytes_copied;
};
struct BmapIn {
  std::uint64_t block;
  std::uint32_t blocksize;
  std::uint32_t padding;
};
struct BmapOut {
  std::uint64_t block;
};
struct SyncfsIn {
  std::uint64_t padding;
};

// --- directories: the name follows the struct, records are padded to 8 bytes

struct Dirent {
  std::uint64_t ino;
  std::uint64_t off;
  std::uint32_t namelen;
  std::uint32_t type;
};
struct Direntplus {
  EntryOut entry;
  Dirent dirent;
};

// --- extended attributes

/// The whole of it only when SETXATTR_EXT was agreed, else kSetxattrShort bytes.
struct SetxattrIn {
  std::uint32_t size;
  std::uint32_t flags;
  std::uint32_t setxattr_flags;
  std::uint32_t padding;
};
inline constexpr std::size_t kSetxattrShort = 8;
struct GetxattrIn {
  std::uint32_t size;
  std::uint32_t padding;
};
struct GetxattrOut {
  std::uint32_t size;
  std::uint32_t padding;
};

// --- locks, ioctl, poll

struct FileLock {
  std::uint64_t start;
  std::uint64_t end;
  std::uint32_t type;
  std::uint32_t pid;
};
struct LkIn {
  std::uint64_t fh;
  std::uint64_t owner;
  FileLock lk;
  std::uint32_t lk_flags;
  std::uint32_t padding;
};
struct LkOut {
  FileLock lk;
};
struct IoctlIn {
  std::uint64_t fh;
  std::uint32_t flags;
  std::uint32_t cmd;
  std::uint64_t arg;
  std::uint32_t in_size;
  std::uint32_t out_size;
};
struct IoctlIovec {
  std::uint64_t base;
  std::uint64_t len;
};
struct IoctlOut {
  std::int32_t result;
  std::uint32_t flags;
  std::uint32_t in_iovs;
  std::uint32_t out_iovs;
};
struct PollIn {
  std::uint64_t fh;
  std::uint64_t kh;
  std::uint32_t flags;
  std::uint32_t events;
};
struct PollOut {
  std::uint32_t revents;
  std::uint32_t padding;
};
struct InterruptIn {
  std::uint64_t unique;
};

// --- INIT

/// Kernels before 7.36 send kInitInShort bytes of it.
struct InitIn {
  std::uint32_t major;
  std::uint32_t minor;
  std::uint32_t max_readahead;
  std::uint32_t flags;
  std::uint32_t flags2;
  std::uint32_t unused[11];
};
inline constexpr std::size_t kInitInShort = 16;

struct InitOut {
  std::uint32_t major;
  std::uint32_t minor;
  std::uint32_t max_readahead;
  std::uint32_t flags;
  std::uint16_t max_background;
  std::uint16_t congestion_threshold;
  std::uint32_t max_write;
  std::uint32_t time_gran;
  std::uint16_t max_pages;
  std::uint16_t map_alignment;
  std::uint32_t flags2;
  std::uint32_t max_stack_depth;
  std::uint16_t request_timeout;
  std::uint16_t unused[11];
};

/// CUSE_INIT's, refused; without flags2.
struct CuseInitIn {
  std::uint32_t major;
  std::uint32_t minor;
  std::uint32_t unused;
  std::uint32_t flags;
};
struct CuseInitOut {
  std::uint32_t major;
  std::uint32_t minor;
  std::uint32_t unused;
  std::uint32_t flags;
  std::uint32_t max_read;
  std::uint32_t max_write;
  std::uint32_t dev_major;
  std::uint32_t dev_minor;
  std::uint32_t spare[10];
};

// --- DAX, refused (virtiofs alone sends it)

struct SetupmappingIn {
  std::uint64_t fh;
  std::uint64_t foffset;
  std::uint64_t len;
  std::uint64_t flags;
  std::uint64_t moffset;
};
struct RemovemappingIn {
  std::uint32_t count;
};
struct RemovemappingOne {
  std::uint64_t moffset;
  std::uint64_t len;
};

// --- notifications

struct NotifyPollOut {
  std::uint64_t kh;
};
struct NotifyInvalInodeOut {
  std::uint64_t ino;
  std::int64_t off;
  std::int64_t len;
};
struct NotifyInvalEntryOut {
  std::uint64_t parent;
  std::uint32_t namelen;
  std::uint32_t flags;
};
struct NotifyDeleteOut {
  std::uint64_t parent;
  std::uint64_t child;
  std::uint32_t namelen;
  std::uint32_t padding;
};
struct NotifyStoreOut {
  std::uint64_t nodeid;
  std::uint64_t offset;
  std::uint32_t size;
  std::uint32_t padding;
};
struct NotifyRetrieveOut {
  std::uint64_t notify_unique;
  std::uint64_t nodeid;
  std::uint64_t offset;
  std::uint32_t size;
  std::uint32_t padding;
};
struct NotifyRetrieveIn {
  std::uint64_t dummy1;
  std::uint64_t offset;
  std::uint32_t size;
  std::uint32_t dummy2;
  std::uint64_t dummy3;
  std::uint64_t dummy4;
};
struct NotifyPruneOut {
  std::uint32_t count;
  std::uint32_t padding;
  std::uint64_t spare;
};

// --- passthrough and the ring

struct BackingMap {
  std::int32_t fd;
  std::uint32_t flags;
  std::uint64_t padding;
};

/// The command area of an SQE128, at its offset 48.
struct UringCommand {
  std::uint64_t flags;
  std::uint64_t commit_id;
  std::uint16_t qid;
  std::uint8_t padding[6];
  /// From 7.46 on, the pool of kUringAddBufpool; a kernel before that reads none of it.
  std::uint64_t bufpool_address;
  std::uint32_t bufpool_size;
  std::uint32_t bufpool_reserved;
};
struct UringEntry {
  std::uint64_t flags;
  std::uint64_t commit_id;
  std::uint32_t payload_size;
  /// Of the payload in the queue's pool; padding before 7.46.
  std::uint32_t bufpool_offset;
  std::uint64_t reserved;
};
struct UringHeader {
  char in_out[kUringHeaderPart];
  char op_in[kUringHeaderPart];
  UringEntry entry;
};

}  // namespace bough::proto::abi
