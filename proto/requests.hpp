#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

#include "proto/ids.hpp"
#include "proto/name.hpp"

/// One struct an operation, with what its request carries beside the header. Names and data are
/// views into the receive buffer and die with it. Every struct has passed the decoder's checks:
/// names are components, sizes agree with the message. Layouts: Linux, include/uapi/linux/fuse.h.
namespace bough::proto {

/// What may follow a creating request: the security labels for the new inode (SECURITY_CTX) and the
/// one supplementary group that lets the caller create in a directory of that group
/// (CREATE_SUPP_GROUP).
struct Extensions {
  struct SecurityLabel {
    std::string_view xattr_name;
    std::span<const std::byte> value;
  };
  /// Kernels up to 6.18 send one label at most; further ones are skipped.
  std::optional<SecurityLabel> label;
  std::optional<std::uint32_t> group;
};

struct LookupRequest {
  enum class Target : std::uint8_t { kName, kSelf, kParent };
  /// kSelf and kParent ("." and "..") come only with EXPORT_SUPPORT; `name` is then empty.
  Target target = Target::kName;
  std::optional<Name> name;
};

struct ForgetRequest {
  std::uint64_t count = 0;
};

/// `items` is a run of {u64 nodeid, u64 count} records; read one with forget_item().
struct BatchForgetRequest {
  std::uint32_t count = 0;
  std::span<const std::byte> items;
};
struct ForgetItem {
  NodeId node;
  std::uint64_t count = 0;
};
[[nodiscard]] ForgetItem forget_item(const BatchForgetRequest& request, std::uint32_t index);

struct GetattrRequest {
  std::optional<HandleId> handle;
};

struct StatxRequest {
  std::optional<HandleId> handle;
  std::uint32_t flags = 0;
  std::uint32_t mask = 0;
};

/// A time of SETATTR: an explicit one, or the server's now.
struct TimeChange {
  bool now = false;
  std::int64_t seconds = 0;
  std::uint32_t nanoseconds = 0;
};

/// What is absent stays as it is. All fields absent: nothing changes, attributes are answered
/// (comes before a write to a set-id file when KILLPRIV is negotiated).
struct SetattrRequest {
  std::optional<HandleId> handle;
  /// Permission bits only; the wire's type bits are masked off.
  std::optional<std::uint32_t> mode;
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
  std::optional<std::uint64_t> size;
  std::optional<TimeChange> atime;
  std::optional<TimeChange> mtime;
  /// Only from the write-back cache.
  std::optional<TimeChange> ctime;
  std::optional<std::uint64_t> lock_owner;
  bool kill_suidgid = false;
};

struct ReadlinkRequest {};

struct SymlinkRequest {
  Name name;
  /// NUL-terminated in memory; any bytes, not empty.
  std::string_view target;
  Extensions extensions;
};

struct MknodRequest {
  Name name;
  std::uint32_t mode = 0;
  std::uint32_t rdev = 0;
  std::uint32_t umask = 0;
  Extensions extensions;
};

struct MkdirRequest {
  Name name;
  std::uint32_t mode = 0;
  std::uint32_t umask = 0;
  Extensions extensions;
};

struct UnlinkRequest {
  Name name;
};

struct RmdirRequest {
  Name name;
};

/// RENAME and RENAME2. `flags` are renameat2(2)'s: NOREPLACE 1, EXCHANGE 2, WHITEOUT 4. The
/// header's node is the old parent.
struct RenameRequest {
  NodeId new_parent;
  Name old_name;
  Name new_name;
  std::uint32_t flags = 0;
};

/// The header's node is the new parent.
struct LinkRequest {
  NodeId old_node;
  Name new_name;
};

/// `flags` are open(2)'s, without O_CREAT, O_EXCL and O_NOCTTY.
struct OpenRequest {
  std::uint32_t flags = 0;
  bool kill_suidgid = false;
};

struct OpendirRequest {
  std::uint32_t flags = 0;
};

struct CreateRequest {
  Name name;
  std::uint32_t flags = 0;
  std::uint32_t mode = 0;
  std::uint32_t umask = 0;
  bool kill_suidgid = false;
  Extensions extensions;
};

/// The wire's name is "/" and means nothing.
struct TmpfileRequest {
  std::uint32_t flags = 0;
  std::uint32_t mode = 0;
  std::uint32_t umask = 0;
  Extensions extensions;
};

struct ReadRequest {
  HandleId handle;
  std::uint64_t offset = 0;
  std::uint32_t size = 0;
  /// The file's open flags as they are now.
  std::uint32_t flags = 0;
  std::optional<std::uint64_t> lock_owner;
};

struct WriteRequest {
  HandleId handle;
  std::uint64_t offset = 0;
  std::span<const std::byte> data;
  /// The file's open flags as they are now; 0 when from_cache.
  std::uint32_t flags = 0;
  /// From the page cache: the handle is any writable one of the node, caller and O_APPEND mean
  /// nothing.
  bool from_cache = false;
  bool kill_suidgid = false;
  std::optional<std::uint64_t> lock_owner;
};

struct StatfsRequest {};

struct ReleaseRequest {
  HandleId handle;
  std::uint32_t flags = 0;
  std::uint64_t lock_owner = 0;
  bool flush = false;
  bool flock_unlock = false;
};
struct ReleasedirRequest {
  HandleId handle;
};

struct FsyncRequest {
  HandleId handle;
  bool data_only = false;
};
struct FsyncdirRequest {
  HandleId handle;
  bool data_only = false;
};
struct FlushRequest {
  HandleId handle;
  std::uint64_t lock_owner = 0;
};

/// xattr names are NUL-terminated in memory, 1 to 255 bytes.
struct SetxattrRequest {
  std::string_view name;
  std::span<const std::byte> value;
  /// XATTR_CREATE 1, XATTR_REPLACE 2.
  std::uint32_t flags = 0;
  bool acl_kill_sgid = false;
};
struct GetxattrRequest {
  std::string_view name;
  /// 0 asks for the length.
  std::uint32_t size = 0;
};
struct ListxattrRequest {
  std::uint32_t size = 0;
};
struct RemovexattrRequest {
  std::string_view name;
};

/// READDIR and READDIRPLUS: `offset` is the cookie of the last entry that the reader took, 0 at
/// first.
struct ReaddirRequest {
  HandleId handle;
  std::uint64_t offset = 0;
  std::uint32_t size = 0;
};
struct ReaddirplusRequest {
  HandleId handle;
  std::uint64_t offset = 0;
  std::uint32_t size = 0;
};

struct FileLock {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint32_t type = 0;
  std::uint32_t pid = 0;
};
struct GetlkRequest {
  HandleId handle;
  std::uint64_t owner = 0;
  FileLock lock;
  bool flock = false;
};
struct SetlkRequest {
  HandleId handle;
  std::uint64_t owner = 0;
  FileLock lock;
  bool flock = false;
};
/// SETLKW: may wait, so its handler is a deferred one.
struct SetlkwRequest {
  HandleId handle;
  std::uint64_t owner = 0;
  FileLock lock;
  bool flock = false;
};

struct AccessRequest {
  /// R_OK 4, W_OK 2, X_OK 1; 0 asks for existence.
  std::uint32_t mask = 0;
};

struct InterruptRequest {
  Unique target;
};

struct BmapRequest {
  std::uint64_t block = 0;
  std::uint32_t block_size = 0;
};

struct DestroyRequest {};

struct IoctlRequest {
  HandleId handle;
  std::uint32_t flags = 0;
  std::uint32_t command = 0;
  std::uint64_t argument = 0;
  std::span<const std::byte> in;
  std::uint32_t out_size = 0;

