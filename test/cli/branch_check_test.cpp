#include "cli/branch_check.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <utility>

using namespace bough;
using namespace bough::cli;

namespace {

CheckedBranch branch(std::string path, dev_t device, ino_t ino, std::set<std::string> disks = {}) {
  CheckedBranch made;
  made.path = std::move(path);
  made.mode = "RW";
  made.ground = {device, ino, "ext4", std::move(disks)};
  made.space = BranchInfo::Space{1000, 2000};
  made.least = 100;
  return made;
}

const Ground kSystem{1, 2, "ext4", {"sda"}};

std::string told(const std::vector<CheckedBranch>& branches,
                 ops::BranchAbsent how = ops::BranchAbsent::kEio) {
  std::string text;
  for (const Finding& finding : check_branches(branches, kSystem, how))
    text += std::to_string(static_cast<int>(finding.level)) + finding.text + "\n";
  return text;
}

}  // namespace

TEST_CASE("branches on disks of their own are as they should be") {
  CHECK(told({branch("/mnt/a", 10, 2, {"sdb"}), branch("/mnt/b", 11, 2, {"sdc"})}).empty());
}

TEST_CASE("branches that share something") {
  const auto a = branch("/mnt/a", 10, 2, {"sdb"});
  CHECK(told({a, branch("/mnt/again", 10, 2, {"sdb"})}) ==
        "1/mnt/again is the same directory as /mnt/a: it is used once\n");
  auto link = a;
  link.written = "/mnt/link";
  CHECK(told({a, link}) == "1/mnt/link is the same directory as /mnt/a: it is used once\n");
  CHECK(told({a, a}) == "1/mnt/a is named twice: it is used once\n");
  CHECK(told({a, branch("/mnt/a/in", 10, 7, {"sdb"})}) ==
        "1/mnt/a/in lies inside /mnt/a: each of its files has two paths in the pool\n");
  CHECK(told({branch("/mnt/a/in", 11, 2), a}) ==
        "1/mnt/a/in lies inside /mnt/a: each of its files has two paths in the pool\n");
  CHECK(told({a, branch("/mnt/ab", 10, 7, {"sdb"})}) ==
        "1/mnt/ab lies on the same file system as /mnt/a: they share its room, and are lost "
        "together\n");
  CHECK(
      told({a, branch("/mnt/b", 11, 2, {"sdb", "sdx"})}) ==
      "1/mnt/b lies on the same disk as /mnt/a (sdb): they are lost together, and slow each other "
      "down\n");
}

TEST_CASE("branches on the disk of the system") {
  CHECK(
      told({branch("/srv/a", 1, 9, {"sda"})}).starts_with("1/srv/a lies on the file system of /"));
  CHECK(told({branch("/home/a", 5, 9, {"sda"})}) ==
        "0/home/a lies on the disk of the system (sda)\n");
}

TEST_CASE("branches that take nothing new") {
  auto full = branch("/mnt/a", 10, 2);
  full.space->free = 99;
  CHECK(told({full}) ==
        "1/mnt/a is too full, nothing new will be put there: 99B free, at least 100B wanted "
        "(minfreespace)\n");
  full.mode = "NC";
  CHECK(told({full}).empty());
  full.read_only = true;
  CHECK(told({full}) ==
        "1/mnt/a is NC, but its file system is mounted read-only: nothing is changed there\n");
  full.mode = "RO";
  CHECK(told({full}).empty());
  full.has_xattrs = false;
  CHECK(told({full}) == "0/mnt/a: its file system (ext4) has no extended attributes of users\n");
}

TEST_CASE("absent branches") {
  auto gone = branch("/mnt/a", 0, 0);
  gone.absent = "nothing is mounted";
  // Of two that are absent nothing else is known.
  auto other = gone;
  CHECK(told({gone}) ==
        "1/mnt/a is absent: nothing is mounted: mount its disk; until then branch-absent says what "
        "holds\n");
  CHECK(told({gone, other}).find("same") == std::string::npos);
  CHECK(told({gone}, ops::BranchAbsent::kRefuse).starts_with("2/mnt/a is absent"));
}
