#include "proto/encode.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "test/support/wire.hpp"

using namespace bough::proto;
using namespace std::chrono_literals;
using bough::test::Bytes;
using bough::test::from_hex;
using bough::test::reply_head;
using bough::test::to_hex;

namespace {

/// The payload that `write` makes in a buffer that was not clean before.
template <class Write>
std::string payload(Write write) {
  std::array<std::byte, 512> buffer;
  buffer.fill(std::byte{0xee});
  const std::size_t size = write(std::span<std::byte>(buffer));
  REQUIRE(size <= buffer.size());
  for (std::size_t i = size; i < buffer.size(); ++i) REQUIRE(buffer[i] == std::byte{0xee});
  return to_hex(std::span(buffer).first(size));
}

template <class Reply>
std::string encoded(const Reply& reply) {
  return payload([&](std::span<std::byte> out) { return encode(out, reply); });
}

std::string hex(const Bytes& bytes) {
  return to_hex(bytes.get());
}
std::string hex(std::string_view text) {
  return to_hex(from_hex(text));
}

class Counts : public ClaimOwner {
 public:
  void drop_lookup(NodeId, std::uint64_t count) noexcept override { lookups += count; }
  void drop_handle(HandleId) noexcept override { ++handles; }

  std::uint64_t lookups = 0;
  std::uint64_t handles = 0;
};

Attr sample_attr() {
  Attr attr;
  attr.ino = 0x101;
  attr.size = 0x102;
  attr.blocks = 0x103;
  attr.atime = {0x104, 1};
  attr.mtime = {-2, 2};
  attr.ctime = {0x106, 3};
  attr.mode = 0100644;
  attr.nlink = 0x107;
  attr.uid = 0x108;
  attr.gid = 0x109;
  attr.rdev = 0x10a;
  attr.block_size = 4096;
  return attr;
}

// ino size blocks, times, nanoseconds, mode nlink uid gid rdev blksize flags
constexpr std::string_view kAttrHex =
    "0101000000000000 0201000000000000 0301000000000000"
    "0401000000000000 feffffffffffffff 0601000000000000"
    "01000000 02000000 03000000"
    "a4810000 07010000 08010000 09010000 0a010000 00100000 00000000";

Entry sample_entry() {
  Entry entry;
  entry.node = NodeId{0x1111};
  entry.generation = Generation{0x2222};
  entry.entry_valid = 1500ms;
  entry.attr_valid = 3s;
  entry.attr = sample_attr();
  return entry;
}

constexpr std::string_view kEntryHex =
    "1111000000000000 2222000000000000 0100000000000000 0300000000000000 0065cd1d 00000000";

}  // namespace

TEST_CASE("the header is completed in front of the payload") {
  std::array<std::byte, kReplyHeader> header{};
  encode_header(header, Unique{0x8000000000000006}, 100);
  CHECK(to_hex(header) == hex("74000000 00000000 0600000000000080"));
  encode_header(header, Unique{6}, 0);
  CHECK(to_hex(header) == hex("10000000 00000000 0600000000000000"));
}

TEST_CASE("an error reply has no payload, and only errnos that the kernel takes") {
  std::array<std::byte, kReplyHeader> header{};
  const auto sent = [&](int value) {
    encode_header(header, Unique{6}, 100, Errno{value});
    const auto head = reply_head(header);
    CHECK(head.length == 16);
    CHECK(head.unique == 6);
    return head.error;
  };
  CHECK(sent(ENOENT) == -ENOENT);
  CHECK(sent(1) == -1);
  CHECK(sent(511) == -511);
  CHECK(sent(512) == -EIO);
  CHECK(sent(0) == -EIO);
  CHECK(sent(-ENOENT) == -EIO);
  CHECK(sent(std::numeric_limits<int>::min()) == -EIO);
}

TEST_CASE("struct in, hex out: entries and attributes") {
  EntryReply entry;
  entry.entry = sample_entry();
  CHECK(encoded(entry) == hex(kEntryHex) + hex(kAttrHex));

  const AttrReply attr{2500ms, sample_attr()};
  CHECK(encoded(attr) == hex("0200000000000000 0065cd1d 00000000") + hex(kAttrHex));
}

TEST_CASE("the absence of a name") {
  EntryReply absent;
  absent.entry.entry_valid = 1s;
  CHECK(encoded(absent) == hex(Bytes().u64(0).u64(0).u64(1).zeros(16).zeros(88)));
}

TEST_CASE("struct in, hex out: statx") {
  StatxReply reply;
  reply.attr_valid = 1s;
  reply.mask = 0xfff;
  reply.attr = sample_attr();
  reply.btime = {77, 5};
  reply.attributes = 0x10;
  reply.attributes_mask = 0x30;
  reply.rdev_major = 8;
  reply.rdev_minor = 1;
  Bytes expected = Bytes().u64(1).u32(0).u32(0).zeros(16);
  expected.u32(0xfff).u32(4096).u64(0x10).u32(0x107).u32(0x108).u32(0x109).u16(0100644).u16(0);
  expected.u64(0x101).u64(0x102).u64(0x103).u64(0x30);
  expected.i64(0x104).u32(1).u32(0).i64(77).u32(5).u32(0);
  expected.i64(0x106).u32(3).u32(0).i64(-2).u32(2).u32(0);
  expected.u32(8).u32(1).u32(0).u32(0).zeros(112);
  CHECK(expected.size() == 288);
  CHECK(encoded(reply) == hex(expected));
}

