#include "ops/branch.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "ops/absences.hpp"
#include "test/ops/small_pool.hpp"

using namespace bough::ops;
using bough::test::Call;
using bough::test::FaultyBacking;
using bough::test::open_descriptors;
using bough::test::TempDir;
namespace fs = std::filesystem;

namespace {

struct Ground {
  TempDir top;
  std::unique_ptr<Backing> posix = make_posix_backing();
  FaultyBacking backing{*posix};

  [[nodiscard]] fs::path path() const { return top.path() / "branch"; }
  [[nodiscard]] std::shared_ptr<Branch> open() {
    fs::create_directory(path());
    auto branch = Branch::open(backing, 3, {path().string(), BranchMode::kReadWrite, 77});
    REQUIRE(branch.has_value());
    return *branch;
  }
};

Errno error_of(const Result<DirRef>& result) {
  REQUIRE_FALSE(result.has_value());
  return result.error();
}

}  // namespace

TEST_CASE("a branch is what its specification says") {
  Ground g;
  const auto branch = g.open();
  CHECK(branch->id() == 3);
  CHECK(branch->path() == g.path());
  CHECK(branch->spec().min_free == 77);
  CHECK(branch->spec().mode == BranchMode::kReadWrite);
  CHECK(Branch::open(g.backing, 1, {"/no/such/place", BranchMode::kReadOnly, {}}).error() ==
        Errno{ENOENT});
}

TEST_CASE("directories of a branch are reached by pool path") {
  Ground g;
  const auto branch = g.open();
  fs::create_directories(g.path() / "a/b");
  fs::create_directory_symlink("a", g.path() / "link");
  std::ofstream(g.path() / "file") << "x";
  CHECK(branch->directory("a/b").has_value());
  CHECK(branch->directory("").has_value());
  CHECK(error_of(branch->directory("a/c")) == Errno{ENOENT});
  CHECK(error_of(branch->directory("file")) == Errno{ENOTDIR});
  CHECK(error_of(branch->directory("link/b")) == Errno{ELOOP});
  const auto readable = branch->readable_directory("a");
  REQUIRE(readable.has_value());
  alignas(8) std::array<std::byte, 512> out;
  CHECK(g.backing.list(readable->get(), out).has_value());
  CHECK(branch->statfs()->blocks > 0);
}

TEST_CASE("the root's descriptor is shared, let go of, and opened again") {
  Ground g;
  const auto branch = g.open();
  const std::size_t held = open_descriptors();
  CHECK(branch->root()->fd() == branch->root()->fd());
  CHECK(g.backing.calls(Call::kOpenRoot) == 1);
  {
    const auto kept = branch->root();
    branch->let_go();
    CHECK(open_descriptors() == held);
    CHECK(g.backing.stat(kept->fd()).has_value());
  }
  CHECK(open_descriptors() == held - 1);
  CHECK(branch->directory("").has_value());
  CHECK(g.backing.calls(Call::kOpenRoot) == 2);
  CHECK(open_descriptors() == held);
}

TEST_CASE("another directory in the root's place is not the branch") {
  Ground g;
  const auto branch = g.open();
  branch->let_go();
  fs::rename(g.path(), g.top.path() / "aside");
  CHECK(error_of(branch->root()) == Errno{ENOENT});
  fs::create_directory(g.path());
  CHECK(error_of(branch->root()) == Errno{ESTALE});
  CHECK(error_of(branch->directory("x")) == Errno{ESTALE});
  CHECK(branch->readable_directory("").error() == Errno{ESTALE});
  CHECK(branch->statfs().error() == Errno{ESTALE});
  fs::remove(g.path());
  fs::rename(g.top.path() / "aside", g.path());
  CHECK(branch->root().has_value());
}

TEST_CASE("another file system mounted over the root is not the branch") {
  if (!bough::test::is_full_root()) {
    MESSAGE("not run: only root can mount");
    return;
  }
  Ground g;
  const auto branch = g.open();
  std::thread([&] {
    REQUIRE(::unshare(CLONE_NEWNS) == 0);
    REQUIRE(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
    REQUIRE(::mount("over", g.path().c_str(), "tmpfs", 0, "size=64k") == 0);
    CHECK(branch->directory("").has_value());
    branch->let_go();
    CHECK(error_of(branch->directory("")) == Errno{ESTALE});
    REQUIRE(::umount2(g.path().c_str(), MNT_DETACH) == 0);
    CHECK(branch->directory("").has_value());
  }).join();
}

TEST_CASE("failures of the root's examination are told") {
  Ground g;
  const auto branch = g.open();
  branch->let_go();
  g.backing.reset();
  g.backing.fail({Call::kStat}, EIO);
  CHECK(error_of(branch->root()) == Errno{EIO});
  g.backing.fail({Call::kStatfs}, ENOMEM);
  CHECK(error_of(branch->root()) == Errno{ENOMEM});
  g.backing.fail({Call::kOpenRoot}, EMFILE);
  CHECK(error_of(branch->root()) == Errno{EMFILE});
  CHECK(branch->root().has_value());
}

TEST_CASE("users' inode numbers are the same for the same file and differ from file to file") {
  Ground g;
  const auto branch = g.open();
  const auto again = g.open();
  const FileId one{branch->device(), 12, 99};
  const FileId reborn{branch->device(), 12, 100};
  const FileId two{branch->device(), 13, 99};
  const FileId mounted{branch->device() + 1, 12, 99};
  CHECK(branch->user_ino(one) == again->user_ino(one));
  CHECK(branch->user_ino(one) == branch->user_ino(reborn));
  CHECK(branch->user_ino(one) != branch->user_ino(two));
  CHECK(branch->user_ino(one) != branch->user_ino(mounted));
  for (std::uint64_t ino = 0; ino < 10000; ++ino)
    CHECK(branch->user_ino({branch->device(), ino, 0}) > 1);
}

TEST_CASE("a branch that left while it was absent keeps nothing of a disk that is back") {
  Ground g;
  Settings settings;
  Absences absences(settings);
  const auto branch = g.open();
  branch->attend(absences);
  branch->let_go();
  const std::size_t held = open_descriptors();
  fs::rename(g.path(), g.top.path() / "away");
  CHECK(error_of(branch->root()) == Errno{EIO});
  CHECK(absences.count() == 1);
  fs::rename(g.top.path() / "away", g.path());
  branch->retire();
  CHECK(absences.count() == 0);
  CHECK(branch->look_again());
  CHECK(open_descriptors() == held);
}
