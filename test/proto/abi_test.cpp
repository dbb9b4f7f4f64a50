// The whole of proto stands beside the system's header in this one file; where that header has a
// struct or a number, ours must be the same.
#include <linux/fuse.h>
#include <sys/ioctl.h>

#include "proto/decode.hpp"
#include "proto/encode.hpp"
#include "proto/filesystem.hpp"
#include "proto/kernel_abi.hpp"
#include "proto/opcode.hpp"
#include "proto/render.hpp"

#include <doctest/doctest.h>

#include <cstddef>

namespace abi = bough::proto::abi;
using bough::proto::Feature;

#define SAME_SIZE(ours, theirs) static_assert(sizeof(abi::ours) == sizeof(struct theirs))
#define SAME_FIELD(ours, field, theirs, their_field)                                  \
  static_assert(offsetof(abi::ours, field) == offsetof(struct theirs, their_field) && \
                sizeof(abi::ours::field) == sizeof(theirs::their_field))
#define SAME_OPCODE(ours, theirs) \
  static_assert(static_cast<unsigned>(abi::Opcode::ours) == (theirs))
#define SAME_NOTIFY(ours, theirs) static_assert(static_cast<int>(abi::NotifyCode::ours) == (theirs))
#define SAME_FEATURE(ours, theirs)                                            \
  static_assert((std::uint64_t{1} << static_cast<unsigned>(Feature::ours)) == \
                static_cast<std::uint64_t>(theirs))

SAME_SIZE(InHeader, fuse_in_header);
SAME_FIELD(InHeader, len, fuse_in_header, len);
SAME_FIELD(InHeader, opcode, fuse_in_header, opcode);
SAME_FIELD(InHeader, unique, fuse_in_header, unique);
SAME_FIELD(InHeader, nodeid, fuse_in_header, nodeid);
SAME_FIELD(InHeader, uid, fuse_in_header, uid);
SAME_FIELD(InHeader, gid, fuse_in_header, gid);
SAME_FIELD(InHeader, pid, fuse_in_header, pid);
SAME_SIZE(OutHeader, fuse_out_header);
SAME_FIELD(OutHeader, len, fuse_out_header, len);
SAME_FIELD(OutHeader, error, fuse_out_header, error);
SAME_FIELD(OutHeader, unique, fuse_out_header, unique);

SAME_SIZE(Attr, fuse_attr);
SAME_FIELD(Attr, ino, fuse_attr, ino);
SAME_FIELD(Attr, size, fuse_attr, size);
SAME_FIELD(Attr, blocks, fuse_attr, blocks);
SAME_FIELD(Attr, atime, fuse_attr, atime);
SAME_FIELD(Attr, mtime, fuse_attr, mtime);
SAME_FIELD(Attr, ctime, fuse_attr, ctime);
SAME_FIELD(Attr, atimensec, fuse_attr, atimensec);
SAME_FIELD(Attr, mtimensec, fuse_attr, mtimensec);
SAME_FIELD(Attr, ctimensec, fuse_attr, ctimensec);
SAME_FIELD(Attr, mode, fuse_attr, mode);
SAME_FIELD(Attr, nlink, fuse_attr, nlink);
SAME_FIELD(Attr, uid, fuse_attr, uid);
SAME_FIELD(Attr, gid, fuse_attr, gid);
SAME_FIELD(Attr, rdev, fuse_attr, rdev);
SAME_FIELD(Attr, blksize, fuse_attr, blksize);
SAME_SIZE(EntryOut, fuse_entry_out);
SAME_FIELD(EntryOut, nodeid, fuse_entry_out, nodeid);
SAME_FIELD(EntryOut, generation, fuse_entry_out, generation);
SAME_FIELD(EntryOut, entry_valid, fuse_entry_out, entry_valid);
SAME_FIELD(EntryOut, attr_valid, fuse_entry_out, attr_valid);
SAME_FIELD(EntryOut, entry_valid_nsec, fuse_entry_out, entry_valid_nsec);
SAME_FIELD(EntryOut, attr_valid_nsec, fuse_entry_out, attr_valid_nsec);
SAME_FIELD(EntryOut, attr, fuse_entry_out, attr);
SAME_SIZE(AttrOut, fuse_attr_out);
SAME_FIELD(AttrOut, attr_valid, fuse_attr_out, attr_valid);
SAME_FIELD(AttrOut, attr_valid_nsec, fuse_attr_out, attr_valid_nsec);
SAME_FIELD(AttrOut, attr, fuse_attr_out, attr);
SAME_SIZE(GetattrIn, fuse_getattr_in);
SAME_FIELD(GetattrIn, getattr_flags, fuse_getattr_in, getattr_flags);
SAME_FIELD(GetattrIn, fh, fuse_getattr_in, fh);
SAME_SIZE(SetattrIn, fuse_setattr_in);
SAME_FIELD(SetattrIn, valid, fuse_setattr_in, valid);
SAME_FIELD(SetattrIn, fh, fuse_setattr_in, fh);
SAME_FIELD(SetattrIn, size, fuse_setattr_in, size);
SAME_FIELD(SetattrIn, lock_owner, fuse_setattr_in, lock_owner);
SAME_FIELD(SetattrIn, atime, fuse_setattr_in, atime);
SAME_FIELD(SetattrIn, mtime, fuse_setattr_in, mtime);
SAME_FIELD(SetattrIn, ctime, fuse_setattr_in, ctime);
SAME_FIELD(SetattrIn, atimensec, fuse_setattr_in, atimensec);
SAME_FIELD(SetattrIn, mtimensec, fuse_setattr_in, mtimensec);
SAME_FIELD(SetattrIn, ctimensec, fuse_setattr_in, ctimensec);
SAME_FIELD(SetattrIn, mode, fuse_setattr_in, mode);
SAME_FIELD(SetattrIn, uid, fuse_setattr_in, uid);
SAME_FIELD(SetattrIn, gid, fuse_setattr_in, gid);
SAME_SIZE(StatfsOut, fuse_statfs_out);
SAME_FIELD(StatfsOut, blocks, fuse_kstatfs, blocks);
SAME_FIELD(StatfsOut, bfree, fuse_kstatfs, bfree);
SAME_FIELD(StatfsOut, bavail, fuse_kstatfs, bavail);
SAME_FIELD(StatfsOut, files, fuse_kstatfs, files);
SAME_FIELD(StatfsOut, ffree, fuse_kstatfs, ffree);
SAME_FIELD(StatfsOut, bsize, fuse_kstatfs, bsize);
SAME_FIELD(StatfsOut, namelen, fuse_kstatfs, namelen);
SAME_FIELD(StatfsOut, frsize, fuse_kstatfs, frsize);

