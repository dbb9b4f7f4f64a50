#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "proto/encode.hpp"
#include "proto/render.hpp"
#include "test/support/wire.hpp"

using namespace bough::proto;
using bough::test::Bytes;
using bough::test::to_hex;

namespace {

/// length, code, unique 0, payload.
std::string message(std::int32_t code, const Bytes& payload) {
  return to_hex(Bytes()
                    .u32(static_cast<std::uint32_t>(16 + payload.size()))
                    .i32(code)
                    .u64(0)
                    .add(payload)
                    .get());
}

std::string sent(const Notification& notification) {
  return to_hex(encode(notification));
}

}  // namespace

TEST_CASE("every notification, byte by byte and as a line of a trace") {
  Notification n = NotifyPoll{9};
  CHECK(sent(n) == message(1, Bytes().u64(9)));
  CHECK(render(n) == "POLL kernel_handle=9");

  n = InvalidateInode{NodeId{5}, -1, 0};
  CHECK(sent(n) == message(2, Bytes().u64(5).i64(-1).i64(0)));
  CHECK(render(n) == "INVAL_INODE node=5 attributes_only");

  n = InvalidateInode{NodeId{5}, 4096, 8192};
  CHECK(sent(n) == message(2, Bytes().u64(5).i64(4096).i64(8192)));
  CHECK(render(n) == "INVAL_INODE node=5 offset=4096 length=8192");

  n = InvalidateEntry{NodeId{1}, "name", false};
  CHECK(sent(n) == message(3, Bytes().u64(1).u32(4).u32(0).string("name")));
  CHECK(render(n) == "INVAL_ENTRY parent=1 name=\"name\"");

  n = InvalidateEntry{NodeId{1}, "name", true};
  CHECK(sent(n) == message(3, Bytes().u64(1).u32(4).u32(1).string("name")));
  CHECK(render(n) == "INVAL_ENTRY parent=1 name=\"name\" expire_only");

  n = NotifyStore{NodeId{5}, 4096, {std::byte{'h'}, std::byte{'i'}}};
  CHECK(sent(n) == message(4, Bytes().u64(5).u64(4096).u32(2).u32(0).text("hi")));
  CHECK(render(n) == "STORE node=5 offset=4096 size=2");

  n = NotifyStore{NodeId{5}, 0, {}};
  CHECK(sent(n) == message(4, Bytes().u64(5).u64(0).u32(0).u32(0)));

  n = NotifyRetrieve{Unique{0x1000}, NodeId{5}, 4096, 512};
  CHECK(sent(n) == message(5, Bytes().u64(0x1000).u64(5).u64(4096).u32(512).u32(0)));
  CHECK(render(n) == "RETRIEVE unique=4096 node=5 offset=4096 size=512");

  n = NotifyDelete{NodeId{1}, NodeId{5}, "gone"};
  CHECK(sent(n) == message(6, Bytes().u64(1).u64(5).u32(4).u32(0).string("gone")));
  CHECK(render(n) == "DELETE parent=1 child=5 name=\"gone\"");

  n = NotifyResend{};
  CHECK(sent(n) == message(7, {}));
  CHECK(render(n) == "RESEND");

  n = NotifyIncrementEpoch{};
  CHECK(sent(n) == message(8, {}));
  CHECK(render(n) == "INC_EPOCH");

  n = NotifyPrune{{NodeId{5}, NodeId{6}}};
  CHECK(sent(n) == message(9, Bytes().u32(2).u32(0).u64(0).u64(5).u64(6)));
  CHECK(render(n) == "PRUNE nodes=5,6");

  n = NotifyPrune{};
  CHECK(sent(n) == message(9, Bytes().u32(0).u32(0).u64(0)));
  CHECK(render(n) == "PRUNE nodes=");
}
