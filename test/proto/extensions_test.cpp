#include <doctest/doctest.h>

#include <cerrno>
#include <string_view>
#include <vector>

#include "proto/decode.hpp"
#include "test/support/wire.hpp"

using namespace bough::proto;
using bough::test::Bytes;
using bough::test::request;

namespace {

/// As Linux builds it: one context, label behind its name, zeros to a multiple of 8.
Bytes security(std::string_view name, std::string_view label) {
  Bytes inner = Bytes().u32(static_cast<std::uint32_t>(label.size())).u32(0);
  inner.string(name).text(label).pad_to(8);
  return Bytes().u32(static_cast<std::uint32_t>(inner.size() + 8)).u32(1).add(inner);
}

Bytes no_security() {
  return Bytes().u32(8).u32(0);
}
Bytes group(std::uint32_t gid) {
  return Bytes().u32(16).u32(32).u32(1).u32(gid);
}

std::vector<std::byte> mkdir(const Bytes& extensions, std::string_view name = "dd") {
  return request({.opcode = 9}, Bytes().u32(0777).u32(022).string(name), extensions);
}

Extensions extensions_of(const std::vector<std::byte>& message) {
  return std::get<MkdirRequest>(decode(message, {}).value().request).extensions;
}

bool malformed(const std::vector<std::byte>& message) {
  const auto result = decode(message, {});
  return !result && result.error() == Errno{EINVAL};
}

}  // namespace

TEST_CASE("extensions begin at any byte behind the last argument") {
  for (const std::string_view name : {"n", "nn", "nnn", "nnnn", "nnnnn", "nnnnnn", "nnnnnnn"}) {
    const auto message = mkdir(security("security.selinux", "label").add(group(44)), name);
    const auto result = decode(message, {});
    REQUIRE(result);
    const auto& made = std::get<MkdirRequest>(result->request);
    CHECK(made.name.view() == name);
    REQUIRE(made.extensions.label);
    CHECK(made.extensions.label->xattr_name == "security.selinux");
    const auto value = made.extensions.label->value;
    CHECK(std::string_view(reinterpret_cast<const char*>(value.data()), value.size()) == "label");
    CHECK(made.extensions.group == 44);
  }
}

TEST_CASE("every creating request takes them") {
  const Bytes block = no_security().add(group(44));
  const auto group_in = [](const auto& message, auto tag) {
    using T = decltype(tag);
    const auto result = decode(message, {});
    REQUIRE(result);
    return std::get<typename T::type>(result->request).extensions.group;
  };
  CHECK(group_in(request({.opcode = 6}, Bytes().string("n").string("t"), block),
                 std::type_identity<SymlinkRequest>{}) == 44);
  CHECK(group_in(request({.opcode = 8}, Bytes().zeros(16).string("n"), block),
                 std::type_identity<MknodRequest>{}) == 44);
  CHECK(group_in(request({.opcode = 9}, Bytes().zeros(8).string("n"), block),
                 std::type_identity<MkdirRequest>{}) == 44);
  CHECK(group_in(request({.opcode = 35}, Bytes().zeros(16).string("n"), block),
                 std::type_identity<CreateRequest>{}) == 44);
  CHECK(group_in(request({.opcode = 51}, Bytes().zeros(16).string("/"), block),
                 std::type_identity<TmpfileRequest>{}) == 44);
}

TEST_CASE("a record without a context, and no record at all, mean no label") {
  const auto empty = mkdir(no_security());
  CHECK_FALSE(extensions_of(empty).label);
  const auto none = mkdir({});
  CHECK_FALSE(extensions_of(none).label);
  CHECK_FALSE(extensions_of(none).group);
}

TEST_CASE("of several contexts the first is taken") {
  Bytes inner = Bytes().u32(1).u32(0).string("security.a").text("1");
  inner.u32(1).u32(0).string("security.b").text("2").pad_to(8);
  const Bytes record = Bytes().u32(static_cast<std::uint32_t>(inner.size() + 8)).u32(2).add(inner);
  const auto message = mkdir(record);
  const auto extensions = extensions_of(message);
  REQUIRE(extensions.label);
  CHECK(extensions.label->xattr_name == "security.a");
}

TEST_CASE("of several records the first with a label counts") {
  const auto message =
      mkdir(no_security().add(security("security.a", "1")).add(security("security.b", "2")));
  const auto extensions = extensions_of(message);
  REQUIRE(extensions.label);
  CHECK(extensions.label->xattr_name == "security.a");
}

TEST_CASE("unknown types are stepped over by their size") {
  const auto message = mkdir(Bytes().u32(24).u32(33).zeros(16).add(group(44)));
  CHECK(extensions_of(message).group == 44);
}

TEST_CASE("a request that knows no extension takes one all the same, if it is whole") {
  CHECK(decode(request({.opcode = 10}, Bytes().string("n"), group(44)), {}));
  CHECK(malformed(request({.opcode = 10}, Bytes().string("n"), Bytes().u32(24).u32(32).zeros(8))));
}

TEST_CASE("broken chains are refused") {
  SUBCASE("a record smaller than its header") {
    CHECK(malformed(mkdir(Bytes().u32(0).u32(33))));
  }
  SUBCASE("a record that is no multiple of 8") {
    CHECK(malformed(mkdir(Bytes().u32(12).u32(33).zeros(4).u32(12).u32(33).zeros(4))));
  }
  SUBCASE("a record longer than the block") {
    CHECK(malformed(mkdir(Bytes().u32(24).u32(33).zeros(8))));
    CHECK(malformed(mkdir(Bytes().u32(0xfffffff8).u32(33).zeros(8))));
  }
  SUBCASE("a context without room for its struct") {
    CHECK(malformed(mkdir(Bytes().u32(8).u32(1))));
  }
  SUBCASE("a context whose name has no end") {
    CHECK(malformed(mkdir(Bytes().u32(24).u32(1).u32(0).u32(0).text("12345678"))));
  }
  SUBCASE("a context without a name") {
    CHECK(malformed(mkdir(Bytes().u32(24).u32(1).u32(0).u32(0).zeros(8))));
  }
  SUBCASE("a label longer than its record") {
    CHECK(malformed(mkdir(Bytes().u32(24).u32(1).u32(7).u32(0).string("s").zeros(6))));
    CHECK(malformed(mkdir(Bytes().u32(24).u32(1).u32(0xffffffff).u32(0).string("s").zeros(6))));
  }
  SUBCASE("more groups than there are") {
    CHECK(malformed(mkdir(Bytes().u32(16).u32(32).u32(2).u32(44))));
    CHECK(malformed(mkdir(Bytes().u32(16).u32(32).u32(0xffffffff).u32(44))));
    CHECK(malformed(mkdir(Bytes().u32(8).u32(32))));
  }
  SUBCASE("a block that begins before the arguments do, or inside the header") {
    auto message = mkdir(group(44));
    message[36] = std::byte{4};
    CHECK(malformed(message));
    message[36] = std::byte{0xff};
    message[37] = std::byte{0xff};
    CHECK(malformed(message));
  }
}
