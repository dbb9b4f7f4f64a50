#include "proto/cursor.hpp"

#include <doctest/doctest.h>

#include <cstdint>

#include "test/support/wire.hpp"

using bough::proto::Cursor;
using bough::test::Bytes;

TEST_CASE("a cursor gives out what is there, in order, at any alignment") {
  const Bytes bytes = Bytes().string("a").u64(0x1122334455667788).string("").u16(7);
  Cursor cursor(bytes.get());
  CHECK(cursor.string() == "a");
  CHECK(cursor.read<std::uint64_t>() == 0x1122334455667788U);
  CHECK(cursor.string() == "");
  CHECK(cursor.left() == 2);
  CHECK(cursor.take(2).has_value());
  CHECK(cursor.done());
}

TEST_CASE("a cursor never passes its end, and a refused read moves nothing") {
  const Bytes bytes = Bytes().text("abc");
  Cursor cursor(bytes.get());
  CHECK_FALSE(cursor.read<std::uint32_t>().has_value());
  CHECK_FALSE(cursor.string().has_value());
  CHECK_FALSE(cursor.take(4).has_value());
  CHECK_FALSE(cursor.take(UINT64_MAX).has_value());
  CHECK(cursor.left() == 3);
  CHECK(cursor.take(0)->empty());
  CHECK(cursor.take(3)->size() == 3);
  CHECK_FALSE(cursor.string().has_value());
}
