#include "test/support/null_filesystem.hpp"

#include <sys/stat.h>

#include <chrono>
#include <cstring>
#include <new>
#include <stdexcept>
#include <variant>

namespace bough::test {

using namespace proto;

namespace {

constexpr std::chrono::seconds kPatience{20};

Attr attr_of(NodeId node, std::uint32_t mode) {
  Attr attr;
  attr.ino = node.value;
  attr.mode = mode;
  attr.nlink = 1;
  attr.block_size = 4096;
  return attr;
}

std::size_t misalignment(const std::byte* at) {
  return reinterpret_cast<std::uintptr_t>(at) % 4096;
}

}  // namespace

// --- for the test

int NullFilesystem::calls(const std::string& operation) const {
  const std::lock_guard lock(mutex_);
  const auto found = calls_.find(operation);
  return found == calls_.end() ? 0 : found->second;
}

bool NullFilesystem::wait_parked(const std::string& name) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kPatience, [&] { return parked_.count(name) != 0; });
}

bool NullFilesystem::wait_parked_count(std::size_t count) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kPatience, [&] { return parked_.size() >= count; });
}

void NullFilesystem::let_go(const std::string& name) {
  const std::lock_guard lock(mutex_);
  released_.insert(name);
  changed_.notify_all();
}

bool NullFilesystem::saw_interrupt(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  return interrupted_.count(name) != 0;
}

bool NullFilesystem::wait_locks(std::size_t count) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kPatience, [&] { return locks_.size() >= count; });
}

Reply<void> NullFilesystem::take_lock() {
  const std::lock_guard lock(mutex_);
  Reply<void> first = std::move(locks_.at(0));
  locks_.erase(locks_.begin());
  return first;
}

void NullFilesystem::called(const char* operation) {
  const std::lock_guard lock(mutex_);
  ++calls_[operation];
  changed_.notify_all();
}

Result<void> NullFilesystem::behave(const Context& context, std::string_view name) {
  if (context.note != nullptr) context.note->branch = "/branch";
  if (name == "missing") return Errno{ENOENT};
  if (name == "throw") throw std::runtime_error("a handler that throws");
  if (name == "nomem") throw std::bad_alloc();
  if (name.substr(0, 4) != "park") return {};
  const std::string key(name);
  std::unique_lock lock(mutex_);
  const auto place = parked_.insert(key);
  changed_.notify_all();
  changed_.wait(lock, [&] { return released_.count(key) != 0 || released_.count("*") != 0; });
  parked_.erase(place);
  if (port_ != nullptr && port_->interrupted(context.unique)) interrupted_.insert(key);
  return {};
}

EntryReply NullFilesystem::entry(std::uint32_t mode) {
  EntryReply reply;
  const NodeId node{next_node_++};
  reply.entry.node = node;
  reply.entry.generation = Generation{7};
  reply.entry.attr = attr_of(node, mode);
  ++lookups_;
  reply.claim = LookupClaim(*this, node);
  return reply;
}

OpenReply NullFilesystem::opened() {
  OpenReply reply;
  ++handles_;
  reply.claim = HandleClaim(*this, HandleId{next_handle_++});
  return reply;
}

void NullFilesystem::drop_lookup(NodeId, std::uint64_t count) noexcept {
  lookups_ -= static_cast<std::int64_t>(count);
}

void NullFilesystem::drop_handle(HandleId) noexcept {
  --handles_;
}

// --- life

void NullFilesystem::want(InitWants& wants) const {
  wants.features.add(Feature::kDoReaddirplus).add(Feature::kPosixLocks);
}

void NullFilesystem::start(const InitAgreement&, KernelPort& port) {
  port_ = &port;
  ++starts_;
}

bool NullFilesystem::stop(std::chrono::milliseconds /*patience*/) noexcept {
  ++stops_;
  std::vector<Reply<void>> dropped;
  const std::lock_guard lock(mutex_);
  dropped.swap(locks_);
  return !stuck_at_stop;
}

std::string NullFilesystem::pool_path(NodeId node) const {
  return node == kRootNode ? "/" : "/node" + std::to_string(node.value);
}

void NullFilesystem::count(std::vector<Counter>& into) const {
  into.push_back({"null_lookups", static_cast<std::uint64_t>(lookups_.load())});
}

// --- operations

std::uint32_t NullFilesystem::lane(const RequestHeader& header,
                                   const Request& request) const noexcept {
  if (const auto* in = std::get_if<LookupRequest>(&request); in != nullptr && in->name) {
    const std::string_view name = in->name->view();
    if (name.size() >= 2 && name[name.size() - 2] == '@')
      return static_cast<std::uint32_t>(name.back() - '0');
  }
  return 128 + static_cast<std::uint32_t>(header.unique.value / 2 % 128);
}