SAME_SIZE(ForgetIn, fuse_forget_in);
SAME_SIZE(ForgetOne, fuse_forget_one);
SAME_FIELD(ForgetOne, nodeid, fuse_forget_one, nodeid);
SAME_FIELD(ForgetOne, nlookup, fuse_forget_one, nlookup);
SAME_SIZE(BatchForgetIn, fuse_batch_forget_in);
SAME_FIELD(BatchForgetIn, count, fuse_batch_forget_in, count);
SAME_SIZE(MknodIn, fuse_mknod_in);
SAME_FIELD(MknodIn, mode, fuse_mknod_in, mode);
SAME_FIELD(MknodIn, rdev, fuse_mknod_in, rdev);
SAME_FIELD(MknodIn, umask, fuse_mknod_in, umask);
SAME_SIZE(MkdirIn, fuse_mkdir_in);
SAME_FIELD(MkdirIn, mode, fuse_mkdir_in, mode);
SAME_FIELD(MkdirIn, umask, fuse_mkdir_in, umask);
SAME_SIZE(RenameIn, fuse_rename_in);
SAME_SIZE(Rename2In, fuse_rename2_in);
SAME_FIELD(Rename2In, newdir, fuse_rename2_in, newdir);
SAME_FIELD(Rename2In, flags, fuse_rename2_in, flags);
SAME_SIZE(LinkIn, fuse_link_in);
SAME_SIZE(AccessIn, fuse_access_in);
SAME_FIELD(AccessIn, mask, fuse_access_in, mask);

