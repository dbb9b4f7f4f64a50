#include "proto/decode.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "proto/opcode.hpp"
#include "proto/render.hpp"
#include "test/proto/samples.hpp"
#include "test/support/wire.hpp"

using namespace bough::proto;
using bough::test::Bytes;
using bough::test::from_hex;
using bough::test::Head;
using bough::test::kSamples;
using bough::test::request;
using bough::test::Sample;

namespace {

bool malformed(const std::vector<std::byte>& message, const WireOptions& options = {}) {
  const auto result = decode(message, options);
  return !result && result.error() == Errno{EINVAL};
}

void set_length(std::vector<std::byte>& message) {
  const auto length = static_cast<std::uint32_t>(message.size());
  std::memcpy(message.data(), &length, sizeof length);
}

template <class T>
T decoded(const std::vector<std::byte>& message) {
  return std::get<T>(decode(message, {}).value().request);
}

bool unserved(const Sample& sample) {
  const auto message = from_hex(sample.hex);
  return opcode_info(decode_header(message)->opcode).kind == OpcodeClass::kUnserved;
}

}  // namespace

TEST_CASE("hex in, struct out: every opcode") {
  std::set<std::uint32_t> seen;
  for (const Sample& sample : kSamples) {
    CAPTURE(sample.name);
    const auto message = from_hex(sample.hex);
    const auto result = decode(message, {sample.setxattr_ext});
    REQUIRE(result);
    CHECK(render(result->header, result->request) == sample.rendered);
    seen.insert(result->header.opcode);
  }
  for (const OpcodeInfo& row : kOpcodes) {
    CAPTURE(row.name);
    CHECK(seen.contains(row.opcode));
  }
}

TEST_CASE("every request cut short at every length is refused and nothing beside it is read") {
  for (const Sample& sample : kSamples) {
    CAPTURE(sample.name);
    const auto whole = from_hex(sample.hex);
    for (std::size_t length = 0; length < whole.size(); ++length) {
      CAPTURE(length);
      // Of its own size on the heap, so that the address sanitizer sees a read past the end.
      std::vector<std::byte> cut(whole.begin(),
                                 whole.begin() + static_cast<std::ptrdiff_t>(length));
      CHECK(malformed(cut, {sample.setxattr_ext}));
      CHECK(decode_header(cut).has_value() == (length >= 40));
      if (length < 4) continue;
      set_length(cut);
      if (length >= 40 && unserved(sample)) continue;
      if (sample.name == "INIT of 7.45" && length == 40 + 16) continue;
      CHECK(malformed(cut, {sample.setxattr_ext}));
    }
  }
}

TEST_CASE("bytes left over are refused") {
  for (const Sample& sample : kSamples) {
    if (unserved(sample)) continue;
    CAPTURE(sample.name);
    auto message = from_hex(sample.hex);
    message.push_back(std::byte{0});
    CHECK(malformed(message, {sample.setxattr_ext}));
    set_length(message);
    CHECK(malformed(message, {sample.setxattr_ext}));
  }
}

TEST_CASE("the header is decoded in full, and alone where the body is malformed") {
  const auto message =
      request({.opcode = 1, .unique = 0x8000000000000006, .node = 9, .uid = 1, .gid = 2, .pid = 3},
              Bytes().text("no NUL"));
  CHECK(malformed(message));
  const auto header = decode_header(message);
  REQUIRE(header);
  CHECK(header->opcode == 1);
  CHECK(header->unique.value == 0x8000000000000006);
  CHECK(header->unique.resent());
  CHECK(header->unique.key() == 6);
  CHECK(header->node == NodeId{9});
  CHECK(header->uid == 1);
  CHECK(header->gid == 2);
  CHECK(header->pid == 3);
}

