#include "ops/pool_memory.hpp"

#include <doctest/doctest.h>
#include <linux/magic.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "test/support/pool_fixture.hpp"

using namespace bough::ops;
using bough::test::TempDir;

namespace {

constexpr RootMark kExt4{EXT4_SUPER_MAGIC, 77, 2, 0};
constexpr RootMark kXfs{XFS_SUPER_MAGIC, 2065, 128, 1700000000000000001};

}  // namespace

TEST_CASE("roots are told again by what lies on the disk") {
  CHECK(can_be_told_again(kExt4));
  CHECK(can_be_told_again(kXfs));
  CHECK_FALSE(can_be_told_again({EXT4_SUPER_MAGIC, 0, 2, 5}));
  CHECK_FALSE(can_be_told_again({XFS_SUPER_MAGIC, 2065, 128, 0}));
  CHECK_FALSE(can_be_told_again({TMPFS_MAGIC, 77, 1, 5}));
  CHECK(is_same_root(kExt4, kExt4));
  CHECK_FALSE(is_same_root(kExt4, kXfs));
  CHECK_FALSE(is_same_root(kExt4, {EXT4_SUPER_MAGIC, 78, 2, 0}));
  // Removed and made anew on the same disk.
  CHECK(is_same_root(kExt4, {EXT4_SUPER_MAGIC, 77, 3, 9}));
  // Found in another order after a restart.
  CHECK(is_same_root(kXfs, {XFS_SUPER_MAGIC, 2081, 128, kXfs.birth_ns}));
  CHECK_FALSE(is_same_root(kXfs, {XFS_SUPER_MAGIC, 2065, 128, kXfs.birth_ns + 1}));
}

TEST_CASE("roots: the file is read as it was written, and scraps say nothing") {
  const RootMarks marks{{"/mnt/a b", kExt4}, {"/mnt/with\nline\\end", kXfs}};
  const RootMarks read = parse_root_marks(root_marks_text(marks));
  REQUIRE(read.size() == 2);
  for (const auto& [path, mark] : marks) CHECK(is_same_root(read.at(path), mark));
  CHECK(read.at("/mnt/a b").fsid == 77);
  CHECK(parse_root_marks("").empty());
  CHECK(parse_root_marks("1 2 3 4\n1 2 3 x /a\n1 2 3 4 relative\n\n1 2 3 4").empty());
}

TEST_CASE("a pool remembers its roots from one mount to the next") {
  TempDir top;
  const std::string file = top.path() / "state/pool";
  {
    PoolMemory memory(file);
    CHECK_FALSE(memory.is_another("/a", kExt4));
    CHECK(memory.save());
    CHECK_FALSE(std::filesystem::exists(top.path() / "state"));
    memory.uses("/a", kExt4, false);
    memory.uses("/b", kXfs, true);
    memory.uses("/c", {TMPFS_MAGIC, 7, 1, 1}, false);
    CHECK(memory.save());
  }
  {
    PoolMemory memory(file);
    CHECK_FALSE(memory.is_another("/a", kExt4));
    CHECK(memory.is_another("/a", kXfs));
    CHECK_FALSE(memory.is_another("/b", kExt4));
    CHECK_FALSE(memory.is_another("/c", kExt4));
    memory.uses("/a", kXfs, false);
    CHECK(memory.save());
  }
  CHECK(PoolMemory(file).is_another("/a", kExt4));
  // Others could make a pool take a mount point for its disk.
  const mode_t umask = ::umask(0);
  PoolMemory deep((top.path() / "x/y/pool").string());
  deep.uses("/a", kExt4, false);
  CHECK(deep.save());
  ::umask(umask);
  for (const char* made : {"x", "x/y"})
    CHECK(std::filesystem::status(top.path() / made).permissions() ==
          std::filesystem::perms::owner_all);
  PoolMemory nowhere((top.path() / "state/pool/below").string());
  nowhere.uses("/a", kExt4, false);
  CHECK_FALSE(nowhere.save());
  CHECK(nowhere.save());
}

TEST_CASE("of what cannot be told again a pool knows where it was; not of what a restart ends") {
  TempDir top;
  const std::string file = top.path() / "pool";
  constexpr RootMark kNfs{NFS_SUPER_MAGIC, 7, 1, 1};
  {
    PoolMemory memory(file);
    memory.uses("/mnt/a", kNfs, false);
    memory.uses("/mnt/b", {TMPFS_MAGIC, 7, 1, 1}, false);
    memory.uses("/mnt/c", kNfs, true);
    CHECK(memory.save());
  }
  PoolMemory memory(file);
  CHECK(memory.meant_by("/mnt/*") == std::vector<std::string>{"/mnt/a"});
  CHECK_FALSE(memory.is_another("/mnt/a", kExt4));
  memory.uses("/mnt/a", kExt4, false);
  CHECK(memory.is_another("/mnt/a", kXfs));
}

TEST_CASE("a pool knows what a pattern meant at its last mount, until that is forgotten") {
  TempDir top;
  const std::string file = top.path() / "pool";
  const auto save = [&](const char* forgotten) {
    PoolMemory memory(file);
    memory.uses("/mnt/d1/data", kExt4, false);
    memory.uses("/mnt/d4/data", kXfs, false);
    if (forgotten != nullptr) memory.forget(forgotten);
    CHECK(memory.save());
  };
  save(nullptr);
  using Paths = std::vector<std::string>;
  CHECK(PoolMemory(file).meant_by("/mnt/d*/data") == Paths{"/mnt/d1/data", "/mnt/d4/data"});
  CHECK(PoolMemory(file).meant_by("/mnt/d4/data") == Paths{"/mnt/d4/data"});
  CHECK(PoolMemory(file).meant_by("/mnt/*").empty());
  CHECK(PoolMemory(file).holds("/mnt/d4/data"));
  save("/mnt/d4/data");
  CHECK_FALSE(PoolMemory(file).holds("/mnt/d4/data"));
  CHECK(PoolMemory(file).meant_by("/mnt/d*/data") == Paths{"/mnt/d1/data"});
}

TEST_CASE("a file of roots that cannot be read stops nobody") {
  TempDir top;
  PoolMemory memory(top.path());
  CHECK(memory.unread() == EISDIR);
  CHECK(PoolMemory(top.path() / "none").unread() == 0);
  CHECK(PoolMemory("").unread() == 0);
  CHECK_FALSE(memory.is_another("/a", kExt4));
  memory.uses("/a", kExt4, false);
  CHECK_FALSE(memory.save());
}
