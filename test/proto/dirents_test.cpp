#include "proto/dirents.hpp"

#include <doctest/doctest.h>

#include <array>
#include <map>
#include <string>
#include <vector>

#include "test/support/wire.hpp"

using namespace bough::proto;
using bough::test::Bytes;
using bough::test::Fields;
using bough::test::from_hex;
using bough::test::to_hex;

namespace {

class Counts : public ClaimOwner {
 public:
  void drop_lookup(NodeId node, std::uint64_t count) noexcept override {
    dropped[node.value] += count;
  }
  void drop_handle(HandleId) noexcept override {}

  std::map<std::uint64_t, std::uint64_t> dropped;
};

EntryReply entry(Counts& counts, std::uint64_t node) {
  EntryReply reply;
  reply.entry.node = NodeId{node};
  reply.entry.generation = Generation{3};
  reply.entry.entry_valid = std::chrono::seconds(1);
  reply.entry.attr.mode = 0100644;
  if (node != 0) reply.claim = LookupClaim(counts, NodeId{node});
  return reply;
}

}  // namespace

TEST_CASE("dirent records are 8-aligned, padded with zeros, and never cut") {
  std::vector<std::byte> buffer(24 + 8 + 24 + 8 + 31, std::byte{0xee});
  DirentPacker packer(buffer);
  REQUIRE(packer.add({"a", 0x11, 1, 4}));
  REQUIRE(packer.add({"12345678", 0x12, 0x7fffffffffffffff, 8}));
  CHECK(packer.size() == 64);
  CHECK_FALSE(packer.add({"b", 0x13, 3, 8}));
  CHECK(packer.size() == 64);
  CHECK(packer.entries() == 2);
  CHECK(to_hex(std::span(buffer).first(64)) == to_hex(from_hex("1100000000000000 0100000000000000"
                                                               "01000000 04000000 6100000000000000"
                                                               "1200000000000000 ffffffffffffff7f"
                                                               "08000000 08000000"
                                                               "3132333435363738")));
  CHECK(buffer[64] == std::byte{0xee});
}

TEST_CASE("a listing that fits to the byte is taken whole") {
  std::vector<std::byte> buffer(32);
  DirentPacker packer(buffer);
  CHECK(packer.add({"12345678", 1, 1, 8}));
  CHECK(packer.size() == 32);
  std::vector<std::byte> smaller(31);
  DirentPacker tight(smaller);
  CHECK_FALSE(tight.add({"12345678", 1, 1, 8}));
}

TEST_CASE("a direntplus record is an entry, a dirent and a name") {
  Counts counts;
  std::vector<std::byte> buffer(4096, std::byte{0xee});
  DirentPlusPacker packer(buffer, counts);
  EntryReply reply = entry(counts, 42);
  REQUIRE(packer.add({"name", 7, 9, 8}, reply));
  CHECK(packer.size() == 160);
  Fields fields{std::span(buffer).first(packer.size())};
  CHECK(fields.u64() == 42);
  CHECK(fields.u64() == 3);
  CHECK(fields.u64() == 1);
  fields.skip(40 - 24 + 60);
  CHECK(fields.u32() == 0100644);
  fields.skip(128 - 40 - 64);
  CHECK(fields.u64() == 7);
  CHECK(fields.u64() == 9);
  CHECK(fields.u32() == 4);
  CHECK(fields.u32() == 8);
  CHECK(fields.text(4) == "name");
  CHECK(fields.u32() == 0);
  CHECK(fields.done());
  packer.keep();
}

TEST_CASE("a plain direntplus record has no node and is all zeros before its dirent") {
  Counts counts;
  std::vector<std::byte> buffer(4096, std::byte{0xee});
  {
    DirentPlusPacker packer(buffer, counts);
    REQUIRE(packer.add_plain({"..", 1, 2, 4}));
    CHECK(packer.size() == 160);
    CHECK(to_hex(std::span(buffer).first(128)) == std::string(256, '0'));
  }
  CHECK(counts.dropped.empty());
}

TEST_CASE("counts balance when a pack is dropped, and belong to the kernel once kept") {
  Counts counts;
  std::vector<std::byte> buffer(4096);
  const auto fill = [&](DirentPlusPacker& packer) {
    REQUIRE(packer.add_plain({".", 1, 1, 4}));
    for (const std::uint64_t node : {10U, 11U, 10U}) {
      EntryReply reply = entry(counts, node);
      REQUIRE(packer.add({std::string(node, 'x'), node, node, 8}, reply));
    }
    EntryReply absent = entry(counts, 0);
    REQUIRE(packer.add({"gone", 5, 20, 8}, absent));
  };
  SUBCASE("dropped") {
    {
      DirentPlusPacker packer(buffer, counts);
      fill(packer);
      CHECK(packer.entries() == 5);
      CHECK(counts.dropped.empty());
    }
    CHECK(counts.dropped == std::map<std::uint64_t, std::uint64_t>{{10, 2}, {11, 1}});
  }
  SUBCASE("kept") {
    {
      DirentPlusPacker packer(buffer, counts);
      fill(packer);
      packer.keep();
    }
    CHECK(counts.dropped.empty());
  }
}

TEST_CASE("a direntplus record that fits to the byte is taken whole") {
  Counts counts;
  std::array<std::byte, 320> buffer{};
  DirentPlusPacker packer(buffer, counts);
  CHECK(packer.add_plain({"1234", 1, 1, 8}));
  CHECK(packer.fits("12345678"));
  CHECK(packer.add_plain({"12345678", 1, 2, 8}));
  CHECK(packer.size() == buffer.size());
}

TEST_CASE("an entry that found no room keeps its claim") {
  Counts counts;
  std::array<std::byte, 167> buffer{};
  {
    DirentPlusPacker packer(buffer, counts);
    CHECK(packer.fits("12345678"));
    CHECK_FALSE(packer.fits("123456789"));
    EntryReply first = entry(counts, 10);
    REQUIRE(packer.add({"12345678", 1, 1, 8}, first));
    CHECK_FALSE(packer.fits(""));
    {
      EntryReply second = entry(counts, 11);
      CHECK_FALSE(packer.add({"b", 2, 2, 8}, second));
      CHECK(counts.dropped.empty());
    }
    CHECK(counts.dropped == std::map<std::uint64_t, std::uint64_t>{{11, 1}});
    CHECK_FALSE(packer.add_plain({"c", 3, 3, 8}));
    packer.keep();
  }
  CHECK(counts.dropped.size() == 1);
}
