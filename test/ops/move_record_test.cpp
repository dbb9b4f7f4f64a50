#include "ops/move_record.hpp"

#include <doctest/doctest.h>

#include <string>

namespace bough::test {
namespace {

using ops::MoveRecord;

MoveRecord sample() {
  MoveRecord record;
  record.origin = {0, 2, 3};
  record.origin_path = "/disks/a\nb";
  record.from = {1, 22, -33};
  record.from_looks = {44, {-55, 66}, {77, 88}, 0100644, 99, 1000};
  record.to = {7, ~std::uint64_t{0}, 99};
  record.to_looks = {45, {-56, 67}, {78, 89}, 0100600, 0xfffffffe, 0};
  record.names = {{"", "a name"}, {"d\n/e", "end\n"}, {"d", std::string(255, 'x')}};
  return record;
}

bool same(const ops::FileId& one, const ops::FileId& other) {
  return one.ino == other.ino && one.birth_ns == other.birth_ns;
}

bool same(const MoveRecord& one, const MoveRecord& other) {
  const auto same_ctime = [](const ops::FileLooks& a, const ops::FileLooks& b) {
    return a.ctime.seconds == b.ctime.seconds && a.ctime.nanoseconds == b.ctime.nanoseconds;
  };
  return same(one.origin, other.origin) && one.origin_path == other.origin_path &&
         same(one.from, other.from) && same(one.to, other.to) &&
         same_looks(one.from_looks, other.from_looks) && same_looks(one.to_looks, other.to_looks) &&
         same_ctime(one.from_looks, other.from_looks) && same_ctime(one.to_looks, other.to_looks) &&
         one.names == other.names;
}

}  // namespace

TEST_CASE("a record of a move is read as it was written, and never in part") {
  const MoveRecord record = sample();
  const std::string text = ops::text_of(record);
  const auto read = ops::parse_move_record(text);
  REQUIRE(read.has_value());
  CHECK(same(*read, record));
  for (std::size_t size = 0; size < text.size(); ++size)
    CHECK_FALSE(ops::parse_move_record(text.substr(0, size)).has_value());
  CHECK_FALSE(ops::parse_move_record(text + "x").has_value());
  // Without a name, and with one of no length that there is.
  const std::string start = text.substr(0, text.find("name"));
  CHECK_FALSE(ops::parse_move_record(start + "end\n").has_value());
  CHECK(ops::parse_move_record(start + "name 0 3\nabc\nend\n").has_value());
  CHECK_FALSE(ops::parse_move_record(start + "name -1 3\nabc\nend\n").has_value());
}

}  // namespace bough::test