Result<EntryReply> NullFilesystem::lookup(const Context& context, const LookupRequest& request) {
  called("lookup");
  const Result<void> outcome =
      behave(context, request.name ? request.name->view() : std::string_view());
  if (!outcome) return outcome.error();
  return entry(S_IFREG | 0644);
}

void NullFilesystem::forget(NodeId, std::uint64_t count) noexcept {
  called("forget");
  lookups_ -= static_cast<std::int64_t>(count);
}

Result<EntryReply> NullFilesystem::symlink(const Context& context, const SymlinkRequest& request) {
  called("symlink");
  const Result<void> outcome = behave(context, request.name.view());
  if (!outcome) return outcome.error();
  return entry(S_IFLNK | 0777);
}

Result<EntryReply> NullFilesystem::mknod(const Context& context, const MknodRequest& request) {
  called("mknod");
  const Result<void> outcome = behave(context, request.name.view());
  if (!outcome) return outcome.error();
  return entry(request.mode);
}

Result<EntryReply> NullFilesystem::mkdir(const Context& context, const MkdirRequest& request) {
  called("mkdir");
  const Result<void> outcome = behave(context, request.name.view());
  if (!outcome) return outcome.error();
  return entry(S_IFDIR | 0755);
}

Result<EntryReply> NullFilesystem::link(const Context& context, const LinkRequest& request) {
  called("link");
  const Result<void> outcome = behave(context, request.new_name.view());
  if (!outcome) return outcome.error();
  return entry(S_IFREG | 0644);
}

Result<AttrReply> NullFilesystem::getattr(const Context& context, const GetattrRequest&) {
  called("getattr");
  AttrReply reply;
  reply.attr = attr_of(context.node, context.node == kRootNode ? S_IFDIR | 0755U : S_IFREG | 0644U);
  return reply;
}

Result<StatxReply> NullFilesystem::statx(const Context& context, const StatxRequest&) {
  called("statx");
  StatxReply reply;
  reply.mask = 0x7ff;
  reply.attr = attr_of(context.node, context.node == kRootNode ? S_IFDIR | 0755U : S_IFREG | 0644U);
  return reply;
}

Result<AttrReply> NullFilesystem::setattr(const Context& context, const SetattrRequest&) {
  called("setattr");
  AttrReply reply;
  reply.attr = attr_of(context.node, S_IFREG | 0644);
  return reply;
}

Result<std::size_t> NullFilesystem::readlink(const Context&, const ReadlinkRequest&,
                                             std::span<std::byte> out) {
  called("readlink");
  std::memcpy(out.data(), "target", 6);
  return std::size_t{6};
}

Result<StatfsReply> NullFilesystem::statfs(const Context&, const StatfsRequest&) {
  called("statfs");
  StatfsReply reply;
  reply.blocks = 1000;
  reply.block_size = 4096;
  reply.name_max = 255;
  return reply;
}

Result<std::size_t> NullFilesystem::getxattr(const Context&, const GetxattrRequest& request,
                                             std::span<std::byte> out) {
  called("getxattr");
  if (request.size == 0) return std::size_t{5};
  if (out.size() < 5) return Errno{ERANGE};
  std::memcpy(out.data(), "value", 5);
  return std::size_t{5};
}

Result<std::size_t> NullFilesystem::listxattr(const Context&, const ListxattrRequest&,
                                              std::span<std::byte>) {
  called("listxattr");
  return std::size_t{0};
}

Result<OpenReply> NullFilesystem::open(const Context&, const OpenRequest&) {
  called("open");
  return opened();
}

Result<CreateReply> NullFilesystem::create(const Context& context, const CreateRequest& request) {
  called("create");
  const Result<void> outcome = behave(context, request.name.view());
  if (!outcome) return outcome.error();
  CreateReply reply;
  reply.entry = entry(S_IFREG | 0644);
  reply.open = opened();
  return reply;
}

Result<CreateReply> NullFilesystem::tmpfile(const Context&, const TmpfileRequest&) {
  called("tmpfile");
  CreateReply reply;
  reply.entry = entry(S_IFREG | 0644);
  reply.open = opened();
  return reply;
}

Result<std::size_t> NullFilesystem::read(const Context&, const ReadRequest& request,
                                         std::span<std::byte> out) {
  called("read");
  read_misalignment_ = misalignment(out.data());
  std::memset(out.data(), 'r', out.size());
  // An offset of 1 stands for a handler with a bug: it claims more than it was asked for.
  return std::size_t{request.size} + (request.offset == 1 ? 1 : 0);
}