SAME_SIZE(OpenIn, fuse_open_in);
SAME_FIELD(OpenIn, flags, fuse_open_in, flags);
SAME_SIZE(CreateIn, fuse_create_in);
SAME_FIELD(CreateIn, flags, fuse_create_in, flags);
SAME_FIELD(CreateIn, mode, fuse_create_in, mode);
SAME_FIELD(CreateIn, umask, fuse_create_in, umask);
SAME_SIZE(OpenOut, fuse_open_out);
SAME_FIELD(OpenOut, fh, fuse_open_out, fh);
SAME_FIELD(OpenOut, open_flags, fuse_open_out, open_flags);
SAME_SIZE(ReleaseIn, fuse_release_in);
SAME_FIELD(ReleaseIn, fh, fuse_release_in, fh);
SAME_FIELD(ReleaseIn, flags, fuse_release_in, flags);
SAME_FIELD(ReleaseIn, release_flags, fuse_release_in, release_flags);
SAME_FIELD(ReleaseIn, lock_owner, fuse_release_in, lock_owner);
SAME_SIZE(FlushIn, fuse_flush_in);
SAME_FIELD(FlushIn, fh, fuse_flush_in, fh);
SAME_FIELD(FlushIn, lock_owner, fuse_flush_in, lock_owner);
SAME_SIZE(FsyncIn, fuse_fsync_in);
SAME_FIELD(FsyncIn, fh, fuse_fsync_in, fh);
SAME_FIELD(FsyncIn, fsync_flags, fuse_fsync_in, fsync_flags);
SAME_SIZE(ReadIn, fuse_read_in);
SAME_FIELD(ReadIn, fh, fuse_read_in, fh);
SAME_FIELD(ReadIn, offset, fuse_read_in, offset);
SAME_FIELD(ReadIn, size, fuse_read_in, size);
SAME_FIELD(ReadIn, read_flags, fuse_read_in, read_flags);
SAME_FIELD(ReadIn, lock_owner, fuse_read_in, lock_owner);
SAME_FIELD(ReadIn, flags, fuse_read_in, flags);
SAME_SIZE(WriteIn, fuse_write_in);
SAME_FIELD(WriteIn, fh, fuse_write_in, fh);
SAME_FIELD(WriteIn, offset, fuse_write_in, offset);
SAME_FIELD(WriteIn, size, fuse_write_in, size);
SAME_FIELD(WriteIn, write_flags, fuse_write_in, write_flags);
SAME_FIELD(WriteIn, lock_owner, fuse_write_in, lock_owner);
SAME_FIELD(WriteIn, flags, fuse_write_in, flags);
SAME_SIZE(WriteOut, fuse_write_out);
SAME_SIZE(FallocateIn, fuse_fallocate_in);
SAME_FIELD(FallocateIn, fh, fuse_fallocate_in, fh);
SAME_FIELD(FallocateIn, offset, fuse_fallocate_in, offset);
SAME_FIELD(FallocateIn, length, fuse_fallocate_in, length);
SAME_FIELD(FallocateIn, mode, fuse_fallocate_in, mode);
SAME_SIZE(LseekIn, fuse_lseek_in);
SAME_FIELD(LseekIn, offset, fuse_lseek_in, offset);
SAME_FIELD(LseekIn, whence, fuse_lseek_in, whence);
SAME_SIZE(LseekOut, fuse_lseek_out);
SAME_SIZE(CopyFileRangeIn, fuse_copy_file_range_in);
SAME_FIELD(CopyFileRangeIn, off_in, fuse_copy_file_range_in, off_in);
SAME_FIELD(CopyFileRangeIn, nodeid_out, fuse_copy_file_range_in, nodeid_out);
SAME_FIELD(CopyFileRangeIn, fh_out, fuse_copy_file_range_in, fh_out);
SAME_FIELD(CopyFileRangeIn, off_out, fuse_copy_file_range_in, off_out);
SAME_FIELD(CopyFileRangeIn, len, fuse_copy_file_range_in, len);
SAME_FIELD(CopyFileRangeIn, flags, fuse_copy_file_range_in, flags);
SAME_SIZE(BmapIn, fuse_bmap_in);
SAME_FIELD(BmapIn, blocksize, fuse_bmap_in, blocksize);
SAME_SIZE(BmapOut, fuse_bmap_out);

static_assert(offsetof(struct fuse_dirent, name) == sizeof(abi::Dirent));
SAME_FIELD(Dirent, ino, fuse_dirent, ino);
SAME_FIELD(Dirent, off, fuse_dirent, off);
SAME_FIELD(Dirent, namelen, fuse_dirent, namelen);
SAME_FIELD(Dirent, type, fuse_dirent, type);
static_assert(FUSE_NAME_OFFSET_DIRENTPLUS == sizeof(abi::Direntplus));
static_assert(offsetof(abi::Direntplus, dirent) == offsetof(struct fuse_direntplus, dirent));

SAME_SIZE(GetxattrIn, fuse_getxattr_in);
SAME_SIZE(GetxattrOut, fuse_getxattr_out);
SAME_SIZE(FileLock, fuse_file_lock);
SAME_FIELD(FileLock, start, fuse_file_lock, start);
SAME_FIELD(FileLock, end, fuse_file_lock, end);
SAME_FIELD(FileLock, type, fuse_file_lock, type);
SAME_FIELD(FileLock, pid, fuse_file_lock, pid);
SAME_SIZE(LkIn, fuse_lk_in);
SAME_FIELD(LkIn, owner, fuse_lk_in, owner);
SAME_FIELD(LkIn, lk, fuse_lk_in, lk);
SAME_FIELD(LkIn, lk_flags, fuse_lk_in, lk_flags);
SAME_SIZE(LkOut, fuse_lk_out);
SAME_SIZE(IoctlIn, fuse_ioctl_in);
SAME_FIELD(IoctlIn, flags, fuse_ioctl_in, flags);
SAME_FIELD(IoctlIn, cmd, fuse_ioctl_in, cmd);
SAME_FIELD(IoctlIn, arg, fuse_ioctl_in, arg);
SAME_FIELD(IoctlIn, in_size, fuse_ioctl_in, in_size);
SAME_FIELD(IoctlIn, out_size, fuse_ioctl_in, out_size);
SAME_SIZE(IoctlIovec, fuse_ioctl_iovec);
SAME_SIZE(IoctlOut, fuse_ioctl_out);
SAME_FIELD(IoctlOut, result, fuse_ioctl_out, result);
SAME_SIZE(PollIn, fuse_poll_in);
SAME_FIELD(PollIn, kh, fuse_poll_in, kh);
SAME_FIELD(PollIn, flags, fuse_poll_in, flags);
SAME_FIELD(PollIn, events, fuse_poll_in, events);
SAME_SIZE(PollOut, fuse_poll_out);
SAME_SIZE(InterruptIn, fuse_interrupt_in);