TEST_CASE("names are components, whatever the request") {
  for (const std::string bad : {"", ".", "..", "a/b", "/"}) {
    CAPTURE(bad);
    CHECK(malformed(request({.opcode = 10}, Bytes().string(bad))));
    CHECK(malformed(request({.opcode = 11}, Bytes().string(bad))));
    CHECK(malformed(request({.opcode = 6}, Bytes().string(bad).string("target"))));
    CHECK(malformed(request({.opcode = 8}, Bytes().zeros(16).string(bad))));
    CHECK(malformed(request({.opcode = 9}, Bytes().zeros(8).string(bad))));
    CHECK(malformed(request({.opcode = 13}, Bytes().u64(7).string(bad))));
    CHECK(malformed(request({.opcode = 35}, Bytes().zeros(16).string(bad))));
    CHECK(malformed(request({.opcode = 12}, Bytes().u64(7).string(bad).string("good"))));
    CHECK(malformed(request({.opcode = 12}, Bytes().u64(7).string("good").string(bad))));
    CHECK(malformed(request({.opcode = 45}, Bytes().zeros(16).string("good").string(bad))));
  }
  for (const std::string bad : {"", "a/b", "../x"})
    CHECK(malformed(request({.opcode = 1}, Bytes().string(bad))));
  const std::string longest(4095, 'n');
  CHECK(decode(request({.opcode = 10}, Bytes().string(longest)), {}));
  CHECK(malformed(request({.opcode = 10}, Bytes().string(longest + "n"))));
}

TEST_CASE("a name is followed by its NUL in memory") {
  const auto message = request({.opcode = 12}, Bytes().u64(7).string("from").string("to"));
  const auto rename = decoded<RenameRequest>(message);
  CHECK(std::strcmp(rename.old_name.c_str(), "from") == 0);
  CHECK(std::strcmp(rename.new_name.c_str(), "to") == 0);
}

TEST_CASE("\".\" and \"..\" of a LOOKUP are targets, not names") {
  const auto self = request({.opcode = 1}, Bytes().string("."));
  CHECK(decoded<LookupRequest>(self).target == LookupRequest::Target::kSelf);
  CHECK_FALSE(decoded<LookupRequest>(self).name);
  const auto parent = request({.opcode = 1}, Bytes().string(".."));
  CHECK(decoded<LookupRequest>(parent).target == LookupRequest::Target::kParent);
}

TEST_CASE("a symlink's target may be any bytes but none") {
  CHECK(malformed(request({.opcode = 6}, Bytes().string("name").string(""))));
  const auto message = request({.opcode = 6}, Bytes().string("name").string("/a/../b"));
  CHECK(decoded<SymlinkRequest>(message).target == "/a/../b");
}

TEST_CASE("the data of a WRITE is exactly as long as it says") {
  const auto write = [](std::uint32_t size, std::string_view data) {
    return request({.opcode = 16}, Bytes().u64(1).u64(0).u32(size).zeros(20).text(data));
  };
  const auto message = write(5, "hello");
  const auto good = decoded<WriteRequest>(message);
  CHECK(good.data.size() == 5);
  CHECK(good.data.data() == message.data() + 80);
  CHECK(malformed(write(4, "hello")));
  CHECK(malformed(write(6, "hello")));
  CHECK(malformed(write(0xffffffff, "hello")));
}

TEST_CASE("the layout of SETXATTR follows what INIT agreed") {
  const auto short_form = request({.opcode = 21}, Bytes().u32(1).u32(0).string("user.a").text("v"));
  const auto long_form =
      request({.opcode = 21}, Bytes().u32(1).u32(0).u32(0).u32(0).string("user.a").text("v"));
  CHECK(decode(short_form, {.setxattr_ext = false}));
  CHECK(malformed(short_form, {.setxattr_ext = true}));
  CHECK(decode(long_form, {.setxattr_ext = true}));
  CHECK(malformed(long_form, {.setxattr_ext = false}));
  CHECK(malformed(request({.opcode = 21}, Bytes().u32(2).u32(0).string("user.a").text("v"))));
}

TEST_CASE("xattr names have 1 to 255 bytes") {
  CHECK(malformed(request({.opcode = 24}, Bytes().string(""))));
  CHECK(decode(request({.opcode = 24}, Bytes().string(std::string(255, 'x'))), {}));
  CHECK(malformed(request({.opcode = 24}, Bytes().string(std::string(256, 'x')))));
  CHECK(decode(request({.opcode = 24}, Bytes().string("user.with/slash")), {}));
}

