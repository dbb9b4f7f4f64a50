#include "test/fuzz/repack.hpp"

#include <string_view>
#include <variant>

#include "test/support/wire.hpp"

namespace bough::test {
namespace {

using namespace proto;

constexpr std::uint32_t kRename2 = 45;
constexpr std::uint32_t kSeparateGroups = 32;
constexpr std::uint64_t kInitLongForm = 11;

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::uint32_t bit(bool set, unsigned place) {
  return set ? 1U << place : 0;
}

std::uint64_t handle_of(const std::optional<HandleId>& handle) {
  return handle ? handle->value : 0;
}

Bytes pack(const Extensions& extensions) {
  Bytes all;
  if (extensions.label) {
    Bytes label;
    label.u32(static_cast<std::uint32_t>(extensions.label->value.size())).u32(0);
    label.string(extensions.label->xattr_name).text(text_of(extensions.label->value)).pad_to(8);
    all.u32(static_cast<std::uint32_t>(8 + label.size())).u32(1).add(label);
  }
  if (extensions.group) all.u32(16).u32(kSeparateGroups).u32(1).u32(*extensions.group);
  return all;
}

class Packer {
 public:
  Packer(std::uint32_t opcode, const WireOptions& options) : opcode_(opcode), options_(options) {}
  Bytes body;
  Bytes extensions;