SAME_FIELD(InitIn, max_readahead, fuse_init_in, max_readahead);
SAME_FIELD(InitIn, flags, fuse_init_in, flags);
SAME_SIZE(InitOut, fuse_init_out);
SAME_FIELD(InitOut, major, fuse_init_out, major);
SAME_FIELD(InitOut, minor, fuse_init_out, minor);
SAME_FIELD(InitOut, max_readahead, fuse_init_out, max_readahead);
SAME_FIELD(InitOut, flags, fuse_init_out, flags);
SAME_FIELD(InitOut, max_background, fuse_init_out, max_background);
SAME_FIELD(InitOut, congestion_threshold, fuse_init_out, congestion_threshold);
SAME_FIELD(InitOut, max_write, fuse_init_out, max_write);
SAME_FIELD(InitOut, time_gran, fuse_init_out, time_gran);
SAME_FIELD(InitOut, max_pages, fuse_init_out, max_pages);
SAME_SIZE(CuseInitIn, cuse_init_in);
SAME_SIZE(CuseInitOut, cuse_init_out);
SAME_FIELD(CuseInitOut, dev_minor, cuse_init_out, dev_minor);

SAME_SIZE(NotifyPollOut, fuse_notify_poll_wakeup_out);
SAME_SIZE(NotifyInvalInodeOut, fuse_notify_inval_inode_out);
SAME_FIELD(NotifyInvalInodeOut, off, fuse_notify_inval_inode_out, off);
SAME_FIELD(NotifyInvalInodeOut, len, fuse_notify_inval_inode_out, len);
SAME_SIZE(NotifyInvalEntryOut, fuse_notify_inval_entry_out);
SAME_FIELD(NotifyInvalEntryOut, namelen, fuse_notify_inval_entry_out, namelen);
SAME_SIZE(NotifyDeleteOut, fuse_notify_delete_out);
SAME_FIELD(NotifyDeleteOut, child, fuse_notify_delete_out, child);
SAME_FIELD(NotifyDeleteOut, namelen, fuse_notify_delete_out, namelen);
SAME_SIZE(NotifyStoreOut, fuse_notify_store_out);
SAME_FIELD(NotifyStoreOut, offset, fuse_notify_store_out, offset);
SAME_FIELD(NotifyStoreOut, size, fuse_notify_store_out, size);
SAME_SIZE(NotifyRetrieveOut, fuse_notify_retrieve_out);
SAME_FIELD(NotifyRetrieveOut, nodeid, fuse_notify_retrieve_out, nodeid);
SAME_FIELD(NotifyRetrieveOut, offset, fuse_notify_retrieve_out, offset);
SAME_FIELD(NotifyRetrieveOut, size, fuse_notify_retrieve_out, size);
SAME_SIZE(NotifyRetrieveIn, fuse_notify_retrieve_in);
SAME_FIELD(NotifyRetrieveIn, offset, fuse_notify_retrieve_in, offset);
SAME_FIELD(NotifyRetrieveIn, size, fuse_notify_retrieve_in, size);

static_assert(abi::kMajor == FUSE_KERNEL_VERSION);
static_assert(abi::kMinReadBuffer == FUSE_MIN_READ_BUFFER);
static_assert(abi::kIoctlMaxIov == FUSE_IOCTL_MAX_IOV);
static_assert(abi::kDeviceClone == FUSE_DEV_IOC_CLONE);
static_assert(bough::proto::kRootNode.value == FUSE_ROOT_ID);

static_assert(abi::kSetMode == FATTR_MODE && abi::kSetUid == FATTR_UID &&
              abi::kSetGid == FATTR_GID && abi::kSetSize == FATTR_SIZE &&
              abi::kSetAtime == FATTR_ATIME && abi::kSetMtime == FATTR_MTIME &&
              abi::kSetHandle == FATTR_FH && abi::kSetAtimeNow == FATTR_ATIME_NOW &&
              abi::kSetMtimeNow == FATTR_MTIME_NOW && abi::kSetLockOwner == FATTR_LOCKOWNER &&
              abi::kSetCtime == FATTR_CTIME);
