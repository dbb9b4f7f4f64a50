#include "ops/branch_change.hpp"

#include <doctest/doctest.h>

#include <filesystem>

#include "test/support/pool_fixture.hpp"

namespace bough::test {
namespace {

using ops::BranchChange;
using Kind = BranchChange::Kind;

Kind kind_of(std::string_view value) {
  const auto change = ops::parse_branch_change(value);
  REQUIRE_MESSAGE(change.has_value(), std::string(value));
  return change->kind;
}

/// What becomes of a list on the command line.
std::string changed(std::string list, std::string_view value) {
  const std::string wrong = ops::change_branch_text(list, value);
  return wrong.empty() ? list : "wrong: " + wrong;
}

}  // namespace

TEST_CASE("a branch instruction is at most two leading characters") {
  CHECK(kind_of("/a") == Kind::kReplace);
  CHECK(kind_of("=/a") == Kind::kReplace);
  CHECK(kind_of("+/a") == Kind::kAppend);
  CHECK(kind_of("+>/a") == Kind::kAppend);
  CHECK(kind_of("+</a") == Kind::kPrepend);
  CHECK(kind_of("-/a") == Kind::kRemove);
  CHECK(kind_of("-<") == Kind::kRemoveFirst);
  CHECK(kind_of("->") == Kind::kRemoveLast);
  CHECK(kind_of("-<whatever") == Kind::kRemoveFirst);
  CHECK(ops::parse_branch_change("+>/a:/b=RO")->list == "/a:/b=RO");
  CHECK(ops::parse_branch_change("+>>/a")->list == ">/a");
  for (const char* wrong : {"", "=", "+", "+>", "+<", "-", "+=", "+=/a", "--", "-=/a", "<", "</a",
                            ">", "=+/a", "==/a", "<>"})
    CHECK_FALSE_MESSAGE(ops::parse_branch_change(wrong).has_value(), wrong);
}

TEST_CASE("a pattern that takes branches away passes over slashes") {
  CHECK(ops::is_named("*2", "/mnt/disk2"));
  CHECK(ops::is_named("/nowhere:/mnt/*", "/mnt/a/b"));
  CHECK(ops::is_named("/mnt/disk[0-3]", "/mnt/disk2"));
  CHECK_FALSE(ops::is_named("/mnt/disk", "/mnt/disk2"));
  CHECK_FALSE(ops::is_named("disk2", "/mnt/disk2"));
  CHECK_FALSE(ops::is_named(":", "/mnt/disk2"));
}

TEST_CASE("a minimum is shown in the largest unit that is exact") {
  using Mode = ops::BranchMode;
  CHECK(ops::branch_text("/a", Mode::kReadWrite, {}) == "/a=RW");
  CHECK(ops::branch_text("/a", Mode::kReadOnly, 1000) == "/a=RO,1000");
  CHECK(ops::branch_text("/a", Mode::kNoCreate, std::uint64_t{5} << 30U) == "/a=NC,5G");
  CHECK(ops::branch_text("/a", Mode::kReadWrite, std::uint64_t{1536} << 10U) == "/a=RW,1536K");
  CHECK(ops::branch_text("/a", Mode::kReadWrite, std::uint64_t{3} << 40U) == "/a=RW,3T");
}

TEST_CASE("instructions before the mount work on the text") {
  const TempDir top;
  const std::string a = top.path() / "a";
  const std::string b = top.path() / "b";
  std::filesystem::create_directory(a);
  std::filesystem::create_directory(b);
  CHECK(changed("", "/x:/y=RO") == "/x:/y=RO");
  CHECK(changed("/x", "/y") == "/y");
  CHECK(changed("/x", "=/y") == "/y");
  CHECK(changed("/x", "+/y") == "/x:/y");
  CHECK(changed("", "+>/y") == "/y");
  CHECK(changed("/x", "+</y=NC") == "/y=NC:/x");
  CHECK(changed(top.path().string() + "/*=NC,1M", "-*b") == a + "=NC,1M");
  CHECK(changed(a + ":" + b, "-<") == b + "=RW");
  CHECK(changed(a + ":" + b, "->") == a + "=RW");
  CHECK(changed("", "-x").empty());
  CHECK(changed(a, "-*").starts_with("wrong: would leave the pool without a branch"));
  CHECK(changed(a, "").starts_with("wrong: wants branches"));
  CHECK(changed(a, "+=/x").starts_with("wrong: wants branches"));
}

TEST_CASE("what is taken away of a pattern leaves what it means on disks that are missing") {
  const TempDir top;
  std::filesystem::create_directory(top.path() / "a");
  const std::string base = std::filesystem::canonical(top.path());
  ops::KnownPlaces known;
  known.expected = [&](const std::string&) { return std::vector<std::string>{base + "/c"}; };
  std::string list = base + "/*";
  CHECK(ops::change_branch_text(list, "-*/a", known).empty());
  CHECK(list == base + "/c=RW");
}

TEST_CASE("the command that takes a branch away names it alone, whatever a shell makes of it") {
  CHECK(ops::removal_command("/mnt/pool", "/mnt/d4/data") ==
        "boughfs ctl /mnt/pool set branches -/mnt/d4/data");
  CHECK(ops::removal_command("", "/mnt/my disk") ==
        "boughfs ctl POOL set branches '-/mnt/my disk'");
  CHECK(ops::removal_command("/p", "/a'b*[c]:") ==
        "boughfs ctl /p set branches '-/a'\\''b\\*\\[c]?'");
  CHECK(ops::is_named("/a'b\\*\\[c]?", "/a'b*[c]:"));
}

}  // namespace bough::test
