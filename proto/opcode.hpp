#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "proto/kernel_abi.hpp"

namespace bough::proto {

/// What a request does, as far as answering it early or late is concerned.
enum class OpcodeClass : std::uint8_t {
  /// Changes nothing on a branch: may be given up (EINTR) at any moment.
  kReadOnly,
  /// Must finish once begun. OPEN is one because it may truncate, FLUSH and FSYNC because a
  /// writeback
  /// error is told only once.
  kMutating,
  /// Waits by its nature (SETLKW); its handler is a deferred one, and EINTR ends it.
  kWait,
  /// FORGET and BATCH_FORGET: give counts back, cannot fail.
  kForget,
  kInterrupt,
  /// INIT, DESTROY, NOTIFY_REPLY, POLL: the session's own business.
  kControl,
  /// Answered ENOSYS.
  kUnserved,
};

struct OpcodeInfo {
  std::uint32_t opcode = 0;
  /// Without the FUSE_ prefix: "LOOKUP". "UNKNOWN" for a number that nobody has named.
  std::string_view name;
  OpcodeClass kind = OpcodeClass::kUnserved;
  /// False: the kernel takes no reply (writing one is ENOENT). INTERRUPT counts as such.
  bool replies = true;
  /// Whether serving it may call a branch, and so may block.
  bool branch = false;
};

/// Every opcode of protocol 7.45, ascending.
inline constexpr auto kOpcodes = [] {
  using abi::Opcode;
  using enum OpcodeClass;
  constexpr auto row = [](Opcode opcode, std::string_view name, OpcodeClass kind, bool replies,
                          bool branch) {
    return OpcodeInfo{static_cast<std::uint32_t>(opcode), name, kind, replies, branch};
  };
  return std::array{
      row(Opcode::kLookup, "LOOKUP", kReadOnly, true, true),
      row(Opcode::kForget, "FORGET", kForget, false, false),
      row(Opcode::kGetattr, "GETATTR", kReadOnly, true, true),
      row(Opcode::kSetattr, "SETATTR", kMutating, true, true),
      row(Opcode::kReadlink, "READLINK", kReadOnly, true, true),
      row(Opcode::kSymlink, "SYMLINK", kMutating, true, true),
      row(Opcode::kMknod, "MKNOD", kMutating, true, true),
      row(Opcode::kMkdir, "MKDIR", kMutating, true, true),
      row(Opcode::kUnlink, "UNLINK", kMutating, true, true),
      row(Opcode::kRmdir, "RMDIR", kMutating, true, true),
      row(Opcode::kRename, "RENAME", kMutating, true, true),
      row(Opcode::kLink, "LINK", kMutating, true, true),
      row(Opcode::kOpen, "OPEN", kMutating, true, true),
      row(Opcode::kRead, "READ", kReadOnly, true, true),
      row(Opcode::kWrite, "WRITE", kMutating, true, true),
      row(Opcode::kStatfs, "STATFS", kReadOnly, true, true),
      row(Opcode::kRelease, "RELEASE", kMutating, true, true),
      row(Opcode::kFsync, "FSYNC", kMutating, true, true),
      row(Opcode::kSetxattr, "SETXATTR", kMutating, true, true),
      row(Opcode::kGetxattr, "GETXATTR", kReadOnly, true, true),
      row(Opcode::kListxattr, "LISTXATTR", kReadOnly, true, true),
      row(Opcode::kRemovexattr, "REMOVEXATTR", kMutating, true, true),
      row(Opcode::kFlush, "FLUSH", kMutating, true, true),
      row(Opcode::kInit, "INIT", kControl, true, false),
      row(Opcode::kOpendir, "OPENDIR", kReadOnly, true, true),
      row(Opcode::kReaddir, "READDIR", kReadOnly, true, true),
      row(Opcode::kReleasedir, "RELEASEDIR", kMutating, true, true),
      row(Opcode::kFsyncdir, "FSYNCDIR", kMutating, true, true),
      row(Opcode::kGetlk, "GETLK", kReadOnly, true, true),
      row(Opcode::kSetlk, "SETLK", kMutating, true, true),
      row(Opcode::kSetlkw, "SETLKW", kWait, true, true),
      row(Opcode::kAccess, "ACCESS", kReadOnly, true, true),
      row(Opcode::kCreate, "CREATE", kMutating, true, true),
      row(Opcode::kInterrupt, "INTERRUPT", kInterrupt, false, false),
      row(Opcode::kBmap, "BMAP", kReadOnly, true, true),
      row(Opcode::kDestroy, "DESTROY", kControl, true, false),
      row(Opcode::kIoctl, "IOCTL", kMutating, true, true),
      row(Opcode::kPoll, "POLL", kControl, true, false),
      row(Opcode::kNotifyReply, "NOTIFY_REPLY", kControl, false, false),
      row(Opcode::kBatchForget, "BATCH_FORGET", kForget, false, false),
      row(Opcode::kFallocate, "FALLOCATE", kMutating, true, true),
      row(Opcode::kReaddirplus, "READDIRPLUS", kReadOnly, true, true),
      row(Opcode::kRename2, "RENAME2", kMutating, true, true),
      row(Opcode::kLseek, "LSEEK", kReadOnly, true, true),
      row(Opcode::kCopyFileRange, "COPY_FILE_RANGE", kMutating, true, true),
      row(Opcode::kSetupmapping, "SETUPMAPPING", kUnserved, true, false),
      row(Opcode::kRemovemapping, "REMOVEMAPPING", kUnserved, true, false),
      row(Opcode::kSyncfs, "SYNCFS", kMutating, true, true),
      row(Opcode::kTmpfile, "TMPFILE", kMutating, true, true),
      row(Opcode::kStatx, "STATX", kReadOnly, true, true),
      row(Opcode::kCopyFileRange64, "COPY_FILE_RANGE_64", kMutating, true, true),
      row(Opcode::kCuseInit, "CUSE_INIT", kUnserved, true, false),
      row(Opcode::kCuseInitSwapped, "CUSE_INIT_SWAPPED", kUnserved, true, false),
      row(Opcode::kInitSwapped, "INIT_SWAPPED", kUnserved, true, false),
  };
}();

/// The row of an opcode; for a number without one, a row that says UNKNOWN, unserved, replies.
/// Lives as long as the program. Any thread.
[[nodiscard]] const OpcodeInfo& opcode_info(std::uint32_t opcode) noexcept;

}  // namespace bough::proto