static_assert(abi::open_reply::kDirectIo == FOPEN_DIRECT_IO &&
              abi::open_reply::kKeepCache == FOPEN_KEEP_CACHE &&
              abi::open_reply::kNonseekable == FOPEN_NONSEEKABLE &&
              abi::open_reply::kCacheDir == FOPEN_CACHE_DIR &&
              abi::open_reply::kStream == FOPEN_STREAM);
static_assert(abi::kGetattrHandle == FUSE_GETATTR_FH && abi::kLockFlock == FUSE_LK_FLOCK &&
              abi::kReadLockOwner == FUSE_READ_LOCKOWNER && abi::kWriteCache == FUSE_WRITE_CACHE &&
              abi::kWriteLockOwner == FUSE_WRITE_LOCKOWNER &&
              abi::kReleaseFlush == FUSE_RELEASE_FLUSH &&
              abi::kReleaseFlockUnlock == FUSE_RELEASE_FLOCK_UNLOCK &&
              abi::kFsyncDataOnly == FUSE_FSYNC_FDATASYNC &&
              abi::kPollScheduleNotify == FUSE_POLL_SCHEDULE_NOTIFY);
static_assert(abi::kIoctlCompat == FUSE_IOCTL_COMPAT &&
              abi::kIoctlUnrestricted == FUSE_IOCTL_UNRESTRICTED &&
              abi::kIoctlRetry == FUSE_IOCTL_RETRY && abi::kIoctl32Bit == FUSE_IOCTL_32BIT &&
              abi::kIoctlDir == FUSE_IOCTL_DIR && abi::kIoctlCompatX32 == FUSE_IOCTL_COMPAT_X32);
static_assert(bough::proto::IoctlRequest::kCompat == abi::kIoctlCompat &&
              bough::proto::IoctlRequest::kUnrestricted == abi::kIoctlUnrestricted &&
              bough::proto::IoctlRequest::kDirectory == abi::kIoctlDir);

SAME_OPCODE(kLookup, FUSE_LOOKUP);
SAME_OPCODE(kForget, FUSE_FORGET);
SAME_OPCODE(kGetattr, FUSE_GETATTR);
SAME_OPCODE(kSetattr, FUSE_SETATTR);
SAME_OPCODE(kReadlink, FUSE_READLINK);
SAME_OPCODE(kSymlink, FUSE_SYMLINK);
SAME_OPCODE(kMknod, FUSE_MKNOD);
SAME_OPCODE(kMkdir, FUSE_MKDIR);
SAME_OPCODE(kUnlink, FUSE_UNLINK);
SAME_OPCODE(kRmdir, FUSE_RMDIR);
SAME_OPCODE(kRename, FUSE_RENAME);
SAME_OPCODE(kLink, FUSE_LINK);
SAME_OPCODE(kOpen, FUSE_OPEN);
SAME_OPCODE(kRead, FUSE_READ);
SAME_OPCODE(kWrite, FUSE_WRITE);
SAME_OPCODE(kStatfs, FUSE_STATFS);
SAME_OPCODE(kRelease, FUSE_RELEASE);
SAME_OPCODE(kFsync, FUSE_FSYNC);
SAME_OPCODE(kSetxattr, FUSE_SETXATTR);
SAME_OPCODE(kGetxattr, FUSE_GETXATTR);
SAME_OPCODE(kListxattr, FUSE_LISTXATTR);
SAME_OPCODE(kRemovexattr, FUSE_REMOVEXATTR);
SAME_OPCODE(kFlush, FUSE_FLUSH);
SAME_OPCODE(kInit, FUSE_INIT);
SAME_OPCODE(kOpendir, FUSE_OPENDIR);
SAME_OPCODE(kReaddir, FUSE_READDIR);
SAME_OPCODE(kReleasedir, FUSE_RELEASEDIR);
SAME_OPCODE(kFsyncdir, FUSE_FSYNCDIR);
SAME_OPCODE(kGetlk, FUSE_GETLK);
SAME_OPCODE(kSetlk, FUSE_SETLK);
SAME_OPCODE(kSetlkw, FUSE_SETLKW);
SAME_OPCODE(kAccess, FUSE_ACCESS);
SAME_OPCODE(kCreate, FUSE_CREATE);
SAME_OPCODE(kInterrupt, FUSE_INTERRUPT);
SAME_OPCODE(kBmap, FUSE_BMAP);
SAME_OPCODE(kDestroy, FUSE_DESTROY);
SAME_OPCODE(kIoctl, FUSE_IOCTL);
SAME_OPCODE(kPoll, FUSE_POLL);
SAME_OPCODE(kNotifyReply, FUSE_NOTIFY_REPLY);
SAME_OPCODE(kBatchForget, FUSE_BATCH_FORGET);
SAME_OPCODE(kFallocate, FUSE_FALLOCATE);
SAME_OPCODE(kReaddirplus, FUSE_READDIRPLUS);
SAME_OPCODE(kRename2, FUSE_RENAME2);
SAME_OPCODE(kLseek, FUSE_LSEEK);
SAME_OPCODE(kCopyFileRange, FUSE_COPY_FILE_RANGE);
SAME_OPCODE(kCuseInit, CUSE_INIT);

