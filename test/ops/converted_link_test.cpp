#include <dirent.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "ops/converted_link.hpp"
#include "test/support/branch_tree.hpp"
#include "test/support/full_root.hpp"
#include "test/support/pool_fixture.hpp"

namespace bough::test {
namespace {

using proto::kRootNode;
using proto::NodeId;

constexpr std::uint32_t kType = 0170000;
constexpr std::uint32_t kUnknownType = 0;

/// What was made is older than no time at all.
void at_once(ops::Settings& settings) {
  settings.links.symlinkify = true;
  settings.links.symlinkify_timeout = std::chrono::nanoseconds(0);
}

proto::EntryReply entry(PoolFixture& pool, const std::string& directory, const std::string& name) {
  auto found = pool.lookup(pool.walk(directory), name);
  REQUIRE(found.has_value());
  pool.keep(*found);
  return std::move(*found);
}

std::string text_of(PoolFixture& pool, NodeId node) {
  std::string text(5000, '\0');
  const auto got = pool.fs().readlink(pool.as(node), {},
                                      std::as_writable_bytes(std::span(text.data(), text.size())));
  if (!got) return "errno " + std::to_string(got.error().value());
  text.resize(*got);
  return text;
}

bool is_link(PoolFixture& pool, const std::string& directory, const std::string& name) {
  return (entry(pool, directory, name).entry.attr.mode & kType) == S_IFLNK;
}

int open_error(PoolFixture& pool, NodeId node) {
  proto::OpenRequest request;
  request.flags = O_RDONLY;
  const auto opened = pool.fs().open(pool.as(node), request);
  return opened ? 0 : opened.error().value();
}

}  // namespace

TEST_CASE("symlinkify: which files are due") {
  ops::LinkSettings settings;
  settings.symlinkify_timeout = std::chrono::seconds(100);
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(
                       std::chrono::system_clock::now().time_since_epoch())
                       .count();
  const auto due = [&](std::uint32_t mode, std::int64_t changed, std::int64_t touched) {
    ops::FileStat stat;
    stat.mode = mode;
    stat.mtime = {now - changed, 0};
    stat.ctime = {now - touched, 0};
    return ops::is_due(settings, stat);
  };
  CHECK(due(0100444, 200, 200));
  CHECK(due(0100555, 200, 200));
  CHECK(due(0010400, 200, 200));
  CHECK(due(0100000, 200, 200));
  for (const std::uint32_t writes : {0200U, 0020U, 0002U})
    CHECK_FALSE(due(0100444 | writes, 200, 200));
  CHECK_FALSE(due(0040555, 200, 200));
  CHECK_FALSE(due(0120444, 200, 200));
  CHECK_FALSE(due(0100444, 200, 50));
  CHECK_FALSE(due(0100444, 50, 200));
  CHECK_FALSE(due(0100444, -50, -50));
  settings.symlinkify_timeout = std::chrono::seconds(0);
  CHECK(due(0100444, 1, 1));
  CHECK_FALSE(due(0100444, -50, 1));
  ops::FileStat ancient;
  ancient.mode = 0100444;
  ancient.mtime = ancient.ctime = {INT64_MIN, 999'999'999};
  CHECK(ops::is_due(settings, ancient));
  settings.symlinkify_timeout = std::chrono::nanoseconds::max();
  CHECK_FALSE(due(0100444, 1'000'000'000, 1'000'000'000));
}

TEST_CASE("symlinkify: the timeout is what it was set to, whether the option is on or off") {
  ops::Settings settings;
  std::vector<proto::Setting> table = ops::settings_table(settings);
  const auto row = [&](std::string_view name) -> proto::Setting& {
    return *std::find_if(table.begin(), table.end(),
                         [name](const proto::Setting& each) { return each.name == name; });
  };
  CHECK(row("symlinkify").get() == "false");
  CHECK(row("symlinkify-timeout").get() == "3600");
  CHECK(row("symlinkify").set("true").empty());
  CHECK(row("symlinkify-timeout").get() == "3600");
  CHECK(row("symlinkify-timeout").set("7200").empty());
  CHECK(row("symlinkify").set("false").empty());
  CHECK(row("symlinkify-timeout").get() == "7200");
  CHECK_FALSE(row("symlinkify-timeout").set("-1").empty());
  CHECK(row("symlinkify-timeout").get() == "7200");
}

TEST_CASE("symlinkify: a file that is done with is a link to itself on its branch") {
  PoolFixture pool({"RW", "RW"}, {}, at_once);
  pool.file(1, "d/f", "text", 0444);
  pool.file(1, "d/writable", "text", 0644);
  ::symlink("f", (pool.branch(1) / "d/link").c_str());
  REQUIRE(::mkfifo((pool.branch(1) / "fifo").c_str(), 0400) == 0);
  pool.directory(1, "closed", 0555);
  const auto shown = entry(pool, "d", "f");
  const std::string path = pool.branch(1) / "d/f";
  CHECK(shown.entry.attr.mode == 0120777);
  CHECK(shown.entry.attr.size == path.size());
  CHECK(shown.entry.attr.blocks == 0);
  CHECK(shown.entry.entry_valid.count() == 0);
  CHECK(text_of(pool, shown.entry.node) == path);
  const auto attr = pool.fs().getattr(pool.as(shown.entry.node), {});
  REQUIRE(attr.has_value());
  CHECK(attr->attr.mode == 0120777);
  CHECK(attr->attr.size == path.size());
  CHECK(attr->attr.ino == shown.entry.attr.ino);
  CHECK(open_error(pool, shown.entry.node) == ELOOP);
  CHECK_FALSE(is_link(pool, "d", "writable"));
  CHECK(text_of(pool, entry(pool, "d", "link").entry.node) == "f");
  CHECK(text_of(pool, entry(pool, "", "fifo").entry.node) == pool.branch(1) / "fifo");
  CHECK((entry(pool, "", "closed").entry.attr.mode & kType) == S_IFDIR);

  pool.settings().links.symlinkify = false;
  const auto file = entry(pool, "d", "f");
  CHECK(file.entry.attr.mode == 0100444);
  CHECK(file.entry.attr.size == 4);
  CHECK(file.entry.attr.ino == shown.entry.attr.ino);
  CHECK(file.entry.entry_valid.count() > 0);
  CHECK(file.entry.node != shown.entry.node);
}

TEST_CASE("symlinkify: never an open file, and no node ever changes its type") {
  PoolFixture pool({"RW"}, {}, at_once);
  pool.settings().links.symlinkify = false;
  pool.file(0, "f", "text", 0444);
  const NodeId file = pool.walk("f");
  const auto handle = pool.open(file, O_RDONLY);
  pool.settings().links.symlinkify = true;
  CHECK(pool.walk("f") == file);
  // By another name, too.
  std::filesystem::create_hard_link(pool.branch(0) / "f", pool.branch(0) / "g");
  CHECK(pool.walk("g") == file);
  CHECK(pool.read(handle) == "text");
  pool.release(handle);
  const auto link = entry(pool, "", "f");
  CHECK(link.entry.node != file);
  CHECK(link.entry.attr.mode == 0120777);
  CHECK(pool.walk("f") == link.entry.node);
  // "g" still leads to the file.
  CHECK(pool.fs().getattr(pool.as(file), {})->attr.mode == 0100444);

  ::chmod((pool.branch(0) / "f").c_str(), 0644);
  CHECK(pool.fs().getattr(pool.as(link.entry.node), {})->attr.mode == 0120777);
  CHECK(pool.walk("f") == file);
  const auto writer = pool.open(file, O_RDWR);
  CHECK(pool.write(writer, "TEXT", 0, O_RDWR).has_value());
  ::chmod((pool.branch(0) / "f").c_str(), 0444);
  CHECK(pool.walk("f") == file);
  pool.release(writer);
  CHECK(pool.walk("f") != file);
  CHECK(text_of(pool, pool.walk("f")) == pool.branch(0) / "f");
  // Who still has the file's node without a name is told to look the name up again.
  pool.settings().links.symlinkify = false;
  std::filesystem::remove(pool.branch(0) / "g");
  CHECK(pool.walk("f") == file);
  pool.settings().links.symlinkify = true;
  CHECK(is_link(pool, "", "f"));
  (void)pool.lookup(kRootNode, "g");
  CHECK(open_error(pool, file) == ESTALE);
}

TEST_CASE("symlinkify: each name of a file is a link of its own, and follows its directory") {
  PoolFixture pool({"RW"}, {}, at_once);
  pool.file(0, "d/one", "text", 0444);
  std::filesystem::create_hard_link(pool.branch(0) / "d/one", pool.branch(0) / "second");
  const NodeId one = pool.walk("d/one");
  const NodeId second = pool.walk("second");
  CHECK(one != second);
  CHECK(text_of(pool, one) == pool.branch(0) / "d/one");
  CHECK(text_of(pool, second) == pool.branch(0) / "second");
  CHECK(pool.walk("d/one") == one);
  CHECK(pool.fs().rename(pool.as(kRootNode), {kRootNode, pool.name("d"), pool.name("D"), 0}));
  CHECK(text_of(pool, one) == pool.branch(0) / "D/one");
  // The kernel may have kept the text (cache.symlinks).
  const NodeId moved = pool.walk("D/one");
  CHECK(moved != one);
  CHECK(text_of(pool, moved) == pool.branch(0) / "D/one");
}

TEST_CASE("symlinkify: names and attributes of a link are the file's") {
  if (!may_act_as_root()) return;
  PoolFixture pool({"RW"}, {}, at_once);
  pool.directory(0, "d");
  for (const char* const name : {"renamed", "removed", "linked", "changed"})
    pool.file(0, name, "text", 0444);
  const NodeId d = pool.walk("d");
  REQUIRE(is_link(pool, "", "renamed"));
  CHECK(pool.fs().rename(pool.as(kRootNode), {d, pool.name("renamed"), pool.name("new"), 0}));
  CHECK(pool.text(0, "d/new") == "text");
  CHECK(pool.stat(0, "d/new").st_mode == 0100444);
  CHECK(text_of(pool, pool.walk("d/new")) == pool.branch(0) / "d/new");

  REQUIRE(is_link(pool, "", "removed"));
  CHECK(pool.fs().unlink(pool.as(kRootNode), {pool.name("removed")}));
  CHECK_FALSE(pool.exists(0, "removed"));

  const NodeId linked = pool.walk("linked");
  auto made = pool.fs().link(pool.as(d), {linked, pool.name("again")});
  REQUIRE(made.has_value());
  // The kernel takes only an answer of the same type.
  CHECK(made->entry.attr.mode == 0120777);
  CHECK(made->entry.node == linked);
  CHECK(made->entry.entry_valid.count() == 0);
  CHECK(made->entry.attr.nlink == 2);
  pool.keep(*made);
  CHECK(pool.stat(0, "d/again").st_ino == pool.stat(0, "linked").st_ino);
  CHECK(text_of(pool, pool.walk("d/again")) == pool.branch(0) / "d/again");

  pool.settings().links.symlinkify_timeout = std::chrono::hours(1);
  CHECK_FALSE(is_link(pool, "", "changed"));
  pool.settings().links.symlinkify_timeout = std::chrono::nanoseconds(0);
  const NodeId changed = pool.walk("changed");
  proto::SetattrRequest times;
  times.mtime = proto::TimeChange{false, 1000, 0};
  const auto set = pool.fs().setattr(pool.as(changed), times);
  REQUIRE(set.has_value());
  CHECK(set->attr.mode == 0120777);
  CHECK(set->attr.mtime.seconds == 1000);
  CHECK(pool.stat(0, "changed").st_mtime == 1000);
  proto::SetattrRequest owner;
  owner.uid = 1234;
  CHECK(pool.fs().setattr(pool.as(changed), owner).has_value());
  CHECK(pool.stat(0, "changed").st_uid == 1234);
  proto::SetattrRequest mode;
  mode.mode = 0100644;
  CHECK(pool.fs().setattr(pool.as(changed), mode).error().value() == EOPNOTSUPP);
  proto::SetattrRequest size;
  size.size = 0;
  CHECK(pool.fs().setattr(pool.as(changed), size).error().value() == EINVAL);
  CHECK(pool.text(0, "changed") == "text");
}

TEST_CASE("symlinkify: a listing says no type that a look-up might not") {
  for (const std::size_t branches : {1U, 2U}) {
    CAPTURE(branches);
    PoolFixture pool(std::vector<std::string>(branches, "RW"), {}, at_once);
    for (std::size_t i = 0; i < branches; ++i) pool.directory(i, "d/sub");
    pool.file(0, "d/f", "", 0444);
    ::symlink("f", (pool.branch(0) / "d/link").c_str());
    auto opened = pool.fs().opendir(pool.as(pool.walk("d")), proto::OpendirRequest{});
    REQUIRE(opened.has_value());
    const auto handle = pool.keep(*opened, true);
    const auto types = [&] {
      std::map<std::string, std::uint32_t> found;
      for (const auto& each : pool.readdir(handle)) found[each.name] = each.type;
      return found;
    };
    CHECK(types()["f"] == kUnknownType);
    CHECK(types()["sub"] == DT_DIR);
    CHECK(types()["link"] == DT_LNK);
    const auto plus = [&] {
      std::vector<std::byte> buffer(4096);
      proto::DirentPlusPacker packer(buffer, pool.fs());
      proto::ReaddirplusRequest request;
      request.handle = handle;
      request.size = 4096;
      REQUIRE(pool.fs().readdirplus(pool.as(kRootNode), request, packer).has_value());
      return std::string(reinterpret_cast<const char*>(buffer.data()), packer.size());
    };
    const std::string link_mode{"\xff\xa1\0\0", 4};
    CHECK(plus().find(link_mode) != std::string::npos);
    pool.settings().links.symlinkify = false;
    CHECK(types()["f"] == DT_REG);
  }
}

TEST_CASE("symlinkify: what is too long for a link stays a file") {
  PoolFixture pool({"RW"}, {}, at_once);
  NodeId node = kRootNode;
  const std::string name(250, 'n');
  for (int depth = 0; depth < 17; ++depth) {
    auto made = pool.fs().mkdir(pool.as(node), {pool.name(name), 0755, 0, {}});
    REQUIRE(made.has_value());
    node = pool.keep(*made);
  }
  auto made = pool.fs().mknod(pool.as(node), {pool.name("f"), 0100444, 0, 0, {}});
  REQUIRE(made.has_value());
  pool.keep(*made);
  auto found = pool.lookup(node, "f");
  REQUIRE(found.has_value());
  pool.keep(*found);
  CHECK(found->entry.attr.mode == 0100444);
}

}  // namespace bough::test
