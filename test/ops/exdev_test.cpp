#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "ops/rename_exdev.hpp"
#include "test/support/branch_tree.hpp"
#include "test/support/pool_fixture.hpp"

namespace bough::test {
namespace {

using ops::LinkExdev;
using ops::RenameExdev;
using proto::Errno;
using proto::kRootNode;
using proto::NodeId;

/// A pool whose create policy preserves paths.
PoolFixture::Tune preserving(RenameExdev rename, LinkExdev link = LinkExdev::kPassthrough) {
  return [=](ops::Settings& settings) {
    settings.create = policy::find(policy::create_policies(), "epff");
    settings.links.rename_exdev = rename;
    settings.links.link_exdev = link;
  };
}

int rename_error(PoolFixture& pool, const std::string& from_directory, const std::string& name,
                 const std::string& to_directory, const std::string& new_name,
                 std::uint32_t flags = 0) {
  const NodeId from = pool.walk(from_directory);
  const NodeId to = pool.walk(to_directory);
  (void)pool.lookup(from, name);
  const auto done =
      pool.fs().rename(pool.as(from), {to, pool.name(name), pool.name(new_name), flags});
  return done ? 0 : done.error().value();
}

std::string link_text(PoolFixture& pool, const std::string& path) {
  std::string text(4096, '\0');
  const auto got = pool.fs().readlink(pool.as(pool.walk(path)), {},
                                      std::as_writable_bytes(std::span(text.data(), text.size())));
  if (!got) return "errno " + std::to_string(got.error().value());
  text.resize(*got);
  return text;
}

}  // namespace

TEST_CASE("the text of a relative link") {
  CHECK(ops::relative_target("t", ".mergerfs_rename_exdev/a/f") == "../.mergerfs_rename_exdev/a/f");
  CHECK(ops::relative_target("", "a/f") == "a/f");
  CHECK(ops::relative_target("x/y", "s/f") == "../../s/f");
  CHECK(ops::relative_target("a/b", "a/f") == "../f");
  CHECK(ops::relative_target("a/b", "a/b/f") == "f");
  CHECK(ops::relative_target("a", "ab") == "../ab");
  CHECK(ops::relative_target("a", "a") == "../a");
}

TEST_CASE("rename-exdev: the file is put aside on its branch and a link leads to it") {
  for (const auto& [how, text] :
       {std::pair{RenameExdev::kRelative, "../.mergerfs_rename_exdev/s/d/f"},
        std::pair{RenameExdev::kAbsolute, "/mnt/pool/.mergerfs_rename_exdev/s/d/f"}}) {
    const std::string shown_text(text);
    CAPTURE(shown_text);
    PoolFixture pool({"RW", "RW"}, {}, preserving(how));
    pool.directory(0, "t");
    pool.file(1, "s/d/f", "text", 0640);
    ::chmod((pool.branch(1) / "s/d").c_str(), 0711);
    REQUIRE(rename_error(pool, "s/d", "f", "t", "g") == 0);
    CHECK(link_text(pool, "t/g") == text);
    CHECK(pool.text(1, ".mergerfs_rename_exdev/s/d/f") == "text");
    CHECK(pool.stat(1, ".mergerfs_rename_exdev").st_mode == 041777);
    CHECK(pool.stat(1, ".mergerfs_rename_exdev/s/d").st_mode == 040711);
    CHECK_FALSE(pool.exists(1, "s/d/f"));
    CHECK(pool.stat(0, "t/g").st_mode == 0120777);
    CHECK_FALSE(pool.lookup(pool.walk("s/d"), "f").has_value());
    REQUIRE_FALSE(pool.port().notifications.empty());
  }
}

TEST_CASE("rename-exdev: an object in the pool's root, and a directory") {
  PoolFixture pool({"RW", "RW"}, {}, preserving(RenameExdev::kRelative));
  pool.directory(0, "t");
  pool.file(1, "f", "text");
  pool.file(1, "dir/inner", "more");
  REQUIRE(rename_error(pool, "", "f", "t", "g") == 0);
  CHECK(link_text(pool, "t/g") == "../.mergerfs_rename_exdev/f");
  REQUIRE(rename_error(pool, "", "dir", "t", "dir") == 0);
  CHECK(link_text(pool, "t/dir") == "../.mergerfs_rename_exdev/dir");
  CHECK(pool.text(1, ".mergerfs_rename_exdev/dir/inner") == "more");
}

TEST_CASE("rename-exdev: what was put aside before is not replaced") {
  PoolFixture pool({"RW", "RW", "RW"}, {}, preserving(RenameExdev::kRelative));
  pool.directory(0, "t");
  pool.file(1, "f", "first");
  REQUIRE(rename_error(pool, "", "f", "t", "one") == 0);
  pool.file(1, "f", "second");
  REQUIRE(rename_error(pool, "", "f", "t", "two") == 0);
  pool.file(2, "f", "third");
  REQUIRE(rename_error(pool, "", "f", "t", "three") == 0);
  CHECK(pool.text(1, ".mergerfs_rename_exdev/f") == "first");
  CHECK(link_text(pool, "t/two") == "../.mergerfs_rename_exdev/f.1");
  CHECK(pool.text(1, ".mergerfs_rename_exdev/f.1") == "second");
  CHECK(link_text(pool, "t/three") == "../.mergerfs_rename_exdev/f.2");
  CHECK(pool.text(2, ".mergerfs_rename_exdev/f.2") == "third");
}

TEST_CASE("rename-exdev: EXDEV stays where nothing may be put aside") {
  PoolFixture plain({"RW", "RW"}, {}, preserving(RenameExdev::kPassthrough));
  plain.directory(0, "t");
  plain.file(1, "f");
  CHECK(rename_error(plain, "", "f", "t", "g") == EXDEV);
  CHECK_FALSE(plain.exists(1, ".mergerfs_rename_exdev"));

  PoolFixture pool({"RW", "RW"}, {}, preserving(RenameExdev::kRelative));
  pool.file(0, "t/taken", "old");
  pool.file(1, "f", "text");
  CHECK(rename_error(pool, "", "f", "t", "taken") == EXDEV);
  CHECK(pool.text(0, "t/taken") == "old");
  CHECK(pool.text(1, "f") == "text");
  CHECK(rename_error(pool, "", "f", "t", "taken", 1) == EEXIST);
  REQUIRE(rename_error(pool, "", "f", "t", "g") == 0);
  CHECK(rename_error(pool, ".mergerfs_rename_exdev", "f", "t", "h") == EXDEV);
  CHECK(pool.text(1, ".mergerfs_rename_exdev/f") == "text");
}

TEST_CASE("rename-exdev: an open file goes on") {
  PoolFixture pool({"RW", "RW"}, {}, preserving(RenameExdev::kRelative));
  pool.directory(0, "t");
  pool.file(1, "f", "text");
  const NodeId node = pool.walk("f");
  const auto handle = pool.open(node, O_RDWR);
  REQUIRE(rename_error(pool, "", "f", "t", "g") == 0);
  CHECK(pool.write(handle, "TEXT").has_value());
  CHECK(pool.text(1, ".mergerfs_rename_exdev/f") == "TEXT");
  CHECK(pool.fs().getattr(pool.as(node), {}).has_value());
}

TEST_CASE("rename-exdev: whichever call fails, the file is under one of both names") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW"}, with_faults(faults), preserving(RenameExdev::kRelative));
  pool.directory(0, "t");
  pool.file(1, "s/f", "text");
  NodeId s = pool.walk("s");
  NodeId t = pool.walk("t");
  (void)pool.walk("s/f");
  fail_each_call(
      pool, *faults, EIO,
      [&] {
        const auto done = pool.fs().rename(pool.as(s), {t, pool.name("f"), pool.name("g"), 0});
        CHECK(pool.exists(1, "s/f") != pool.exists(1, ".mergerfs_rename_exdev/s/f"));
        CHECK(pool.exists(0, "t/g") == done.has_value());
        CHECK(pool.exists(1, "s/f") != done.has_value());
        return done ? 0 : done.error().value();
      },
      [&](bool) {
        std::filesystem::remove_all(pool.branch(1) / ".mergerfs_rename_exdev");
        std::filesystem::remove(pool.branch(0) / "t/g");
        pool.file(1, "s/f", "text");
        pool.forget_all();
        s = pool.walk("s");
        t = pool.walk("t");
        (void)pool.walk("s/f");
      },
      {EXDEV, ESTALE});
}