SAME_NOTIFY(kPoll, FUSE_NOTIFY_POLL);
SAME_NOTIFY(kInvalInode, FUSE_NOTIFY_INVAL_INODE);
SAME_NOTIFY(kInvalEntry, FUSE_NOTIFY_INVAL_ENTRY);
SAME_NOTIFY(kStore, FUSE_NOTIFY_STORE);
SAME_NOTIFY(kRetrieve, FUSE_NOTIFY_RETRIEVE);
SAME_NOTIFY(kDelete, FUSE_NOTIFY_DELETE);

SAME_FEATURE(kAsyncRead, FUSE_ASYNC_READ);
SAME_FEATURE(kPosixLocks, FUSE_POSIX_LOCKS);
SAME_FEATURE(kFileOps, FUSE_FILE_OPS);
SAME_FEATURE(kAtomicOTrunc, FUSE_ATOMIC_O_TRUNC);
SAME_FEATURE(kExportSupport, FUSE_EXPORT_SUPPORT);
SAME_FEATURE(kBigWrites, FUSE_BIG_WRITES);
SAME_FEATURE(kDontMask, FUSE_DONT_MASK);
SAME_FEATURE(kSpliceWrite, FUSE_SPLICE_WRITE);
SAME_FEATURE(kSpliceMove, FUSE_SPLICE_MOVE);
SAME_FEATURE(kSpliceRead, FUSE_SPLICE_READ);
SAME_FEATURE(kFlockLocks, FUSE_FLOCK_LOCKS);
SAME_FEATURE(kHasIoctlDir, FUSE_HAS_IOCTL_DIR);
SAME_FEATURE(kAutoInvalData, FUSE_AUTO_INVAL_DATA);
SAME_FEATURE(kDoReaddirplus, FUSE_DO_READDIRPLUS);
SAME_FEATURE(kReaddirplusAuto, FUSE_READDIRPLUS_AUTO);
SAME_FEATURE(kAsyncDio, FUSE_ASYNC_DIO);
SAME_FEATURE(kWritebackCache, FUSE_WRITEBACK_CACHE);
SAME_FEATURE(kNoOpenSupport, FUSE_NO_OPEN_SUPPORT);
SAME_FEATURE(kParallelDirops, FUSE_PARALLEL_DIROPS);
SAME_FEATURE(kHandleKillpriv, FUSE_HANDLE_KILLPRIV);
SAME_FEATURE(kPosixAcl, FUSE_POSIX_ACL);
SAME_FEATURE(kAbortError, FUSE_ABORT_ERROR);
SAME_FEATURE(kMaxPages, FUSE_MAX_PAGES);
SAME_FEATURE(kCacheSymlinks, FUSE_CACHE_SYMLINKS);
SAME_FEATURE(kNoOpendirSupport, FUSE_NO_OPENDIR_SUPPORT);
SAME_FEATURE(kExplicitInvalData, FUSE_EXPLICIT_INVAL_DATA);

#if FUSE_KERNEL_MINOR_VERSION >= 33
SAME_SIZE(SetxattrIn, fuse_setxattr_in);
SAME_FIELD(SetxattrIn, setxattr_flags, fuse_setxattr_in, setxattr_flags);
static_assert(abi::kSetxattrShort == FUSE_COMPAT_SETXATTR_IN_SIZE);
static_assert(abi::kSetxattrAclKillSgid == FUSE_SETXATTR_ACL_KILL_SGID);
static_assert(abi::kWriteKillSuidgid == FUSE_WRITE_KILL_SUIDGID);
static_assert(abi::kOpenKillSuidgid == FUSE_OPEN_KILL_SUIDGID);
static_assert(abi::kSetKillSuidgid == FATTR_KILL_SUIDGID);
SAME_FIELD(OpenIn, open_flags, fuse_open_in, open_flags);
SAME_FIELD(CreateIn, open_flags, fuse_create_in, open_flags);
SAME_OPCODE(kSetupmapping, FUSE_SETUPMAPPING);
SAME_OPCODE(kRemovemapping, FUSE_REMOVEMAPPING);
SAME_SIZE(SetupmappingIn, fuse_setupmapping_in);
SAME_SIZE(RemovemappingIn, fuse_removemapping_in);
SAME_SIZE(RemovemappingOne, fuse_removemapping_one);
SAME_FIELD(Attr, flags, fuse_attr, flags);
SAME_FIELD(InitOut, map_alignment, fuse_init_out, map_alignment);
SAME_FEATURE(kMapAlignment, FUSE_MAP_ALIGNMENT);
SAME_FEATURE(kSubmounts, FUSE_SUBMOUNTS);
SAME_FEATURE(kHandleKillprivV2, FUSE_HANDLE_KILLPRIV_V2);
SAME_FEATURE(kSetxattrExt, FUSE_SETXATTR_EXT);
#endif

