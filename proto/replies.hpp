#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "proto/claim.hpp"
#include "proto/ids.hpp"
#include "proto/requests.hpp"

/// One struct a reply shape. A reply that hands something to the kernel owns it as a claim: keep()
/// on the reply once its write was accepted, or let it go out of scope and all is undone.
namespace bough::proto {

struct Time {
  std::int64_t seconds = 0;
  std::uint32_t nanoseconds = 0;
};

/// fuse_attr. `blocks` counts 512 bytes; `rdev` is in the kernel's 32-bit encoding; `block_size` is
/// a power of two or 0; `mode` has valid type bits (anything else fails the operation with EIO).
struct Attr {
  std::uint64_t ino = 0;
  std::uint64_t size = 0;
  std::uint64_t blocks = 0;
  Time atime;
  Time mtime;
  Time ctime;
  std::uint32_t mode = 0;
  std::uint32_t nlink = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t rdev = 0;
  std::uint32_t block_size = 0;
};

/// A nodeid of 0 with `entry_valid` above zero is the absence of the name, cached for that long.
struct Entry {
  NodeId node;
  Generation generation;
  std::chrono::nanoseconds entry_valid{0};
  std::chrono::nanoseconds attr_valid{0};
  Attr attr;
};

struct EntryReply {
  Entry entry;
  LookupClaim claim;
  void keep() noexcept { claim.keep(); }
};

struct AttrReply {
  std::chrono::nanoseconds attr_valid{0};
  Attr attr;
};

struct StatxReply {
  std::chrono::nanoseconds attr_valid{0};
  /// STATX_* bits that are filled in. All of 0x7ff are needed for the kernel to refresh its cache.
  std::uint32_t mask = 0;
  Attr attr;
  Time btime;
  std::uint64_t attributes = 0;
  std::uint64_t attributes_mask = 0;
  std::uint32_t rdev_major = 0;
  std::uint32_t rdev_minor = 0;
};

struct OpenReply {
  /// FOPEN_* bits, see kernel_abi.
  std::uint32_t flags = 0;
  std::int32_t backing_id = 0;
  HandleClaim claim;
  void keep() noexcept { claim.keep(); }
};

struct CreateReply {
  EntryReply entry;
  OpenReply open;
  void keep() noexcept {
    entry.keep();
    open.keep();
  }
};

/// fuse_kstatfs.
struct StatfsReply {
  std::uint64_t blocks = 0;
  std::uint64_t blocks_free = 0;
  std::uint64_t blocks_available = 0;
  std::uint64_t files = 0;
  std::uint64_t files_free = 0;
  std::uint32_t block_size = 0;
  std::uint32_t fragment_size = 0;
  std::uint32_t name_max = 0;
};

/// `out_size` bytes were put into the buffer that the handler was given.
struct IoctlReply {
  std::int32_t result = 0;
  std::size_t out_size = 0;
};

struct LockReply {
  FileLock lock;
};

}  // namespace bough::proto
