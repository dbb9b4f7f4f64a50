#include "proto/encode.hpp"

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace bough::proto {

namespace {

constexpr int kLargestErrno = 511;
constexpr std::uint32_t kLargestNanoseconds = 999'999'999;
constexpr std::int64_t kNanosecondsASecond = 1'000'000'000;

template <class Wire>
std::size_t put(std::span<std::byte> payload, const Wire& wire) {
  static_assert(std::is_trivially_copyable_v<Wire>);
  if (payload.size() < sizeof wire) throw std::length_error("reply buffer too small");
  std::memcpy(payload.data(), &wire, sizeof wire);
  return sizeof wire;
}

constexpr std::uint32_t clamp_nanoseconds(std::uint32_t nanoseconds) {
  return nanoseconds < kLargestNanoseconds ? nanoseconds : kLargestNanoseconds;
}

/// How long the kernel may believe something; a negative time is none.
struct Timeout {
  explicit Timeout(std::chrono::nanoseconds valid) noexcept {
    if (valid.count() <= 0) return;
    seconds = static_cast<std::uint64_t>(valid.count() / kNanosecondsASecond);
    nanoseconds = static_cast<std::uint32_t>(valid.count() % kNanosecondsASecond);
  }
  std::uint64_t seconds = 0;
  std::uint32_t nanoseconds = 0;
};

abi::Attr wire_attr(const Attr& attr) noexcept {
  abi::Attr wire{};
  wire.ino = attr.ino;
  wire.size = attr.size;
  wire.blocks = attr.blocks;
  wire.atime = static_cast<std::uint64_t>(attr.atime.seconds);
  wire.mtime = static_cast<std::uint64_t>(attr.mtime.seconds);
  wire.ctime = static_cast<std::uint64_t>(attr.ctime.seconds);
  wire.atimensec = clamp_nanoseconds(attr.atime.nanoseconds);
  wire.mtimensec = clamp_nanoseconds(attr.mtime.nanoseconds);
  wire.ctimensec = clamp_nanoseconds(attr.ctime.nanoseconds);
  wire.mode = attr.mode;
  wire.nlink = attr.nlink;
  wire.uid = attr.uid;
  wire.gid = attr.gid;
  wire.rdev = attr.rdev;
  wire.blksize = attr.block_size;
  return wire;
}

abi::SxTime wire_time(const Time& time) noexcept {
  return {time.seconds, clamp_nanoseconds(time.nanoseconds), 0};
}

abi::OpenOut wire_open(const OpenReply& reply) noexcept {
  return {reply.claim.handle().value, reply.flags, reply.backing_id};
}

/// A notification under construction: header first, its length filled in last.
class Message {
 public:
  explicit Message(abi::NotifyCode code) : bytes_(sizeof(abi::OutHeader)), code_(code) {}

  template <class Wire>
  Message& add(const Wire& wire) {
    static_assert(std::is_trivially_copyable_v<Wire>);
    return add_bytes(&wire, sizeof wire);
  }
  Message& add_bytes(const void* from, std::size_t size) {
    const std::size_t at = bytes_.size();
    bytes_.resize(at + size);
    if (size != 0) std::memcpy(bytes_.data() + at, from, size);
    return *this;
  }
  /// The wire's length of a name leaves out the NUL that follows it.
  Message& add_name(const std::string& name) { return add_bytes(name.c_str(), name.size() + 1); }

  std::vector<std::byte> finish() {
    const abi::OutHeader header{static_cast<std::uint32_t>(bytes_.size()),
                                static_cast<std::int32_t>(code_), 0};
    std::memcpy(bytes_.data(), &header, sizeof header);
    return std::move(bytes_);
  }

 private:
  std::vector<std::byte> bytes_;
  abi::NotifyCode code_;
};

constexpr std::uint32_t length32(std::size_t size) {
  return static_cast<std::uint32_t>(size);
}

struct NotificationEncoder {
  using Code = abi::NotifyCode;

  Message operator()(const InvalidateInode& n) const {
    return Message(Code::kInvalInode)
        .add(abi::NotifyInvalInodeOut{n.node.value, n.offset, n.length});
  }
  Message operator()(const InvalidateEntry& n) const {
    return Message(Code::kInvalEntry)
        .add(abi::NotifyInvalEntryOut{n.parent.value, length32(n.name.size()),
                                      n.expire_only ? abi::kExpireOnly : 0})
        .add_name(n.name);
  }
  Message operator()(const NotifyDelete& n) const {
    return Message(Code::kDelete)
        .add(abi::NotifyDeleteOut{n.parent.value, n.child.value, length32(n.name.size()), 0})
        .add_name(n.name);
  }
  Message operator()(const NotifyPoll& n) const {
    return Message(Code::kPoll).add(abi::NotifyPollOut{n.kernel_handle});
  }
  Message operator()(const NotifyStore& n) const {
    return Message(Code::kStore)
        .add(abi::NotifyStoreOut{n.node.value, n.offset, length32(n.data.size()), 0})
        .add_bytes(n.data.data(), n.data.size());
  }
  Message operator()(const NotifyRetrieve& n) const {
    return Message(Code::kRetrieve)
        .add(abi::NotifyRetrieveOut{n.unique.value, n.node.value, n.offset, n.size, 0});
  }
  Message operator()(const NotifyResend&) const { return Message(Code::kResend); }
  Message operator()(const NotifyIncrementEpoch&) const { return Message(Code::kIncEpoch); }
  Message operator()(const NotifyPrune& n) const {
    Message message(Code::kPrune);
    message.add(abi::NotifyPruneOut{length32(n.nodes.size()), 0, 0});
    for (const NodeId node : n.nodes) message.add(node.value);
    return message;
  }
};

}  // namespace

void encode_header(std::span<std::byte, kReplyHeader> header, Unique unique,
                   std::size_t payload_length, std::optional<Errno> error) noexcept {
  abi::OutHeader wire{};
  wire.unique = unique.value;
  if (error) {
    const int value = error->value();
    wire.len = sizeof wire;
    wire.error = value >= 1 && value <= kLargestErrno ? -value : -EIO;
  } else {
    wire.len = static_cast<std::uint32_t>(sizeof wire + payload_length);
  }
  std::memcpy(header.data(), &wire, sizeof wire);
}

abi::EntryOut wire_entry(const Entry& entry) noexcept {
  const Timeout name(entry.entry_valid);
  const Timeout attributes(entry.attr_valid);
  return {entry.node.value, entry.generation.value, name.seconds,         attributes.seconds,
          name.nanoseconds, attributes.nanoseconds, wire_attr(entry.attr)};
}

std::size_t encode(std::span<std::byte> payload, const EntryReply& reply) {
  return put(payload, wire_entry(reply.entry));
}

std::size_t encode(std::span<std::byte> payload, const AttrReply& reply) {
  const Timeout valid(reply.attr_valid);
  return put(payload, abi::AttrOut{valid.seconds, valid.nanoseconds, 0, wire_attr(reply.attr)});
}

std::size_t encode(std::span<std::byte> payload, const StatxReply& reply) {
  const Timeout valid(reply.attr_valid);
  abi::StatxOut wire{};
  wire.attr_valid = valid.seconds;
  wire.attr_valid_nsec = valid.nanoseconds;
  wire.stat.mask = reply.mask;
  wire.stat.blksize = reply.attr.block_size;
  wire.stat.attributes = reply.attributes;
  wire.stat.nlink = reply.attr.nlink;
  wire.stat.uid = reply.attr.uid;
  wire.stat.gid = reply.attr.gid;
  wire.stat.mode = static_cast<std::uint16_t>(reply.attr.mode);
  wire.stat.ino = reply.attr.ino;
  wire.stat.size = reply.attr.size;
  wire.stat.blocks = reply.attr.blocks;
  wire.stat.attributes_mask = reply.attributes_mask;
  wire.stat.atime = wire_time(reply.attr.atime);
  wire.stat.btime = wire_time(reply.btime);
  wire.stat.ctime = wire_time(reply.attr.ctime);
  wire.stat.mtime = wire_time(reply.attr.mtime);
  wire.stat.rdev_major = reply.rdev_major;
  wire.stat.rdev_minor = reply.rdev_minor;
  return put(payload, wire);
}

std::size_t encode(std::span<std::byte> payload, const OpenReply& reply) {
  return put(payload, wire_open(reply));
}

std::size_t encode(std::span<std::byte> payload, const CreateReply& reply) {
  return put(payload, abi::CreateOut{wire_entry(reply.entry.entry), wire_open(reply.open)});
}

std::size_t encode(std::span<std::byte> payload, const StatfsReply& reply) {
  abi::StatfsOut wire{};
  wire.blocks = reply.blocks;
  wire.bfree = reply.blocks_free;
  wire.bavail = reply.blocks_available;
  wire.files = reply.files;
  wire.ffree = reply.files_free;
  wire.bsize = reply.block_size;
  wire.namelen = reply.name_max;
  wire.frsize = reply.fragment_size;
  return put(payload, wire);
}

std::size_t encode(std::span<std::byte> payload, const LockReply& reply) {
  const FileLock& lock = reply.lock;
  return put(payload, abi::LkOut{{lock.start, lock.end, lock.type, lock.pid}});
}

std::size_t encode(std::span<std::byte> payload, const IoctlReply& reply) {
  const std::size_t fixed = put(payload, abi::IoctlOut{reply.result, 0, 0, 0});
  if (reply.out_size > payload.size() - fixed) throw std::length_error("ioctl reply too long");
  return fixed + reply.out_size;
}

std::size_t encode(std::span<std::byte> payload, const InitAgreement& agreement) {
  abi::InitOut wire{};
  wire.major = abi::kMajor;
  wire.minor = agreement.minor;
  wire.max_readahead = agreement.max_readahead;
  wire.flags = static_cast<std::uint32_t>(agreement.features.bits());
  wire.flags2 = static_cast<std::uint32_t>(agreement.features.bits() >> 32);
  wire.max_background = agreement.max_background;
  wire.congestion_threshold = agreement.congestion_threshold;
  wire.max_write = agreement.max_write;
  wire.time_gran = agreement.time_granularity;
  if (agreement.features.has(Feature::kMaxPages))
    wire.max_pages = static_cast<std::uint16_t>(agreement.max_pages);
  wire.max_stack_depth = agreement.max_stack_depth;
  wire.request_timeout = agreement.request_timeout;
  return put(payload, wire);
}

std::size_t encode_write(std::span<std::byte> payload, std::uint32_t written) {
  return put(payload, abi::WriteOut{written, 0});
}

std::size_t encode_lseek(std::span<std::byte> payload, std::uint64_t offset) {
  return put(payload, abi::LseekOut{offset});
}

std::size_t encode_copy_file_range(std::span<std::byte> payload, std::uint64_t copied, bool wide) {
  if (wide) return put(payload, abi::CopyFileRangeOut{copied});
  return put(payload, abi::WriteOut{static_cast<std::uint32_t>(copied), 0});
}

std::size_t encode_xattr_length(std::span<std::byte> payload, std::size_t length) {
  return put(payload, abi::GetxattrOut{static_cast<std::uint32_t>(length), 0});
}

std::size_t encode_poll(std::span<std::byte> payload, std::uint32_t revents) {
  return put(payload, abi::PollOut{revents, 0});
}

std::size_t encode_bmap(std::span<std::byte> payload, std::uint64_t block) {
  return put(payload, abi::BmapOut{block});
}

std::vector<std::byte> encode(const Notification& notification) {
  return std::visit(NotificationEncoder{}, notification).finish();
}

}  // namespace bough::proto