TEST_CASE("struct in, hex out: open and create") {
  Counts counts;
  {
    OpenReply open;
    open.flags = abi::open_reply::kKeepCache | abi::open_reply::kPassthrough;
    open.backing_id = 7;
    open.claim = HandleClaim(counts, HandleId{0x99});
    CHECK(encoded(open) == hex("9900000000000000 82000000 07000000"));

    CreateReply create;
    create.entry.entry = sample_entry();
    create.entry.claim = LookupClaim(counts, NodeId{0x1111});
    create.open = std::move(open);
    const std::string created = encoded(create);
    CHECK(created.size() == 144 * 2);
    CHECK(created == hex(kEntryHex) + hex(kAttrHex) + hex("9900000000000000 82000000 07000000"));
    CHECK(counts.handles == 0);
    CHECK(counts.lookups == 0);
  }
  CHECK(counts.handles == 1);
  CHECK(counts.lookups == 1);
}

TEST_CASE("a kept reply drops nothing") {
  Counts counts;
  {
    CreateReply create;
    create.entry.claim = LookupClaim(counts, NodeId{5});
    create.open.claim = HandleClaim(counts, HandleId{6});
    create.keep();
    CHECK(create.open.claim.handle() == HandleId{6});
  }
  CHECK(counts.handles == 0);
  CHECK(counts.lookups == 0);
}

TEST_CASE("struct in, hex out: the small shapes") {
  StatfsReply statfs;
  statfs.blocks = 1;
  statfs.blocks_free = 2;
  statfs.blocks_available = 3;
  statfs.files = 4;
  statfs.files_free = 5;
  statfs.block_size = 6;
  statfs.fragment_size = 7;
  statfs.name_max = 8;
  CHECK(encoded(statfs) ==
        hex(Bytes().u64(1).u64(2).u64(3).u64(4).u64(5).u32(6).u32(8).u32(7).zeros(28)));

  CHECK(encoded(LockReply{{10, 19, 1, 77}}) == hex(Bytes().u64(10).u64(19).u32(1).u32(77)));

  using Span = std::span<std::byte>;
  CHECK(payload([](Span out) { return encode_write(out, 5); }) == hex(Bytes().u32(5).u32(0)));
  CHECK(payload([](Span out) { return encode_lseek(out, 1ULL << 40); }) ==
        hex(Bytes().u64(1ULL << 40)));
  CHECK(payload([](Span out) { return encode_copy_file_range(out, 9, false); }) ==
        hex(Bytes().u32(9).u32(0)));
  CHECK(payload([](Span out) { return encode_copy_file_range(out, 1ULL << 33, true); }) ==
        hex(Bytes().u64(1ULL << 33)));
  CHECK(payload([](Span out) { return encode_xattr_length(out, 24); }) ==
        hex(Bytes().u32(24).u32(0)));
  CHECK(payload([](Span out) { return encode_poll(out, 0x45); }) == hex(Bytes().u32(0x45).u32(0)));
  CHECK(payload([](Span out) { return encode_bmap(out, 3); }) == hex(Bytes().u64(3)));
}

TEST_CASE("an ioctl's out data stays where the handler put it") {
  std::array<std::byte, 64> buffer{};
  buffer[kIoctlOutOffset] = std::byte{0xaa};
  CHECK(encode(buffer, IoctlReply{-3, 1}) == 17);
  CHECK(to_hex(std::span(buffer).first(17)) == hex(Bytes().i32(-3).zeros(12).u8(0xaa)));
  CHECK_THROWS_AS((void)encode(buffer, IoctlReply{0, 49}), std::length_error);
}

TEST_CASE("times that the kernel would refuse are clamped") {
  EntryReply reply;
  reply.entry.entry_valid = -1s;
  reply.entry.attr_valid = 999'999'999ns;
  reply.entry.attr.atime.nanoseconds = 4'000'000'000;
  const std::string text = encoded(reply);
  CHECK(text.substr(32, 48) == hex(Bytes().u64(0).u64(0).u32(0).u32(999'999'999)));
  CHECK(text.substr(2 * (40 + 48), 8) == hex(Bytes().u32(999'999'999)));
}

TEST_CASE("a payload area that is too small is a bug, not an overrun") {
  std::array<std::byte, 15> buffer{};
  CHECK_THROWS_AS((void)encode(buffer, OpenReply{}), std::length_error);
  CHECK_THROWS_AS((void)encode(buffer, EntryReply{}), std::length_error);
  CHECK_THROWS_AS((void)encode(buffer, IoctlReply{}), std::length_error);
}

TEST_CASE("INIT's reply") {
  InitAgreement agreement;
  agreement.minor = 45;
  agreement.features =
      FeatureSet{}.add(Feature::kMaxPages).add(Feature::kInitExt).add(Feature::kPassthrough);
  agreement.max_write = 1 << 20;
  agreement.max_pages = 256;
  agreement.max_readahead = 131072;
  agreement.max_background = 64;
  agreement.congestion_threshold = 48;
  agreement.time_granularity = 1;
  agreement.max_stack_depth = 1;
  agreement.request_timeout = 60;
  Bytes expected = Bytes().u32(7).u32(45).u32(131072).u32(0x40400000).u16(64).u16(48);
  expected.u32(1 << 20).u32(1).u16(256).u16(0).u32(0x20).u32(1).u16(60).zeros(22);
  CHECK(expected.size() == 64);
  CHECK(encoded(agreement) == hex(expected));

  agreement.features.remove(Feature::kMaxPages);
  CHECK(encoded(agreement).substr(56, 4) == "0000");
}