  static constexpr std::uint32_t kCompat = 1;
  static constexpr std::uint32_t kUnrestricted = 2;
  static constexpr std::uint32_t kDirectory = 16;
};

struct PollRequest {
  HandleId handle;
  std::uint64_t kernel_handle = 0;
  std::uint32_t flags = 0;
  std::uint32_t events = 0;
};

/// The answer to a RETRIEVE notification; is itself never answered.
struct NotifyReplyRequest {
  std::uint64_t offset = 0;
  std::span<const std::byte> data;
};

struct FallocateRequest {
  HandleId handle;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint32_t mode = 0;
};

struct LseekRequest {
  HandleId handle;
  std::uint64_t offset = 0;
  /// SEEK_DATA 3 or SEEK_HOLE 4.
  std::uint32_t whence = 0;
};

/// Opcodes 47 and 53. The header's node is the source. `wide` (53): the reply counts in 64 bits.
struct CopyFileRangeRequest {
  HandleId handle_in;
  std::uint64_t offset_in = 0;
  NodeId node_out;
  HandleId handle_out;
  std::uint64_t offset_out = 0;
  std::uint64_t length = 0;
  std::uint64_t flags = 0;
  bool wide = false;
};

struct SyncfsRequest {};

/// INIT as the kernel offers it; kernels before 7.36 send no second half of the flags.
struct InitRequest {
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  std::uint32_t max_readahead = 0;
  std::uint64_t flags = 0;
};

/// An opcode that the protocol names but a file system mounted on /dev/fuse never serves
/// (CUSE_INIT, SETUPMAPPING, REMOVEMAPPING), or one that nobody has named yet. Answered ENOSYS.
struct UnservedRequest {
  std::uint32_t opcode = 0;
};

using Request =
    std::variant<UnservedRequest, LookupRequest, ForgetRequest, BatchForgetRequest, GetattrRequest,
                 StatxRequest, SetattrRequest, ReadlinkRequest, SymlinkRequest, MknodRequest,
                 MkdirRequest, UnlinkRequest, RmdirRequest, RenameRequest, LinkRequest, OpenRequest,
                 OpendirRequest, CreateRequest, TmpfileRequest, ReadRequest, WriteRequest,
                 StatfsRequest, ReleaseRequest, ReleasedirRequest, FsyncRequest, FsyncdirRequest,
                 FlushRequest, SetxattrRequest, GetxattrRequest, ListxattrRequest,
                 RemovexattrRequest, ReaddirRequest, ReaddirplusRequest, GetlkRequest, SetlkRequest,
                 SetlkwRequest, AccessRequest, InterruptRequest, BmapRequest, DestroyRequest,
                 IoctlRequest, PollRequest, NotifyReplyRequest, FallocateRequest, LseekRequest,
                 CopyFileRangeRequest, SyncfsRequest, InitRequest>;

/// fuse_in_header without the length.
struct RequestHeader {
  std::uint32_t opcode = 0;
  Unique unique;
  NodeId node;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  /// The calling thread's id in the pid namespace of the mounter; 0 if not visible there.
  std::uint32_t pid = 0;
};

}  // namespace bough::proto