TEST_CASE("link-exdev: a symbolic link where no hard link can be") {
  const std::string kHere = "<branch>";
  for (const auto& [how, text] : {std::pair{LinkExdev::kRelative, std::string("../../s/f")},
                                  std::pair{LinkExdev::kOnBranch, kHere + "/s/f"},
                                  std::pair{LinkExdev::kInPool, std::string("/mnt/pool/s/f")}}) {
    const std::string shown_text(text);
    CAPTURE(shown_text);
    PoolFixture pool({"RW", "RW"}, {}, preserving(RenameExdev::kPassthrough, how));
    pool.directory(0, "x/y");
    pool.file(1, "s/f", "text");
    const NodeId file = pool.walk("s/f");
    auto linked = pool.fs().link(pool.as(pool.walk("x/y")), {file, pool.name("g")});
    REQUIRE(linked.has_value());
    // The kernel refuses an answer of another type than the file's, and is to look again at once.
    CHECK(linked->entry.node == file);
    CHECK((linked->entry.attr.mode & S_IFMT) == S_IFREG);
    CHECK(linked->entry.entry_valid.count() == 0);
    CHECK(linked->entry.attr_valid.count() == 0);
    pool.keep(*linked);
    const std::string expected =
        text.starts_with(kHere) ? pool.branch(1).string() + text.substr(kHere.size()) : text;
    CHECK(link_text(pool, "x/y/g") == expected);
    CHECK(pool.stat(0, "x/y/g").st_mode == 0120777);
    CHECK(pool.stat(1, "s/f").st_nlink == 1);
    CHECK(pool.fs().link(pool.as(pool.walk("x/y")), {file, pool.name("g")}).error() ==
          Errno{EEXIST});
  }
}

TEST_CASE("link-exdev: passthrough, and where a hard link can be") {
  PoolFixture plain({"RW", "RW"}, {}, preserving(RenameExdev::kPassthrough));
  plain.directory(0, "x");
  plain.file(1, "f");
  CHECK(plain.fs().link(plain.as(plain.walk("x")), {plain.walk("f"), plain.name("g")}).error() ==
        Errno{EXDEV});
  PoolFixture pool({"RW", "RW"}, {}, preserving(RenameExdev::kPassthrough, LinkExdev::kRelative));
  pool.directory(1, "x");
  pool.file(1, "f");
  CHECK(pool.fs().link(pool.as(pool.walk("x")), {pool.walk("f"), pool.name("g")}).has_value());
  CHECK(pool.stat(1, "x/g").st_nlink == 2);
}

}  // namespace bough::test
