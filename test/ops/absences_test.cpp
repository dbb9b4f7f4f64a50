#include "ops/absences.hpp"

#include <doctest/doctest.h>
#include <sys/mount.h>

#include <filesystem>
#include <thread>

#include "ops/branch_presence.hpp"
#include "test/support/pool_fixture.hpp"

using namespace bough;
using ops::BranchAbsent;
using proto::kRootNode;
using test::PoolFixture;
namespace fs = std::filesystem;

namespace {

int errno_of(const auto& result) {
  return result.has_value() ? 0 : result.error().value();
}

/// Longer than a branch is believed without a look.
void wait_for_a_look() {
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
}

bool eventually(const std::function<bool()>& holds) {
  for (int i = 0; i < 400; ++i) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

/// A pool of three whose second branch can go: its directory is moved away, and an empty one, as
/// a mount point would be, stands in its place.
struct Ground {
  explicit Ground(BranchAbsent how)
      : pool({"RW", "RW", "RW"}, {}, [how](ops::Settings& settings) {
          settings.branch_absent = how;
          settings.negative_valid = std::chrono::seconds(60);
          settings.entry_valid = std::chrono::seconds(60);
        }) {
    pool.file(0, "d/on-a", "a");
    pool.file(1, "d/on-b", "b");
    pool.file(2, "d/on-c", "c");
    pool.file(0, "both", "a");
    pool.file(1, "both", "b");
    pool.directory(0, "empty");
    pool.directory(1, "empty");
  }
  void take_away() {
    fs::rename(pool.branch(1), away());
    fs::create_directory(pool.branch(1));
    pool.fs().idle();
  }
  void bring_back() {
    REQUIRE(fs::is_empty(pool.branch(1)));
    fs::remove(pool.branch(1));
    fs::rename(away(), pool.branch(1));
  }
  [[nodiscard]] fs::path away() const { return pool.branch(1).string() + "-away"; }
  int list(proto::NodeId directory) {
    auto opened = pool.fs().opendir(pool.as(directory), {});
    if (!opened) return opened.error().value();
    const auto handle = pool.keep(*opened, true);
    std::vector<std::byte> buffer(4096);
    proto::DirentPacker packer(buffer);
    proto::ReaddirRequest request;
    request.handle = handle;
    request.size = 4096;
    const int error = errno_of(pool.fs().readdir(pool.as(directory), request, packer));
    pool.release(handle);
    return error;
  }
  int make(proto::NodeId parent, std::string_view name) {
    proto::MkdirRequest request{pool.name(name), 0755, 0, {}};
    return errno_of(pool.fs().mkdir(pool.as(parent), request));
  }
  int remove(proto::NodeId parent, std::string_view name) {
    return errno_of(pool.fs().unlink(pool.as(parent), {pool.name(name)}));
  }
  int move(std::string_view from, std::string_view to) {
    proto::RenameRequest request{kRootNode, pool.name(from), pool.name(to), 0};
    return errno_of(pool.fs().rename(pool.as(kRootNode), request));
  }
  PoolFixture pool;
};

}  // namespace

TEST_CASE("absent, eio: what the branch may have is an error, never a missing name") {
  Ground g(BranchAbsent::kEio);
  const auto d = g.pool.walk("d");
  g.take_away();
  CHECK(errno_of(g.pool.lookup(d, "on-a")) == 0);
  CHECK(errno_of(g.pool.lookup(d, "on-c")) == 0);
  CHECK(errno_of(g.pool.lookup(d, "on-b")) == EIO);
  CHECK(errno_of(g.pool.lookup(d, "nowhere")) == EIO);
  CHECK(g.list(d) == EIO);
  CHECK(g.list(kRootNode) == EIO);
  CHECK(g.make(d, "new") == EIO);
  CHECK(g.remove(kRootNode, "both") == EIO);
  CHECK(errno_of(g.pool.fs().rmdir(g.pool.as(kRootNode), {g.pool.name("empty")})) == EIO);
  CHECK(g.move("both", "moved") == EIO);
  CHECK(fs::is_empty(g.pool.branch(1)));
  CHECK(g.pool.count("absent_branches") == 1);
  // A file that is there can be used.
  const auto a = g.pool.walk("d/on-a");
  CHECK(g.pool.read(g.pool.open(a, O_RDWR)) == "a");

  // Told before the disk moves again: the log says what is there when it is looked at.
  CHECK(eventually([&] { return g.pool.port().notified().size() == 1; }));
  g.bring_back();
  CHECK(eventually([&] { return g.pool.count("absent_branches") == 0; }));
  CHECK(g.pool.list(d) == std::vector<std::string>{"on-a", "on-b", "on-c"});
  CHECK(errno_of(g.pool.lookup(d, "nowhere")) == 0);
  CHECK(g.make(d, "new") == 0);
  CHECK(g.remove(kRootNode, "both") == 0);
  CHECK(eventually([&] { return g.pool.port().notified().size() == 2; }));
  REQUIRE(g.pool.heard().size() == 2);
  CHECK(g.pool.heard()[0].find(g.pool.branch(1).string() + " is absent: another directory") !=
        std::string::npos);
  CHECK(g.pool.heard()[1] == "branch " + g.pool.branch(1).string() + " is back");
}

TEST_CASE("absent: of a directory that is marked as a mount point no other advice is given") {
  Ground g(BranchAbsent::kEio);
  g.take_away();
  std::ofstream(g.pool.branch(1) / ".boughfs.branch_mounts_here") << "";
  CHECK(g.list(kRootNode) == EIO);
  CHECK(eventually([&] { return g.pool.port().notified().size() == 1; }));
  REQUIRE(g.pool.heard().size() == 1);
  CHECK(g.pool.heard()[0].find(".boughfs.branch_mounts_here in it says") != std::string::npos);
  CHECK(g.pool.heard()[0].find(".boughfs.branch in it") == std::string::npos);
  fs::remove(g.pool.branch(1) / ".boughfs.branch_mounts_here");
  g.bring_back();
  CHECK(eventually([&] { return g.pool.count("absent_branches") == 0; }));
}

TEST_CASE("absent, hide: as if it was not in the list") {
  Ground g(BranchAbsent::kHide);
  const auto d = g.pool.walk("d");
  g.take_away();
  CHECK(errno_of(g.pool.lookup(d, "on-b")) == ENOENT);
  CHECK(g.pool.list(d) == std::vector<std::string>{"on-a", "on-c"});
  CHECK(g.make(d, "new") == 0);
  CHECK(g.remove(kRootNode, "both") == 0);
  CHECK(fs::is_empty(g.pool.branch(1)));
  g.bring_back();
  CHECK(eventually([&] { return g.pool.count("absent_branches") == 0; }));
  CHECK(g.pool.list(d) == std::vector<std::string>{"new", "on-a", "on-b", "on-c"});
  CHECK(errno_of(g.pool.lookup(kRootNode, "both")) == 0);
}

TEST_CASE("absent, readonly: what is there is shown, and nothing can be changed") {
  Ground g(BranchAbsent::kReadonly);
  const auto d = g.pool.walk("d");
  const auto a = g.pool.walk("d/on-a");
  g.take_away();
  CHECK(errno_of(g.pool.lookup(d, "on-b")) == ENOENT);
  CHECK(g.pool.list(d) == std::vector<std::string>{"on-a", "on-c"});
  CHECK(g.make(d, "new") == EROFS);
  CHECK(g.remove(kRootNode, "both") == EROFS);
  CHECK(g.move("both", "moved") == EROFS);
  CHECK(errno_of(g.pool.fs().open(g.pool.as(a), {O_RDWR, false})) == EROFS);
  proto::SetattrRequest mode;
  mode.mode = 0600;
  CHECK(errno_of(g.pool.fs().setattr(g.pool.as(a), mode)) == EROFS);
  CHECK(g.pool.read(g.pool.open(a, O_RDONLY)) == "a");
  g.bring_back();
  CHECK(eventually([&] { return g.pool.count("absent_branches") == 0; }));
  CHECK(g.make(d, "new") == 0);
}

TEST_CASE("absent: a busy pool notices, and what is open there goes on") {
  Ground g(BranchAbsent::kHide);
  const auto b = g.pool.walk("d/on-b");
  const auto handle = g.pool.open(b, O_RDWR);
  fs::rename(g.pool.branch(1), g.away());
  fs::create_directory(g.pool.branch(1));
  wait_for_a_look();
  CHECK(errno_of(g.pool.lookup(g.pool.walk("d"), "on-b")) == ENOENT);
  CHECK(g.pool.count("absent_branches") == 1);
  CHECK(g.pool.write(handle, "more").has_value());
  CHECK(fs::is_empty(g.pool.branch(1)));
  g.bring_back();
  CHECK(eventually([&] { return g.pool.count("absent_branches") == 0; }));
  CHECK(g.pool.text(1, "d/on-b") == "more");
}

TEST_CASE(
    "absent: the kernel keeps nothing long that was said meanwhile, and forgets what it kept") {
  Ground g(BranchAbsent::kHide);
  CHECK(g.pool.lookup(kRootNode, "both")->entry.entry_valid == std::chrono::seconds(60));
  CHECK(g.pool.lookup(kRootNode, "none")->entry.entry_valid == std::chrono::seconds(60));
  g.take_away();
  CHECK(errno_of(g.pool.lookup(kRootNode, "none")) == ENOENT);
  CHECK(g.pool.lookup(kRootNode, "both")->entry.entry_valid == std::chrono::seconds(1));
  CHECK(g.pool.lookup(kRootNode, "both")->entry.attr_valid <= std::chrono::seconds(1));
  CHECK(eventually([&] { return g.pool.port().notified().size() == 1; }));
  CHECK(std::holds_alternative<proto::NotifyIncrementEpoch>(g.pool.port().notified()[0]));
  g.bring_back();
  CHECK(eventually([&] { return g.pool.port().notified().size() == 2; }));
  CHECK(g.pool.lookup(kRootNode, "none")->entry.entry_valid == std::chrono::seconds(60));
}

TEST_CASE("absent: an error that comes once is none") {
  test::FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW"}, test::with_faults(faults));
  pool.fs().idle();
  faults->fail({test::Call::kOpenRoot, 1, 1, pool.branch(0)}, EIO);
  CHECK(errno_of(pool.lookup(kRootNode, "f")) == ENOENT);
  CHECK(pool.count("absent_branches") == 0);
  pool.fs().idle();
  faults->fail({test::Call::kOpenRoot, 1, test::FaultyBacking::kAlways, pool.branch(0)}, EIO);
  CHECK(errno_of(pool.lookup(kRootNode, "f")) == EIO);
  CHECK(pool.count("absent_branches") == 1);
  faults->reset();
  CHECK(eventually([&] { return pool.count("absent_branches") == 0; }));
}

TEST_CASE("a mark says whether a directory is a branch or the place for one") {
  test::TempDir top;
  const auto backing = ops::make_posix_backing();
  const auto mark = [&] { return ops::mark_of(*backing, backing->open_root(top.path())->get()); };
  using ops::BranchMark;
  CHECK(mark() == BranchMark::kNone);
  for (const std::string prefix : {".boughfs.", ".mergerfs."}) {
    const auto here = top.path() / (prefix + "branch_mounts_here");
    const auto branch = top.path() / (prefix + "branch");
    std::ofstream(here) << "";
    CHECK(mark() == BranchMark::kMountPoint);
    fs::create_directory(branch);
    CHECK(mark() == BranchMark::kBranch);
    fs::remove(here);
    CHECK(mark() == BranchMark::kBranch);
    fs::remove(branch);
  }
  CHECK(mark() == BranchMark::kNone);
}

TEST_CASE("why a directory is no branch: its mark, then what is to be mounted") {
  using ops::BranchMark;
  using ops::why_no_branch;
  const std::vector<ops::PlannedMount> missing{{"/mnt/d", "/etc/fstab", false}};
  CHECK(why_no_branch("/mnt/d/x", BranchMark::kNone, missing) ==
        "nothing is mounted on /mnt/d, which is a mount point by /etc/fstab");
  CHECK(why_no_branch("/mnt/d", BranchMark::kBranch, missing).empty());
  CHECK(why_no_branch("/mnt/e", BranchMark::kNone, missing).empty());
  CHECK_FALSE(why_no_branch("/mnt/e", BranchMark::kMountPoint, missing).empty());
}

TEST_CASE("absent at start: a marked directory waits for its disk, or refuses the pool") {
  const auto mark = [](ops::Settings& settings) {
    const auto second = settings.branches.substr(settings.branches.find(':') + 1);
    std::ofstream(second.substr(0, second.find('=')) + "/.boughfs.branch_mounts_here") << "";
  };
  SUBCASE("waits") {
    PoolFixture pool({"RW", "RW"}, {}, mark);
    CHECK(pool.count("absent_branches") == 1);
    REQUIRE(pool.complaints.size() == 1);
    CHECK(pool.complaints[0].find("branch_mounts_here") != std::string::npos);
    CHECK(errno_of(pool.lookup(kRootNode, "late")) == EIO);
    CHECK(errno_of(pool.fs().getattr(pool.as(kRootNode), {})) == 0);
    // Its disk is mounted late.
    fs::rename(pool.branch(1), pool.branch(1).string() + "-beneath");
    pool.file(1, "late", "x");
    CHECK(eventually([&] { return pool.count("absent_branches") == 0; }));
    CHECK(pool.read(pool.open(pool.walk("late"), O_RDONLY)) == "x");
  }
  SUBCASE("a disk that is in the pool already is no other branch") {
    PoolFixture pool({"RW", "RW"}, {}, mark);
    pool.file(0, "f", "x");
    const std::string place = pool.branch(1);
    if (::mount(pool.branch(0).c_str(), place.c_str(), nullptr, MS_BIND, nullptr) != 0) {
      MESSAGE("not allowed to mount");
      return;
    }
    std::this_thread::sleep_for(ops::Absences::kPeriod * 2);
    CHECK(pool.count("absent_branches") == 1);
    ::umount2(place.c_str(), MNT_DETACH);
  }
  SUBCASE("refuses") {
    const auto refuse = [&](ops::Settings& settings) {
      mark(settings);
      settings.branch_absent = BranchAbsent::kRefuse;
    };
    CHECK_THROWS_AS(PoolFixture({"RW", "RW"}, {}, refuse), ops::PoolError);
  }
}