Result<std::uint32_t> NullFilesystem::write(const Context& context, const WriteRequest& request) {
  called("write");
  write_misalignment_ = misalignment(request.data.data());
  if (puts_writes_off && context.put_off != nullptr) {
    if (port_->interrupted(context.unique)) return Errno{EINTR};
    before_put_off();
    ++context.put_off->done;
    context.put_off->until = kLater;
    return Errno{EIO};
  }
  if (context.put_off != nullptr && context.put_off->times != 0) {
    const bool after = context.put_off->after == kLater && context.put_off->until == 0;
    return after ? static_cast<std::uint32_t>(context.put_off->done) : 0;
  }
  return static_cast<std::uint32_t>(request.data.size());
}

Result<void> NullFilesystem::release(const Context&, const ReleaseRequest&) {
  called("release");
  --handles_;
  return {};
}

Result<std::uint64_t> NullFilesystem::lseek(const Context&, const LseekRequest& request) {
  called("lseek");
  return request.offset;
}

Result<std::uint64_t> NullFilesystem::copy_file_range(const Context&,
                                                      const CopyFileRangeRequest& request) {
  called("copy_file_range");
  return request.length;
}

Result<IoctlReply> NullFilesystem::ioctl(const Context&, const IoctlRequest&,
                                         std::span<std::byte>) {
  called("ioctl");
  return Errno{ENOTTY};
}

Result<LockReply> NullFilesystem::getlk(const Context&, const GetlkRequest&) {
  called("getlk");
  LockReply reply;
  reply.lock.type = 2;
  return reply;
}

void NullFilesystem::setlkw(const Context&, const SetlkwRequest&, Reply<void> reply) {
  const std::lock_guard lock(mutex_);
  ++calls_["setlkw"];
  locks_.push_back(std::move(reply));
  changed_.notify_all();
}

Result<OpenReply> NullFilesystem::opendir(const Context&, const OpendirRequest&) {
  called("opendir");
  return opened();
}

Result<void> NullFilesystem::readdir(const Context&, const ReaddirRequest& request,
                                     DirentPacker& out) {
  called("readdir");
  if (request.offset == 0) static_cast<void>(out.add({"one", 11, 1, 8}));
  return {};
}

Result<void> NullFilesystem::readdirplus(const Context&, const ReaddirplusRequest& request,
                                         DirentPlusPacker& out) {
  called("readdirplus");
  if (request.offset != 0) return {};
  static_cast<void>(out.add_plain({".", 1, 1, 4}));
  for (const char* name : {"one", "two", "three"}) {
    EntryReply reply = entry(S_IFREG | 0644);
    if (!out.add({name, reply.entry.node.value, 2, 8}, reply)) break;
  }
  return {};
}

Result<void> NullFilesystem::releasedir(const Context&, const ReleasedirRequest&) {
  called("releasedir");
  --handles_;
  return {};
}

Result<void> NullFilesystem::unlink(const Context& context, const UnlinkRequest& request) {
  called("unlink");
  return behave(context, request.name.view());
}

Result<void> NullFilesystem::rmdir(const Context& context, const RmdirRequest& request) {
  called("rmdir");
  return behave(context, request.name.view());
}

Result<void> NullFilesystem::rename(const Context&, const RenameRequest&) {
  called("rename");
  return {};
}

Result<void> NullFilesystem::access(const Context&, const AccessRequest&) {
  called("access");
  return {};
}

Result<void> NullFilesystem::setxattr(const Context&, const SetxattrRequest&) {
  called("setxattr");
  return {};
}

Result<void> NullFilesystem::removexattr(const Context&, const RemovexattrRequest&) {
  called("removexattr");
  return {};
}

Result<void> NullFilesystem::flush(const Context&, const FlushRequest&) {
  called("flush");
  return {};
}

Result<void> NullFilesystem::fsync(const Context&, const FsyncRequest&) {
  called("fsync");
  return {};
}

Result<void> NullFilesystem::fallocate(const Context&, const FallocateRequest&) {
  called("fallocate");
  return {};
}

Result<void> NullFilesystem::setlk(const Context&, const SetlkRequest&) {
  called("setlk");
  return {};
}

Result<void> NullFilesystem::fsyncdir(const Context&, const FsyncdirRequest&) {
  called("fsyncdir");
  return {};
}

Result<void> NullFilesystem::syncfs(const Context&, const SyncfsRequest&) {
  called("syncfs");
  return {};
}

}  // namespace bough::test