  void operator()(const UnservedRequest&) {}
  void operator()(const LookupRequest& r) {
    if (r.target == LookupRequest::Target::kSelf)
      body.string(".");
    else if (r.target == LookupRequest::Target::kParent)
      body.string("..");
    else
      body.string(r.name.value().view());
  }
  void operator()(const ForgetRequest& r) { body.u64(r.count); }
  void operator()(const BatchForgetRequest& r) {
    body.u32(r.count).u32(0);
    for (std::uint32_t i = 0; i < r.count; ++i) {
      const ForgetItem item = forget_item(r, i);
      body.u64(item.node.value).u64(item.count);
    }
  }
  void operator()(const GetattrRequest& r) {
    body.u32(bit(r.handle.has_value(), 0)).u32(0).u64(handle_of(r.handle));
  }
  void operator()(const StatxRequest& r) {
    body.u32(bit(r.handle.has_value(), 0)).u32(0).u64(handle_of(r.handle)).u32(r.flags).u32(r.mask);
  }
  void operator()(const SetattrRequest& r) {
    const auto time = [](const std::optional<TimeChange>& change) {
      return change && !change->now ? *change : TimeChange{};
    };
    const auto now = [](const std::optional<TimeChange>& change) { return change && change->now; };
    body.u32(bit(r.mode.has_value(), 0) | bit(r.uid.has_value(), 1) | bit(r.gid.has_value(), 2) |
             bit(r.size.has_value(), 3) | bit(r.atime.has_value(), 4) |
             bit(r.mtime.has_value(), 5) | bit(r.handle.has_value(), 6) | bit(now(r.atime), 7) |
             bit(now(r.mtime), 8) | bit(r.lock_owner.has_value(), 9) |
             bit(r.ctime.has_value(), 10) | bit(r.kill_suidgid, 11));
    body.u32(0).u64(handle_of(r.handle)).u64(r.size.value_or(0)).u64(r.lock_owner.value_or(0));
    body.i64(time(r.atime).seconds).i64(time(r.mtime).seconds).i64(time(r.ctime).seconds);
    body.u32(time(r.atime).nanoseconds).u32(time(r.mtime).nanoseconds);
    body.u32(time(r.ctime).nanoseconds).u32(r.mode.value_or(0)).u32(0);
    body.u32(r.uid.value_or(0)).u32(r.gid.value_or(0)).u32(0);
  }
  void operator()(const ReadlinkRequest&) {}
  void operator()(const SymlinkRequest& r) {
    body.string(r.name.view()).string(r.target);
    extensions = pack(r.extensions);
  }
  void operator()(const MknodRequest& r) {
    body.u32(r.mode).u32(r.rdev).u32(r.umask).u32(0).string(r.name.view());
    extensions = pack(r.extensions);
  }
  void operator()(const MkdirRequest& r) {
    body.u32(r.mode).u32(r.umask).string(r.name.view());
    extensions = pack(r.extensions);
  }
  void operator()(const UnlinkRequest& r) { body.string(r.name.view()); }
  void operator()(const RmdirRequest& r) { body.string(r.name.view()); }
  void operator()(const RenameRequest& r) {
    body.u64(r.new_parent.value);
    if (opcode_ == kRename2) body.u32(r.flags).u32(0);
    body.string(r.old_name.view()).string(r.new_name.view());
  }
  void operator()(const LinkRequest& r) { body.u64(r.old_node.value).string(r.new_name.view()); }
  void operator()(const OpenRequest& r) { body.u32(r.flags).u32(bit(r.kill_suidgid, 0)); }
  void operator()(const OpendirRequest& r) { body.u32(r.flags).u32(0); }
  void operator()(const CreateRequest& r) {
    body.u32(r.flags).u32(r.mode).u32(r.umask).u32(bit(r.kill_suidgid, 0)).string(r.name.view());
    extensions = pack(r.extensions);
  }
  void operator()(const TmpfileRequest& r) {
    body.u32(r.flags).u32(r.mode).u32(r.umask).u32(0).string("/");
    extensions = pack(r.extensions);
  }
  void operator()(const ReadRequest& r) {
    body.u64(r.handle.value).u64(r.offset).u32(r.size).u32(bit(r.lock_owner.has_value(), 1));
    body.u64(r.lock_owner.value_or(0)).u32(r.flags).u32(0);
  }
  void operator()(const WriteRequest& r) {
    body.u64(r.handle.value).u64(r.offset).u32(static_cast<std::uint32_t>(r.data.size()));
    body.u32(bit(r.from_cache, 0) | bit(r.lock_owner.has_value(), 1) | bit(r.kill_suidgid, 2));
    body.u64(r.lock_owner.value_or(0)).u32(r.flags).u32(0).text(text_of(r.data));
  }
  void operator()(const StatfsRequest&) {}
  void operator()(const ReleaseRequest& r) {
    body.u64(r.handle.value).u32(r.flags).u32(bit(r.flush, 0) | bit(r.flock_unlock, 1));
    body.u64(r.lock_owner);
  }
  void operator()(const ReleasedirRequest& r) { body.u64(r.handle.value).u32(0).u32(0).u64(0); }
  void operator()(const FsyncRequest& r) { sync(r); }
  void operator()(const FsyncdirRequest& r) { sync(r); }
  void operator()(const FlushRequest& r) {
    body.u64(r.handle.value).u32(0).u32(0).u64(r.lock_owner);
  }
  void operator()(const SetxattrRequest& r) {
    body.u32(static_cast<std::uint32_t>(r.value.size())).u32(r.flags);
    if (options_.setxattr_ext) body.u32(bit(r.acl_kill_sgid, 0)).u32(0);
    body.string(r.name).text(text_of(r.value));
  }
  void operator()(const GetxattrRequest& r) { body.u32(r.size).u32(0).string(r.name); }
  void operator()(const ListxattrRequest& r) { body.u32(r.size).u32(0); }
  void operator()(const RemovexattrRequest& r) { body.string(r.name); }
  void operator()(const ReaddirRequest& r) { list(r); }
  void operator()(const ReaddirplusRequest& r) { list(r); }
  void operator()(const GetlkRequest& r) { lock(r); }
  void operator()(const SetlkRequest& r) { lock(r); }
  void operator()(const SetlkwRequest& r) { lock(r); }
  void operator()(const AccessRequest& r) { body.u32(r.mask).u32(0); }
  void operator()(const InterruptRequest& r) { body.u64(r.target.value); }
  void operator()(const BmapRequest& r) { body.u64(r.block).u32(r.block_size).u32(0); }
  void operator()(const DestroyRequest&) {}
  void operator()(const IoctlRequest& r) {
    body.u64(r.handle.value).u32(r.flags).u32(r.command).u64(r.argument);
    body.u32(static_cast<std::uint32_t>(r.in.size())).u32(r.out_size).text(text_of(r.in));
  }
  void operator()(const PollRequest& r) {
    body.u64(r.handle.value).u64(r.kernel_handle).u32(r.flags).u32(r.events);
  }
  void operator()(const NotifyReplyRequest& r) {
    body.u64(0).u64(r.offset).u32(static_cast<std::uint32_t>(r.data.size())).u32(0);
    body.u64(0).u64(0).text(text_of(r.data));
  }
  void operator()(const FallocateRequest& r) {
    body.u64(r.handle.value).u64(r.offset).u64(r.length).u32(r.mode).u32(0);
  }
  void operator()(const LseekRequest& r) {
    body.u64(r.handle.value).u64(r.offset).u32(r.whence).u32(0);
  }
  void operator()(const CopyFileRangeRequest& r) {
    body.u64(r.handle_in.value).u64(r.offset_in).u64(r.node_out.value).u64(r.handle_out.value);
    body.u64(r.offset_out).u64(r.length).u64(r.flags);
  }
  void operator()(const SyncfsRequest&) { body.u64(0); }
  void operator()(const InitRequest& r) {
    body.u32(r.major).u32(r.minor).u32(r.max_readahead);
    body.u32(static_cast<std::uint32_t>(r.flags)).u32(static_cast<std::uint32_t>(r.flags >> 32));
    body.zeros(kInitLongForm * sizeof(std::uint32_t));
  }

 private:
  template <class Sync>
  void sync(const Sync& r) {
    body.u64(r.handle.value).u32(bit(r.data_only, 0)).u32(0);
  }
  template <class List>
  void list(const List& r) {
    body.u64(r.handle.value).u64(r.offset).u32(r.size).u32(0).u64(0).u32(0).u32(0);
  }
  template <class Lock>
  void lock(const Lock& r) {
    body.u64(r.handle.value).u64(r.owner).u64(r.lock.start).u64(r.lock.end);
    body.u32(r.lock.type).u32(r.lock.pid).u32(bit(r.flock, 0)).u32(0);
  }

  std::uint32_t opcode_;
  WireOptions options_;
};

}  // namespace

std::vector<std::byte> repack(const Decoded& decoded, const WireOptions& options) {
  const RequestHeader& header = decoded.header;
  Packer packer(header.opcode, options);
  std::visit(packer, decoded.request);
  return request(
      {header.opcode, header.unique.value, header.node.value, header.uid, header.gid, header.pid},
      packer.body, packer.extensions);
}

}  // namespace bough::test