#if FUSE_KERNEL_MINOR_VERSION >= 36
SAME_SIZE(InitIn, fuse_init_in);
SAME_FIELD(InitIn, flags2, fuse_init_in, flags2);
SAME_FIELD(InitOut, flags2, fuse_init_out, flags2);
SAME_SIZE(SecurityContext, fuse_secctx);
SAME_SIZE(SecurityContextHeader, fuse_secctx_header);
SAME_FIELD(SecurityContextHeader, count, fuse_secctx_header, nr_secctx);
SAME_SIZE(SyncfsIn, fuse_syncfs_in);
SAME_OPCODE(kSyncfs, FUSE_SYNCFS);
SAME_FEATURE(kInitExt, FUSE_INIT_EXT);
SAME_FEATURE(kSecurityCtx, FUSE_SECURITY_CTX);
SAME_FEATURE(kHasInodeDax, FUSE_HAS_INODE_DAX);
static_assert(abi::open_reply::kNoflush == FOPEN_NOFLUSH);
#endif

#if FUSE_KERNEL_MINOR_VERSION >= 38
SAME_FIELD(InHeader, total_extlen, fuse_in_header, total_extlen);
SAME_SIZE(ExtHeader, fuse_ext_header);
SAME_FIELD(ExtHeader, type, fuse_ext_header, type);
SAME_FIELD(NotifyInvalEntryOut, flags, fuse_notify_inval_entry_out, flags);
SAME_OPCODE(kTmpfile, FUSE_TMPFILE);
SAME_OPCODE(kCuseInitSwapped, CUSE_INIT_BSWAP_RESERVED);
SAME_OPCODE(kInitSwapped, FUSE_INIT_BSWAP_RESERVED);
SAME_FEATURE(kHasExpireOnly, FUSE_HAS_EXPIRE_ONLY);
static_assert(abi::kExpireOnly == FUSE_EXPIRE_ONLY);
static_assert(abi::kMaxSecurityContexts == FUSE_MAX_NR_SECCTX);
static_assert(abi::open_reply::kParallelDirectWrites == FOPEN_PARALLEL_DIRECT_WRITES);
#endif

#if FUSE_KERNEL_MINOR_VERSION >= 39
SAME_SIZE(SxTime, fuse_sx_time);
SAME_SIZE(Statx, fuse_statx);
SAME_FIELD(Statx, attributes_mask, fuse_statx, attributes_mask);
SAME_FIELD(Statx, btime, fuse_statx, btime);
SAME_FIELD(Statx, dev_minor, fuse_statx, dev_minor);
SAME_SIZE(StatxIn, fuse_statx_in);
SAME_FIELD(StatxIn, sx_mask, fuse_statx_in, sx_mask);
SAME_SIZE(StatxOut, fuse_statx_out);
SAME_FIELD(StatxOut, stat, fuse_statx_out, stat);
SAME_SIZE(SuppGroups, fuse_supp_groups);
SAME_OPCODE(kStatx, FUSE_STATX);
SAME_FEATURE(kCreateSuppGroup, FUSE_CREATE_SUPP_GROUP);
SAME_FEATURE(kDirectIoAllowMmap, FUSE_DIRECT_IO_ALLOW_MMAP);
static_assert(abi::kExtensionGroups == FUSE_EXT_GROUPS);
#endif

#if FUSE_KERNEL_MINOR_VERSION >= 40
SAME_FIELD(OpenOut, backing_id, fuse_open_out, backing_id);
SAME_FIELD(InitOut, max_stack_depth, fuse_init_out, max_stack_depth);
SAME_SIZE(BackingMap, fuse_backing_map);
SAME_FIELD(BackingMap, fd, fuse_backing_map, fd);
static_assert(abi::kDeviceBackingOpen == FUSE_DEV_IOC_BACKING_OPEN);
static_assert(abi::kDeviceBackingClose == FUSE_DEV_IOC_BACKING_CLOSE);
static_assert(abi::open_reply::kPassthrough == FOPEN_PASSTHROUGH);
SAME_NOTIFY(kResend, FUSE_NOTIFY_RESEND);
SAME_FEATURE(kPassthrough, FUSE_PASSTHROUGH);
SAME_FEATURE(kNoExportSupport, FUSE_NO_EXPORT_SUPPORT);
SAME_FEATURE(kHasResend, FUSE_HAS_RESEND);
static_assert(bough::proto::Unique::kResendBit == FUSE_UNIQUE_RESEND);
#endif