TEST_CASE("BATCH_FORGET gives its pairs, and its count must fit") {
  const Bytes pairs = Bytes().u64(5).u64(1).u64(6).u64(40);
  const auto message = request({.opcode = 42}, Bytes().u32(2).u32(0).add(pairs));
  const auto batch = decoded<BatchForgetRequest>(message);
  REQUIRE(batch.count == 2);
  CHECK(forget_item(batch, 0).node == NodeId{5});
  CHECK(forget_item(batch, 0).count == 1);
  CHECK(forget_item(batch, 1).node == NodeId{6});
  CHECK(forget_item(batch, 1).count == 40);
  for (const std::uint32_t count : {0U, 1U, 3U, 0x10000002U, 0xffffffffU})
    CHECK(malformed(request({.opcode = 42}, Bytes().u32(count).u32(0).add(pairs))));
}

TEST_CASE("an IOCTL's data is exactly as long as it says") {
  const auto ioctl = [](std::uint32_t in_size, std::string_view data) {
    return request({.opcode = 39},
                   Bytes().u64(1).u32(0).u32(1).u64(0).u32(in_size).u32(8).text(data));
  };
  const auto message = ioctl(4, "data");
  CHECK(decoded<IoctlRequest>(message).in.size() == 4);
  CHECK(decoded<IoctlRequest>(message).out_size == 8);
  CHECK(malformed(ioctl(3, "data")));
  CHECK(malformed(ioctl(5, "data")));
  CHECK(malformed(ioctl(0xffffffff, "data")));
}

TEST_CASE("SETATTR: nanoseconds that mean something else to utimensat are refused") {
  const auto setattr = [](std::uint32_t valid, std::uint32_t nanoseconds) {
    return request({.opcode = 4}, Bytes()
                                      .u32(valid)
                                      .zeros(4 + 6 * 8)
                                      .u32(nanoseconds)
                                      .u32(nanoseconds)
                                      .u32(nanoseconds)
                                      .zeros(20));
  };
  constexpr std::uint32_t kUtimeNow = (1U << 30) - 1;
  for (const std::uint32_t time : {1U << 4, 1U << 5, 1U << 10}) {
    CHECK(decode(setattr(time, 999'999'999), {}));
    CHECK(malformed(setattr(time, 1'000'000'000)));
    CHECK(malformed(setattr(time, kUtimeNow)));
  }
  // Not looked at where the server's now is asked for, or no time at all.
  CHECK(decode(setattr(1U << 4 | 1U << 7, kUtimeNow), {}));
  CHECK(decode(setattr(0, kUtimeNow), {}));
}

TEST_CASE("INIT has 16 or 64 bytes, and its upper flags count only beside INIT_EXT") {
  constexpr std::uint32_t kInitExt = 1U << 30;
  const auto init = [](std::uint32_t flags, std::size_t rest) {
    return request({.opcode = 26}, Bytes().u32(7).u32(45).u32(0).u32(flags).u32(5).zeros(rest));
  };
  CHECK(decoded<InitRequest>(init(kInitExt | 1, 44)).flags ==
        ((std::uint64_t{5} << 32) | kInitExt | 1));
  CHECK(decoded<InitRequest>(init(1, 44)).flags == 1);
  CHECK(malformed(init(1, 43)));
  CHECK(malformed(init(1, 45)));
  CHECK(malformed(init(1, 0)));
  CHECK(decode(request({.opcode = 26}, Bytes().u32(7).u32(31).u32(0).u32(0)), {}));
}

TEST_CASE("requests without arguments have none") {
  for (const std::uint32_t opcode : {5U, 17U, 38U}) {
    CHECK(decode(request({.opcode = opcode}), {}));
    CHECK(malformed(request({.opcode = opcode}, Bytes().u8(0))));
  }
}

TEST_CASE("what is not served is no error, whatever its body") {
  for (const std::uint32_t opcode : {0U, 7U, 19U, 48U, 49U, 54U, 4096U, 0xffffffffU}) {
    const auto message = request({.opcode = opcode}, Bytes().text("any bytes at all"));
    CHECK(decoded<UnservedRequest>(message).opcode == opcode);
  }
  CHECK(malformed({}));
}
