#include "proto/decode.hpp"

#include <cerrno>
#include <cstring>

#include "proto/cursor.hpp"
#include "proto/kernel_abi.hpp"

namespace bough::proto {

namespace {

using abi::Opcode;
using Parsed = std::optional<Request>;

constexpr std::uint32_t kPermissionBits = 07777;
constexpr std::uint32_t kNanosecondsASecond = 1'000'000'000;
constexpr std::size_t kXattrNameMax = 255;
constexpr std::size_t kExtensionUnit = 8;

constexpr bool has(std::uint32_t flags, std::uint32_t bit) {
  return (flags & bit) != 0;
}

std::optional<Name> read_name(Cursor& in) noexcept {
  const auto text = in.string();
  return text ? Name::check(*text) : std::nullopt;
}

std::optional<std::string_view> read_xattr_name(Cursor& in) noexcept {
  const auto text = in.string();
  if (!text || text->empty() || text->size() > kXattrNameMax) return std::nullopt;
  return text;
}

/// A record of security contexts, of which the first is taken.
bool read_security(Cursor record, std::uint32_t count, Extensions& into) noexcept {
  if (count == 0 || into.label) return true;
  const auto context = record.read<abi::SecurityContext>();
  if (!context) return false;
  const auto name = record.string();
  if (!name || name->empty()) return false;
  const auto value = record.take(context->size);
  if (!value) return false;
  into.label = Extensions::SecurityLabel{*name, *value};
  return true;
}

bool read_groups(Cursor record, Extensions& into) noexcept {
  const auto groups = record.read<abi::SuppGroups>();
  if (!groups || record.left() / sizeof(std::uint32_t) < groups->count) return false;
  if (groups->count > 0) into.group = record.read<std::uint32_t>();
  return true;
}

/// The chain of records behind the last argument. Unknown types are stepped over by their size.
bool read_extensions(std::span<const std::byte> block, Extensions& into) noexcept {
  Cursor chain(block);
  while (!chain.done()) {
    const auto header = chain.read<abi::ExtHeader>();
    if (!header || header->size < sizeof(abi::ExtHeader) || header->size % kExtensionUnit != 0)
      return false;
    const auto body = chain.take(header->size - sizeof(abi::ExtHeader));
    if (!body) return false;
    if (header->type <= abi::kMaxSecurityContexts) {
      if (!read_security(Cursor(*body), header->type, into)) return false;
    } else if (header->type == abi::kExtensionGroups) {
      if (!read_groups(Cursor(*body), into)) return false;
    }
  }
  return true;
}

Parsed parse_lookup(Cursor& in) noexcept {
  const auto text = in.string();
  if (!text) return std::nullopt;
  LookupRequest request;
  if (*text == ".") {
    request.target = LookupRequest::Target::kSelf;
  } else if (*text == "..") {
    request.target = LookupRequest::Target::kParent;
  } else {
    request.name = Name::check(*text);
    if (!request.name) return std::nullopt;
  }
  return request;
}

Parsed parse_forget(Cursor& in) noexcept {
  const auto wire = in.read<abi::ForgetIn>();
  if (!wire) return std::nullopt;
  return ForgetRequest{wire->nlookup};
}

Parsed parse_batch_forget(Cursor& in) noexcept {
  const auto wire = in.read<abi::BatchForgetIn>();
  if (!wire) return std::nullopt;
  const auto items = in.take(std::uint64_t{wire->count} * sizeof(abi::ForgetOne));
  if (!items) return std::nullopt;
  return BatchForgetRequest{wire->count, *items};
}

Parsed parse_getattr(Cursor& in) noexcept {
  const auto wire = in.read<abi::GetattrIn>();
  if (!wire) return std::nullopt;
  GetattrRequest request;
  if (has(wire->getattr_flags, abi::kGetattrHandle)) request.handle = HandleId{wire->fh};
  return request;
}

Parsed parse_statx(Cursor& in) noexcept {
  const auto wire = in.read<abi::StatxIn>();
  if (!wire) return std::nullopt;
  StatxRequest request{std::nullopt, wire->sx_flags, wire->sx_mask};
  if (has(wire->getattr_flags, abi::kGetattrHandle)) request.handle = HandleId{wire->fh};
  return request;
}

/// False: the nanoseconds are no such thing. (UTIME_NOW and UTIME_OMIT are not, either:
/// utimensat(2) would take them for something else than a time.)
bool read_time(bool present, bool now, std::uint64_t seconds, std::uint32_t nanoseconds,
               std::optional<TimeChange>& into) noexcept {
  if (now) {
    into = TimeChange{true, 0, 0};
  } else if (present) {
    if (nanoseconds >= kNanosecondsASecond) return false;
    into = TimeChange{false, static_cast<std::int64_t>(seconds), nanoseconds};
  }
  return true;
}

Parsed parse_setattr(Cursor& in) noexcept {
  const auto wire = in.read<abi::SetattrIn>();
  if (!wire) return std::nullopt;
  const std::uint32_t valid = wire->valid;
  SetattrRequest request;
  if (has(valid, abi::kSetHandle)) request.handle = HandleId{wire->fh};
  if (has(valid, abi::kSetMode)) request.mode = wire->mode & kPermissionBits;
  if (has(valid, abi::kSetUid)) request.uid = wire->uid;
  if (has(valid, abi::kSetGid)) request.gid = wire->gid;
  if (has(valid, abi::kSetSize)) request.size = wire->size;
  if (has(valid, abi::kSetLockOwner)) request.lock_owner = wire->lock_owner;
  request.kill_suidgid = has(valid, abi::kSetKillSuidgid);
  if (!read_time(has(valid, abi::kSetAtime), has(valid, abi::kSetAtimeNow), wire->atime,
                 wire->atimensec, request.atime) ||
      !read_time(has(valid, abi::kSetMtime), has(valid, abi::kSetMtimeNow), wire->mtime,
                 wire->mtimensec, request.mtime) ||
      !read_time(has(valid, abi::kSetCtime), false, wire->ctime, wire->ctimensec, request.ctime))
    return std::nullopt;
  return request;
}

Parsed parse_symlink(Cursor& in, const Extensions& extensions) noexcept {
  const auto name = read_name(in);
  const auto target = in.string();
  if (!name || !target || target->empty()) return std::nullopt;
  return SymlinkRequest{*name, *target, extensions};
}

Parsed parse_mknod(Cursor& in, const Extensions& extensions) noexcept {
  const auto wire = in.read<abi::MknodIn>();
  const auto name = read_name(in);
  if (!wire || !name) return std::nullopt;
  return MknodRequest{*name, wire->mode, wire->rdev, wire->umask, extensions};
}

Parsed parse_mkdir(Cursor& in, const Extensions& extensions) noexcept {
  const auto wire = in.read<abi::MkdirIn>();
  const auto name = read_name(in);
  if (!wire || !name) return std::nullopt;
  return MkdirRequest{*name, wire->mode, wire->umask, extensions};
}

Parsed parse_unlink(Cursor& in) noexcept {
  const auto name = read_name(in);
  if (!name) return std::nullopt;
  return UnlinkRequest{*name};
}

Parsed parse_rmdir(Cursor& in) noexcept {
  const auto name = read_name(in);
  if (!name) return std::nullopt;
  return RmdirRequest{*name};
}

Parsed parse_rename_names(Cursor& in, std::uint64_t new_parent, std::uint32_t flags) noexcept {
  const auto old_name = read_name(in);
  const auto new_name = read_name(in);
  if (!old_name || !new_name) return std::nullopt;
  return RenameRequest{NodeId{new_parent}, *old_name, *new_name, flags};
}

Parsed parse_rename(Cursor& in) noexcept {
  const auto wire = in.read<abi::RenameIn>();
  return wire ? parse_rename_names(in, wire->newdir, 0) : std::nullopt;
}

Parsed parse_rename2(Cursor& in) noexcept {
  const auto wire = in.read<abi::Rename2In>();
  return wire ? parse_rename_names(in, wire->newdir, wire->flags) : std::nullopt;
}

Parsed parse_link(Cursor& in) noexcept {
  const auto wire = in.read<abi::LinkIn>();
  const auto name = read_name(in);
  if (!wire || !name) return std::nullopt;
  return LinkRequest{NodeId{wire->oldnodeid}, *name};
}

Parsed parse_open(Cursor& in) noexcept {
  const auto wire = in.read<abi::OpenIn>();
  if (!wire) return std::nullopt;
  return OpenRequest{wire->flags, has(wire->open_flags, abi::kOpenKillSuidgid)};
}

Parsed parse_opendir(Cursor& in) noexcept {
  const auto wire = in.read<abi::OpenIn>();
  if (!wire) return std::nullopt;
  return OpendirRequest{wire->flags};
}

Parsed parse_create(Cursor& in, const Extensions& extensions) noexcept {
  const auto wire = in.read<abi::CreateIn>();
  const auto name = read_name(in);
  if (!wire || !name) return std::nullopt;
  return CreateRequest{
      *name,     wire->flags, wire->mode, wire->umask, has(wire->open_flags, abi::kOpenKillSuidgid),
      extensions};
}

Parsed parse_tmpfile(Cursor& in, const Extensions& extensions) noexcept {
  const auto wire = in.read<abi::CreateIn>();
  if (!wire || !in.string()) return std::nullopt;
  return TmpfileRequest{wire->flags, wire->mode, wire->umask, extensions};
}

Parsed parse_read(Cursor& in) noexcept {
  const auto wire = in.read<abi::ReadIn>();
  if (!wire) return std::nullopt;
  ReadRequest request{HandleId{wire->fh}, wire->offset, wire->size, wire->flags, std::nullopt};
  if (has(wire->read_flags, abi::kReadLockOwner)) request.lock_owner = wire->lock_owner;
  return request;
}

Parsed parse_write(Cursor& in) noexcept {
  const auto wire = in.read<abi::WriteIn>();
  if (!wire) return std::nullopt;
  const auto data = in.take(wire->size);
  if (!data) return std::nullopt;
  WriteRequest request;
  request.handle = HandleId{wire->fh};
  request.offset = wire->offset;
  request.data = *data;
  request.flags = wire->flags;
  request.from_cache = has(wire->write_flags, abi::kWriteCache);
  request.kill_suidgid = has(wire->write_flags, abi::kWriteKillSuidgid);
  if (has(wire->write_flags, abi::kWriteLockOwner)) request.lock_owner = wire->lock_owner;
  return request;
}

Parsed parse_release(Cursor& in) noexcept {
  const auto wire = in.read<abi::ReleaseIn>();
  if (!wire) return std::nullopt;
  return ReleaseRequest{HandleId{wire->fh}, wire->flags, wire->lock_owner,
                        has(wire->release_flags, abi::kReleaseFlush),
                        has(wire->release_flags, abi::kReleaseFlockUnlock)};
}

Parsed parse_releasedir(Cursor& in) noexcept {
  const auto wire = in.read<abi::ReleaseIn>();
  if (!wire) return std::nullopt;
  return ReleasedirRequest{HandleId{wire->fh}};
}

template <class Out>
Parsed parse_fsync(Cursor& in) noexcept {
  const auto wire = in.read<abi::FsyncIn>();
  if (!wire) return std::nullopt;
  return Out{HandleId{wire->fh}, has(wire->fsync_flags, abi::kFsyncDataOnly)};
}

Parsed parse_flush(Cursor& in) noexcept {
  const auto wire = in.read<abi::FlushIn>();
  if (!wire) return std::nullopt;
  return FlushRequest{HandleId{wire->fh}, wire->lock_owner};
}

Parsed parse_setxattr(Cursor& in, const WireOptions& options) noexcept {
  const auto fixed = in.take(options.setxattr_ext ? sizeof(abi::SetxattrIn) : abi::kSetxattrShort);
  if (!fixed) return std::nullopt;
  abi::SetxattrIn wire{};
  std::memcpy(&wire, fixed->data(), fixed->size());
  const auto name = read_xattr_name(in);
  const auto value = in.take(wire.size);
  if (!name || !value) return std::nullopt;
  return SetxattrRequest{*name, *value, wire.flags,
                         has(wire.setxattr_flags, abi::kSetxattrAclKillSgid)};
}

Parsed parse_getxattr(Cursor& in) noexcept {
  const auto wire = in.read<abi::GetxattrIn>();
  const auto name = read_xattr_name(in);
  if (!wire || !name) return std::nullopt;
  return GetxattrRequest{*name, wire->size};
}

Parsed parse_listxattr(Cursor& in) noexcept {
  const auto wire = in.read<abi::GetxattrIn>();
  if (!wire) return std::nullopt;
  return ListxattrRequest{wire->size};
}

Parsed parse_removexattr(Cursor& in) noexcept {
  const auto name = read_xattr_name(in);
  if (!name) return std::nullopt;
  return RemovexattrRequest{*name};
}

template <class Out>
Parsed parse_readdir(Cursor& in) noexcept {
  const auto wire = in.read<abi::ReadIn>();
  if (!wire) return std::nullopt;
  return Out{HandleId{wire->fh}, wire->offset, wire->size};
}

template <class Out>
Parsed parse_lock(Cursor& in) noexcept {
  const auto wire = in.read<abi::LkIn>();
  if (!wire) return std::nullopt;
  return Out{HandleId{wire->fh}, wire->owner,
             FileLock{wire->lk.start, wire->lk.end, wire->lk.type, wire->lk.pid},
             has(wire->lk_flags, abi::kLockFlock)};
}

Parsed parse_access(Cursor& in) noexcept {
  const auto wire = in.read<abi::AccessIn>();
  if (!wire) return std::nullopt;
  return AccessRequest{wire->mask};
}

Parsed parse_interrupt(Cursor& in) noexcept {
  const auto wire = in.read<abi::InterruptIn>();
  if (!wire) return std::nullopt;
  return InterruptRequest{Unique{wire->unique}};
}

Parsed parse_bmap(Cursor& in) noexcept {
  const auto wire = in.read<abi::BmapIn>();
  if (!wire) return std::nullopt;
  return BmapRequest{wire->block, wire->blocksize};
}

Parsed parse_ioctl(Cursor& in) noexcept {
  const auto wire = in.read<abi::IoctlIn>();
  if (!wire) return std::nullopt;
  const auto data = in.take(wire->in_size);
  if (!data) return std::nullopt;
  return IoctlRequest{HandleId{wire->fh}, wire->flags, wire->cmd, wire->arg, *data, wire->out_size};
}

Parsed parse_poll(Cursor& in) noexcept {
  const auto wire = in.read<abi::PollIn>();
  if (!wire) return std::nullopt;
  return PollRequest{HandleId{wire->fh}, wire->kh, wire->flags, wire->events};
}

Parsed parse_notify_reply(Cursor& in) noexcept {
  const auto wire = in.read<abi::NotifyRetrieveIn>();
  if (!wire) return std::nullopt;
  const auto data = in.take(wire->size);
  if (!data) return std::nullopt;
  return NotifyReplyRequest{wire->offset, *data};
}

Parsed parse_fallocate(Cursor& in) noexcept {
  const auto wire = in.read<abi::FallocateIn>();
  if (!wire) return std::nullopt;
  return FallocateRequest{HandleId{wire->fh}, wire->offset, wire->length, wire->mode};
}

Parsed parse_lseek(Cursor& in) noexcept {
  const auto wire = in.read<abi::LseekIn>();
  if (!wire) return std::nullopt;
  return LseekRequest{HandleId{wire->fh}, wire->offset, wire->whence};
}

Parsed parse_copy_file_range(Cursor& in, bool wide) noexcept {
  const auto wire = in.read<abi::CopyFileRangeIn>();
  if (!wire) return std::nullopt;
  return CopyFileRangeRequest{HandleId{wire->fh_in},
                              wire->off_in,
                              NodeId{wire->nodeid_out},
                              HandleId{wire->fh_out},
                              wire->off_out,
                              wire->len,
                              wire->flags,
                              wide};
}

Parsed parse_syncfs(Cursor& in) noexcept {
  if (!in.read<abi::SyncfsIn>()) return std::nullopt;
  return SyncfsRequest{};
}

/// Kernels before 7.36 send the short form. The upper flags count only where INIT_EXT says so.
Parsed parse_init(Cursor& in) noexcept {
  if (in.left() != abi::kInitInShort && in.left() != sizeof(abi::InitIn)) return std::nullopt;
  const auto fixed = in.take(in.left());
  abi::InitIn wire{};
  std::memcpy(&wire, fixed->data(), fixed->size());
  constexpr std::uint32_t kInitExt = 1U << 30;
  InitRequest request{wire.major, wire.minor, wire.max_readahead, wire.flags};
  if (has(wire.flags, kInitExt)) request.flags |= std::uint64_t{wire.flags2} << 32;
  return request;
}

Parsed parse(std::uint32_t opcode, Cursor& in, const Extensions& extensions,
             const WireOptions& options) noexcept {
  switch (static_cast<Opcode>(opcode)) {
    case Opcode::kLookup:
      return parse_lookup(in);
    case Opcode::kForget:
      return parse_forget(in);
    case Opcode::kGetattr:
      return parse_getattr(in);
    case Opcode::kSetattr:
      return parse_setattr(in);
    case Opcode::kReadlink:
      return ReadlinkRequest{};
    case Opcode::kSymlink:
      return parse_symlink(in, extensions);
    case Opcode::kMknod:
      return parse_mknod(in, extensions);
    case Opcode::kMkdir:
      return parse_mkdir(in, extensions);
    case Opcode::kUnlink:
      return parse_unlink(in);
    case Opcode::kRmdir:
      return parse_rmdir(in);
    case Opcode::kRename:
      return parse_rename(in);
    case Opcode::kLink:
      return parse_link(in);
    case Opcode::kOpen:
      return parse_open(in);
    case Opcode::kRead:
      return parse_read(in);
    case Opcode::kWrite:
      return parse_write(in);
    case Opcode::kStatfs:
      return StatfsRequest{};
    case Opcode::kRelease:
      return parse_release(in);
    case Opcode::kFsync:
      return parse_fsync<FsyncRequest>(in);
    case Opcode::kSetxattr:
      return parse_setxattr(in, options);
    case Opcode::kGetxattr:
      return parse_getxattr(in);
    case Opcode::kListxattr:
      return parse_listxattr(in);
    case Opcode::kRemovexattr:
      return parse_removexattr(in);
    case Opcode::kFlush:
      return parse_flush(in);
    case Opcode::kInit:
      return parse_init(in);
    case Opcode::kOpendir:
      return parse_opendir(in);
    case Opcode::kReaddir:
      return parse_readdir<ReaddirRequest>(in);
    case Opcode::kReleasedir:
      return parse_releasedir(in);
    case Opcode::kFsyncdir:
      return parse_fsync<FsyncdirRequest>(in);
    case Opcode::kGetlk:
      return parse_lock<GetlkRequest>(in);
    case Opcode::kSetlk:
      return parse_lock<SetlkRequest>(in);
    case Opcode::kSetlkw:
      return parse_lock<SetlkwRequest>(in);
    case Opcode::kAccess:
      return parse_access(in);
    case Opcode::kCreate:
      return parse_create(in, extensions);
    case Opcode::kInterrupt:
      return parse_interrupt(in);
    case Opcode::kBmap:
      return parse_bmap(in);
    case Opcode::kDestroy:
      return DestroyRequest{};
    case Opcode::kIoctl:
      return parse_ioctl(in);
    case Opcode::kPoll:
      return parse_poll(in);
    case Opcode::kNotifyReply:
      return parse_notify_reply(in);
    case Opcode::kBatchForget:
      return parse_batch_forget(in);
    case Opcode::kFallocate:
      return parse_fallocate(in);
    case Opcode::kReaddirplus:
      return parse_readdir<ReaddirplusRequest>(in);
    case Opcode::kRename2:
      return parse_rename2(in);
    case Opcode::kLseek:
      return parse_lseek(in);
    case Opcode::kCopyFileRange:
      return parse_copy_file_range(in, false);
    case Opcode::kCopyFileRange64:
      return parse_copy_file_range(in, true);
    case Opcode::kSyncfs:
      return parse_syncfs(in);
    case Opcode::kTmpfile:
      return parse_tmpfile(in, extensions);
    case Opcode::kStatx:
      return parse_statx(in);
    case Opcode::kSetupmapping:
    case Opcode::kRemovemapping:
    case Opcode::kCuseInit:
    case Opcode::kCuseInitSwapped:
    case Opcode::kInitSwapped:
      break;
  }
  (void)in.take(in.left());
  return UnservedRequest{opcode};
}

RequestHeader header_of(const abi::InHeader& wire) noexcept {
  return {wire.opcode, Unique{wire.unique}, NodeId{wire.nodeid}, wire.uid, wire.gid, wire.pid};
}

}  // namespace

ForgetItem forget_item(const BatchForgetRequest& request, std::uint32_t index) {
  Cursor in(request.items.subspan(std::size_t{index} * sizeof(abi::ForgetOne)));
  const auto wire = in.read<abi::ForgetOne>().value();
  return {NodeId{wire.nodeid}, wire.nlookup};
}

std::optional<RequestHeader> decode_header(std::span<const std::byte> message) noexcept {
  const auto wire = Cursor(message).read<abi::InHeader>();
  if (!wire) return std::nullopt;
  return header_of(*wire);
}

Result<Decoded> decode(std::span<const std::byte> message, const WireOptions& options) {
  constexpr Errno kMalformed{EINVAL};
  const auto header = Cursor(message).read<abi::InHeader>();
  if (!header || header->len != message.size()) return kMalformed;

  const auto body = message.subspan(sizeof(abi::InHeader));
  const std::size_t extension_size = header->total_extlen * kExtensionUnit;
  if (extension_size > body.size()) return kMalformed;
  const std::size_t argument_size = body.size() - extension_size;

  Extensions extensions;
  if (!read_extensions(body.subspan(argument_size), extensions)) return kMalformed;
  Cursor in(body.first(argument_size));
  auto request = parse(header->opcode, in, extensions, options);
  if (!request || !in.done()) return kMalformed;
  return Decoded{header_of(*header), *request};
}

}  // namespace bough::proto
