#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "ops/settings.hpp"
#include "test/support/pool_fixture.hpp"

namespace bough::test {
namespace {

using ops::Settings;
using proto::Errno;
using proto::kRootNode;
using proto::NodeId;
using proto::Setting;

const Setting& row(const std::vector<Setting>& table, std::string_view name) {
  for (const Setting& each : table)
    if (each.name == name) return each;
  throw std::runtime_error("no row " + std::string(name));
}

/// As -o would: from left to right.
PoolFixture::Tune with(std::vector<std::pair<std::string, std::string>> words) {
  return [words = std::move(words)](Settings& settings) {
    const auto table = ops::settings_table(settings);
    for (const auto& [key, value] : words) REQUIRE(row(table, key).set(value).empty());
  };
}

template <class Reply>
int errno_of(PoolFixture& pool, proto::Result<Reply> reply) {
  if (!reply) return reply.error().value();
  pool.keep(*reply);
  return 0;
}
int mkdir(PoolFixture& pool, std::string_view name) {
  return errno_of(pool, pool.fs().mkdir(pool.as(kRootNode), {pool.name(name), 0755, 0, {}}));
}
int symlink(PoolFixture& pool, std::string_view name) {
  return errno_of(pool, pool.fs().symlink(pool.as(kRootNode), {pool.name(name), "there", {}}));
}
int mknod(PoolFixture& pool, std::string_view name, std::uint32_t mode) {
  return errno_of(pool, pool.fs().mknod(pool.as(kRootNode), {pool.name(name), mode, 0, 0, {}}));
}
int create(PoolFixture& pool, std::string_view name) {
  auto made = pool.fs().create(pool.as(kRootNode),
                               {pool.name(name), O_RDWR | O_CREAT, 0100644, 0, false, {}});
  if (!made) return made.error().value();
  pool.keep(made->entry);
  pool.keep(made->open);
  return 0;
}
int setattr(PoolFixture& pool, NodeId node, const proto::SetattrRequest& request) {
  const auto changed = pool.fs().setattr(pool.as(node), request);
  return changed ? 0 : changed.error().value();
}
int chmod(PoolFixture& pool, NodeId node, std::uint32_t mode) {
  proto::SetattrRequest request;
  request.mode = mode;
  return setattr(pool, node, request);
}
std::string value_of(PoolFixture& pool, NodeId node, const char* name) {
  std::array<std::byte, 64> out{};
  proto::GetxattrRequest request;
  request.name = name;
  request.size = out.size();
  const auto size = pool.fs().getxattr(pool.as(node), request, out);
  if (!size) return "errno " + std::to_string(size.error().value());
  return {reinterpret_cast<const char*>(out.data()), *size};
}
void put(PoolFixture& pool, std::size_t branch, const std::string& path, const char* name,
         const std::string& value) {
  REQUIRE(::setxattr((pool.branch(branch) / path).c_str(), name, value.data(), value.size(), 0) ==
          0);
}
std::string on_branch(PoolFixture& pool, std::size_t branch, const std::string& path,
                      const char* name) {
  std::array<char, 64> out{};
  const auto size = ::getxattr((pool.branch(branch) / path).c_str(), name, out.data(), out.size());
  return size < 0 ? "" : std::string(out.data(), static_cast<std::size_t>(size));
}
void set_mtime(PoolFixture& pool, std::size_t branch, const std::string& path, std::int64_t when) {
  const timespec both[2]{{when, 0}, {when, 0}};
  REQUIRE(::utimensat(AT_FDCWD, (pool.branch(branch) / path).c_str(), both, AT_SYMLINK_NOFOLLOW) ==
          0);
}

}  // namespace

TEST_CASE("func.*: every function has a policy, of its category's names and default") {
  Settings settings;
  const auto table = ops::settings_table(settings);
  const auto check = [&](std::string_view category, const char* fallback,
                         std::initializer_list<const char*> functions) {
    for (const char* function : functions) {
      CAPTURE(function);
      const Setting& each = row(table, std::string("func.") + function);
      CHECK(each.get() == fallback);
      CHECK(each.when == Setting::When::kRuntime);
      for (const char* name :
           {"all",    "epall",  "epff",   "eplfs",   "eplus",  "epmfs", "eppfrd",
            "eprand", "erofs",  "ff",     "lfs",     "lup",    "lus",   "mfs",
            "msplfs", "msplus", "mspmfs", "msppfrd", "newest", "pfrd",  "rand"}) {
        CHECK(each.set(name).empty());
        CHECK(each.get() == name);
      }
      CHECK_FALSE(each.set("FF").empty());
      CHECK_FALSE(each.set("").empty());
      CHECK(each.get() == "rand");
      CHECK(each.set(fallback).empty());
    }
    CHECK(row(table, category).get() == fallback);
  };
  check("category.create", "pfrd", {"create", "mkdir", "mknod", "symlink"});
  check("category.search", "ff",
        {"access", "getattr", "getxattr", "listxattr", "open", "readlink"});
  check("category.action", "epall",
        {"chmod", "chown", "link", "removexattr", "rename", "rmdir", "setxattr", "truncate",
         "unlink", "utimens"});
}

TEST_CASE("category.* and func.* overwrite each other; a category reads as its distinct names") {
  Settings settings;
  const auto table = ops::settings_table(settings);
  CHECK(row(table, "func.getattr").set("newest").empty());
  CHECK(row(table, "category.search").get() == "ff,newest");
  CHECK(row(table, "func.open").set("all").empty());
  CHECK(row(table, "func.access").set("newest").empty());
  CHECK(row(table, "category.search").get() == "all,ff,newest");
  CHECK(row(table, "category.action").get() == "epall");
  CHECK_FALSE(row(table, "category.search").set("ff,newest").empty());
  CHECK(row(table, "func.getattr").get() == "newest");
  CHECK(row(table, "category.search").set("rand").empty());
  CHECK(row(table, "category.search").get() == "rand");
  CHECK(row(table, "func.getattr").get() == "rand");
  CHECK(row(table, "func.getattr").set("ff").empty());
  CHECK(row(table, "category.search").get() == "ff,rand");
}

TEST_CASE("func.create, mkdir, mknod and symlink: each asks its own policy") {
  PoolFixture pool({"RW", "RW"}, {}, with({{"category.create", "erofs"}, {"func.mkdir", "all"}}));
  CHECK(mkdir(pool, "d") == 0);
  CHECK(pool.exists(1, "d"));
  CHECK(create(pool, "f") == EROFS);
  CHECK(symlink(pool, "l") == EROFS);
  CHECK(mknod(pool, "p", S_IFIFO | 0600) == EROFS);

  PoolFixture files({"RW", "RW"}, {}, with({{"category.create", "all"}, {"func.mknod", "erofs"}}));
  CHECK(mknod(files, "p", S_IFIFO | 0600) == EROFS);
  CHECK(mkdir(files, "d") == 0);
  CHECK(symlink(files, "l") == 0);
  for (const char* name : {"d", "l"})
    for (const std::size_t i : {0U, 1U}) CHECK(files.exists(i, name));

  PoolFixture links({"RW"}, {}, with({{"func.symlink", "erofs"}}));
  CHECK(symlink(links, "l") == EROFS);
  CHECK(create(links, "f") == 0);
}

TEST_CASE("func.create rules a regular file however it is made, and it goes to one branch") {
  PoolFixture pool({"RW", "RW"}, {}, with({{"func.create", "all"}, {"func.mknod", "erofs"}}));
  CHECK(create(pool, "f") == 0);
  CHECK(mknod(pool, "g", S_IFREG | 0600) == 0);
  for (const char* name : {"f", "g"}) {
    CHECK(pool.exists(0, name));
    CHECK_FALSE(pool.exists(1, name));
  }
  PoolFixture none({"RW"}, {}, with({{"func.create", "erofs"}}));
  CHECK(create(none, "f") == EROFS);
  CHECK(mknod(none, "g", S_IFREG | 0600) == EROFS);
  proto::TmpfileRequest unnamed;
  unnamed.flags = O_RDWR | O_TMPFILE;
  unnamed.mode = 0100600;
  CHECK(none.fs().tmpfile(none.as(kRootNode), unnamed).error() == Errno{EROFS});
}

TEST_CASE("only func.create decides whether rename and link keep to the paths that there are") {
  const auto rename_elsewhere = [](PoolFixture& pool) {
    pool.file(0, "f", "text");
    pool.directory(1, "there");
    return pool.fs()
        .rename(pool.as(kRootNode), {pool.walk("there"), pool.name("f"), pool.name("f"), 0})
        .error()
        .value();
  };
  PoolFixture keeps({"RW", "RW"}, {}, with({{"func.create", "epff"}}));
  CHECK(rename_elsewhere(keeps) == EXDEV);
  PoolFixture makes({"RW", "RW"}, {}, with({{"category.create", "epff"}, {"func.create", "pfrd"}}));
  CHECK(rename_elsewhere(makes) == 0);
  CHECK(makes.text(0, "there/f") == "text");
}

TEST_CASE("func.unlink, rmdir, rename, link: erofs of one refuses that one") {
  const auto outcomes = [](const char* function) {
    PoolFixture pool({"RW"}, {}, with({{std::string("func.") + function, "erofs"}}));
    pool.file(0, "f");
    pool.file(0, "g");
    pool.directory(0, "d");
    std::vector<int> all;
    const NodeId f = pool.walk("f");
    all.push_back(errno_of(pool, pool.fs().link(pool.as(kRootNode), {f, pool.name("l")})));
    all.push_back(pool.fs()
                      .rename(pool.as(kRootNode), {kRootNode, pool.name("f"), pool.name("h"), 0})
                      .error()
                      .value());
    all.push_back(pool.fs().unlink(pool.as(kRootNode), {pool.name("g")}).error().value());
    all.push_back(pool.fs().rmdir(pool.as(kRootNode), {pool.name("d")}).error().value());
    return all;
  };
  CHECK(outcomes("link") == std::vector<int>{EROFS, 0, 0, 0});
  CHECK(outcomes("rename") == std::vector<int>{0, EROFS, 0, 0});
  CHECK(outcomes("unlink") == std::vector<int>{0, 0, EROFS, 0});
  CHECK(outcomes("rmdir") == std::vector<int>{0, 0, 0, EROFS});
}

TEST_CASE("func.unlink and rmdir choose which copies go") {
  PoolFixture pool({"RW", "RW"}, {}, with({{"func.unlink", "ff"}}));
  for (const std::size_t i : {0U, 1U}) {
    pool.file(i, "f", std::to_string(i));
    pool.directory(i, "d");
  }
  CHECK(pool.fs().unlink(pool.as(kRootNode), {pool.name("f")}).has_value());
  CHECK_FALSE(pool.exists(0, "f"));
  CHECK(pool.exists(1, "f"));
  CHECK(pool.fs().rmdir(pool.as(kRootNode), {pool.name("d")}).has_value());
  CHECK_FALSE(pool.exists(0, "d"));
  CHECK_FALSE(pool.exists(1, "d"));
}

TEST_CASE("func.chmod, chown, truncate, utimens: one SETATTR goes to what each of them chooses") {
  PoolFixture pool({"RW", "RW", "RW"}, {},
                   with({{"func.chmod", "ff"}, {"func.utimens", "ff"}, {"func.truncate", "all"}}));
  for (const std::size_t i : {0U, 1U, 2U}) pool.file(i, "f", "text", 0644);
  proto::SetattrRequest request;
  request.mode = 0600;
  request.size = 2;
  request.mtime = proto::TimeChange{false, 1000, 0};
  CHECK(setattr(pool, pool.walk("f"), request) == 0);
  CHECK((pool.stat(0, "f").st_mode & 07777) == 0600);
  CHECK(pool.stat(0, "f").st_mtime == 1000);
  for (const std::size_t i : {0U, 1U, 2U}) CHECK(pool.text(i, "f") == "te");
  for (const std::size_t i : {1U, 2U}) {
    CHECK((pool.stat(i, "f").st_mode & 07777) == 0644);
    CHECK(pool.stat(i, "f").st_mtime != 1000);
  }

  // Nothing is changed where a part is refused.
  PoolFixture refused({"RW", "RW"}, {}, with({{"func.utimens", "erofs"}}));
  refused.file(0, "f", "text", 0644);
  CHECK(setattr(refused, refused.walk("f"), request) == EROFS);
  CHECK((refused.stat(0, "f").st_mode & 07777) == 0644);
  CHECK(refused.text(0, "f") == "text");
  CHECK(chmod(refused, refused.walk("f"), 0600) == 0);
}

TEST_CASE("metadata: the copy that users see decides, others may fail") {
  PoolFixture pool({"RO", "RW"}, {}, with({{"func.chmod", "all"}}));
  pool.directory(0, "d", 0755);
  pool.directory(1, "d", 0755);
  CHECK(chmod(pool, pool.walk("d"), 0700) == 0);
  CHECK((pool.stat(1, "d").st_mode & 07777) == 0700);
  pool.file(0, "f", "", 0644);
  pool.file(1, "f", "", 0644);
  CHECK(chmod(pool, pool.walk("f"), 0600) == EROFS);
  CHECK((pool.stat(1, "f").st_mode & 07777) == 0644);
}

TEST_CASE("func.getattr decides what a name is, and whose attributes a directory has") {
  PoolFixture pool({"RW", "RW"}, {}, with({{"func.getattr", "newest"}}));
  for (const std::size_t i : {0U, 1U}) pool.directory(i, "d", i == 0 ? 0750 : 0700);
  set_mtime(pool, 0, "d", 100);
  set_mtime(pool, 1, "d", 200);
  CHECK(pool.fs().getattr(pool.as(pool.walk("d")), {})->attr.mode == 040700);
  // Where it is a file on one branch and a directory on the other, too.
  pool.file(0, "x", "text");
  pool.directory(1, "x");
  set_mtime(pool, 0, "x", 300);
  set_mtime(pool, 1, "x", 200);
  CHECK(pool.fs().getattr(pool.as(pool.walk("x")), {})->attr.mode == 0100644);
}

TEST_CASE(
    "func.open decides which regular file is shown and opened: size and data are one file's") {
  PoolFixture pool({"RW", "RW", "RW"}, {}, with({{"func.open", "newest"}}));
  pool.file(0, "f", "old");
  pool.file(1, "f", "newest of all");
  pool.directory(2, "f");
  set_mtime(pool, 0, "f", 100);
  set_mtime(pool, 1, "f", 200);
  const NodeId f = pool.walk("f");
  CHECK(pool.fs().getattr(pool.as(f), {})->attr.size == 13);
  CHECK(pool.read(pool.open(f, O_RDONLY)) == "newest of all");

  // An open node keeps to its file, whatever the policy would choose now.
  const auto handle = pool.open(f, O_RDONLY);
  set_mtime(pool, 0, "f", 300);
  CHECK(pool.read(pool.open(f, O_RDONLY)) == "newest of all");
  const NodeId other = pool.walk("f");
  CHECK(other != f);
  CHECK(pool.read(pool.open(other, O_RDONLY)) == "old");
  CHECK(pool.read(handle) == "newest of all");

  // And with the two the other way round.
  PoolFixture first({"RW", "RW"}, {}, with({{"func.getattr", "newest"}}));
  first.file(0, "f", "first");
  first.file(1, "f", "newest");
  set_mtime(first, 0, "f", 100);
  const NodeId node = first.walk("f");
  CHECK(first.fs().getattr(first.as(node), {})->attr.size == 5);
  CHECK(first.read(first.open(node, O_RDONLY)) == "first");
  CHECK(first.fs().unlink(first.as(kRootNode), {first.name("f")}).has_value());
}

TEST_CASE("func.open: erofs refuses to open, and only that") {
  PoolFixture pool({"RW", "RW"}, {}, with({{"func.open", "erofs"}}));
  pool.file(1, "f", "text");
  const NodeId f = pool.walk("f");
  CHECK(pool.fs().getattr(pool.as(f), {})->attr.size == 4);
  CHECK(pool.fs().open(pool.as(f), {O_RDONLY, false}).error() == Errno{EROFS});
}

TEST_CASE("a rename leaves no copy that func.open would show instead") {
  PoolFixture pool({"RW", "RW"}, {}, with({{"func.open", "newest"}}));
  pool.file(0, "f", "mine");
  pool.file(1, "g", "newer");
  set_mtime(pool, 0, "f", 100);
  CHECK(pool.fs()
            .rename(pool.as(kRootNode), {kRootNode, pool.name("f"), pool.name("g"), 0})
            .has_value());
  CHECK_FALSE(pool.exists(1, "g"));
  CHECK(pool.read(pool.open(pool.walk("g"), O_RDONLY)) == "mine");
}

TEST_CASE("func.getxattr and listxattr choose among the copies of the path and type") {
  PoolFixture pool({"RW", "RW", "RW"}, {},
                   with({{"func.getxattr", "newest"}, {"func.listxattr", "newest"}}));
  for (const char* name : {"f", "d"}) {
    for (const std::size_t i : {0U, 1U}) {
      if (name[0] == 'f') pool.file(i, "f", "text");
      if (name[0] == 'd') pool.directory(i, "d");
      put(pool, i, name, "user.from", std::to_string(i));
    }
    put(pool, 1, name, "user.more", "");
    set_mtime(pool, 0, name, 100);
    set_mtime(pool, 1, name, 200);
  }
  pool.directory(2, "f");
  pool.file(2, "d");
  for (const char* name : {"f", "d"}) {
    CAPTURE(name);
    const NodeId node = pool.walk(name);
    CHECK(value_of(pool, node, "user.from") == "1");
    std::array<std::byte, 64> out{};
    proto::ListxattrRequest list;
    list.size = out.size();
    CHECK(pool.fs().listxattr(pool.as(node), list, out).value() == 20);
  }
  // What is set is what is read then.
  proto::SetxattrRequest set;
  set.name = "user.from";
  const std::string value = "new";
  set.value = std::as_bytes(std::span(value));
  PoolFixture one({"RW", "RW"}, {}, with({{"func.getxattr", "newest"}, {"func.setxattr", "ff"}}));
  one.file(0, "f");
  one.file(1, "f");
  set_mtime(one, 0, "f", 100);
  const NodeId f = one.walk("f");
  CHECK(one.fs().setxattr(one.as(f), set).has_value());
  CHECK(value_of(one, f, "user.from") == "new");
  CHECK(on_branch(one, 0, "f", "user.from") == "new");
  CHECK(on_branch(one, 1, "f", "user.from") == "new");
}

TEST_CASE("func.listxattr=all lists no name twice") {
  PoolFixture pool({"RW", "RW"}, {}, with({{"func.listxattr", "all"}}));
  for (const std::size_t i : {0U, 1U}) {
    pool.file(i, "f", "text");
    put(pool, i, "f", "user.same", "x");
  }
  std::array<std::byte, 64> out{};
  proto::ListxattrRequest list;
  list.size = out.size();
  const auto size = pool.fs().listxattr(pool.as(pool.walk("f")), list, out);
  REQUIRE(size.has_value());
  CHECK(*size == sizeof "user.same");
}

TEST_CASE("what the kernel judges a file by is read from that file") {
  PoolFixture pool({"RW", "RW"}, {}, with({{"func.getxattr", "newest"}}));
  pool.file(0, "f", "mine");
  pool.file(1, "f", "newest");
  set_mtime(pool, 0, "f", 100);
  // VFS_CAP_REVISION_2, CAP_CHOWN.
  const std::string capability("\0\0\0\x02\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  if (::geteuid() == 0) {
    put(pool, 1, "f", "security.capability", capability);
    CHECK(value_of(pool, pool.walk("f"), "security.capability") ==
          "errno " + std::to_string(ENODATA));
  }
}

TEST_CASE("func.getxattr, listxattr, access, readlink: erofs refuses that one") {
  PoolFixture pool({"RW"}, {},
                   with({{"func.getxattr", "erofs"},
                         {"func.listxattr", "erofs"},
                         {"func.access", "erofs"},
                         {"func.readlink", "erofs"}}));
  pool.file(0, "f", "text");
  REQUIRE(::symlink("there", (pool.branch(0) / "l").c_str()) == 0);
  const NodeId f = pool.walk("f");
  std::array<std::byte, 64> out{};
  CHECK(value_of(pool, f, "user.x") == "errno " + std::to_string(EROFS));
  CHECK(pool.fs().listxattr(pool.as(f), {}, out).error() == Errno{EROFS});
  CHECK(pool.fs().access(pool.as(f), {R_OK}).error() == Errno{EROFS});
  CHECK(pool.fs().readlink(pool.as(pool.walk("l")), {}, out).error() == Errno{EROFS});
  CHECK(pool.read(pool.open(f, O_RDONLY)) == "text");
}

TEST_CASE("func.access and readlink choose a copy of their own") {
  PoolFixture pool({"RW", "RW", "RW"}, {},
                   with({{"func.access", "newest"}, {"func.readlink", "newest"}}));
  pool.file(0, "f", "", 0000);
  pool.file(1, "f", "", 0444);
  set_mtime(pool, 0, "f", 100);
  CHECK(pool.fs().access(pool.as(pool.walk("f"), 1000, 1000), {R_OK}).has_value());
  REQUIRE(::symlink("first", (pool.branch(0) / "l").c_str()) == 0);
  REQUIRE(::symlink("newest", (pool.branch(1) / "l").c_str()) == 0);
  pool.file(2, "l", "newer, but no link");
  set_mtime(pool, 0, "l", 100);
  set_mtime(pool, 1, "l", 200);
  std::array<std::byte, 64> out{};
  const auto size = pool.fs().readlink(pool.as(pool.walk("l")), {}, out);
  REQUIRE(size.has_value());
  CHECK(std::string(reinterpret_cast<const char*>(out.data()), *size) == "newest");
}

TEST_CASE("a policy of its own asks no branch where there is nothing to choose") {
  // The same policy as the node was chosen by: the node's own file, though another copy is newer.
  PoolFixture pool({"RW", "RW"}, {}, with({{"func.getattr", "newest"}, {"func.open", "ff"}}));
  pool.file(0, "f", "first");
  pool.file(1, "f", "second");
  put(pool, 0, "f", "user.from", "0");
  put(pool, 1, "f", "user.from", "1");
  set_mtime(pool, 0, "f", 100);
  CHECK(value_of(pool, pool.walk("f"), "user.from") == "0");
}

}  // namespace bough::test