#if FUSE_KERNEL_MINOR_VERSION >= 41
SAME_FEATURE(kAllowIdmap, FUSE_ALLOW_IDMAP);
#endif

#if FUSE_KERNEL_MINOR_VERSION >= 42
SAME_FIELD(UringCommand, commit_id, fuse_uring_cmd_req, commit_id);
SAME_FIELD(UringCommand, qid, fuse_uring_cmd_req, qid);
static_assert(sizeof(abi::UringCommand) >= sizeof(fuse_uring_cmd_req));
static_assert(abi::kUringRegister == FUSE_IO_URING_CMD_REGISTER &&
              abi::kUringCommitAndFetch == FUSE_IO_URING_CMD_COMMIT_AND_FETCH);
SAME_SIZE(UringHeader, fuse_uring_req_header);
SAME_SIZE(UringEntry, fuse_uring_ent_in_out);
SAME_FIELD(UringEntry, payload_size, fuse_uring_ent_in_out, payload_sz);
SAME_FEATURE(kOverIoUring, FUSE_OVER_IO_URING);
#endif

#if FUSE_KERNEL_MINOR_VERSION >= 43
SAME_FIELD(InitOut, request_timeout, fuse_init_out, request_timeout);
SAME_FEATURE(kRequestTimeout, FUSE_REQUEST_TIMEOUT);
#endif

#if FUSE_KERNEL_MINOR_VERSION >= 45
SAME_NOTIFY(kIncEpoch, FUSE_NOTIFY_INC_EPOCH);
SAME_NOTIFY(kPrune, FUSE_NOTIFY_PRUNE);
SAME_SIZE(NotifyPruneOut, fuse_notify_prune_out);
SAME_SIZE(CopyFileRangeOut, fuse_copy_file_range_out);
SAME_OPCODE(kCopyFileRange64, FUSE_COPY_FILE_RANGE_64);
static_assert(abi::kDeviceSyncInit == FUSE_DEV_IOC_SYNC_INIT);
#endif

#if FUSE_KERNEL_MINOR_VERSION >= 46
SAME_SIZE(UringCommand, fuse_uring_cmd_req);
SAME_FIELD(UringCommand, bufpool_address, fuse_uring_cmd_req, bufpool.uaddr);
SAME_FIELD(UringCommand, bufpool_size, fuse_uring_cmd_req, bufpool.len);
SAME_FIELD(UringEntry, bufpool_offset, fuse_uring_ent_in_out, offset);
SAME_FEATURE(kHasIoUringBufpool, FUSE_HAS_IO_URING_BUFPOOL);
static_assert(abi::kUringAddQueue == FUSE_IO_URING_CMD_ADD_QUEUE &&
              abi::kUringAddBufpool == FUSE_IO_URING_CMD_ADD_BUFPOOL);
static_assert(abi::open_reply::kIoUringZeroCopy == FOPEN_IO_URING_ZERO_COPY);
#endif

TEST_CASE("what no header of this machine can tell: the numbers of protocol 7.39 to 7.46") {
  CHECK(abi::kDeviceClone == 0x8004e500UL);
  CHECK(abi::kDeviceBackingOpen == 0x4010e501UL);
  CHECK(abi::kDeviceBackingClose == 0x4004e502UL);
  CHECK(abi::kDeviceSyncInit == 0xe503UL);
  CHECK(static_cast<unsigned>(abi::Opcode::kStatx) == 52);
  CHECK(static_cast<unsigned>(abi::Opcode::kCopyFileRange64) == 53);
  CHECK(static_cast<int>(abi::NotifyCode::kResend) == 7);
  CHECK(static_cast<int>(abi::NotifyCode::kIncEpoch) == 8);
  CHECK(static_cast<int>(abi::NotifyCode::kPrune) == 9);
  CHECK(abi::open_reply::kPassthrough == 0x80);
  CHECK(abi::open_reply::kIoUringZeroCopy == 0x100);
  CHECK(static_cast<unsigned>(Feature::kDirectIoAllowMmap) == 36);
  CHECK(static_cast<unsigned>(Feature::kPassthrough) == 37);
  CHECK(static_cast<unsigned>(Feature::kAllowIdmap) == 40);
  CHECK(static_cast<unsigned>(Feature::kOverIoUring) == 41);
  CHECK(static_cast<unsigned>(Feature::kRequestTimeout) == 42);
  CHECK(sizeof(abi::UringHeader) == 288);
}
