#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

#include "ops/move_record.hpp"
#include "test/ops/second_thread.hpp"
#include "test/ops/small_pool.hpp"
#include "test/support/branch_tree.hpp"
#include "test/support/full_root.hpp"
#include "test/support/pool_fixture.hpp"
#include "test/support/served.hpp"

namespace bough::test {
namespace {

using proto::HandleId;
using proto::kRootNode;
using proto::NodeId;

void move_when_full(ops::Settings& settings) {
  settings.move_when_full = policy::find(policy::create_policies(), "ff");
}

/// Two branches and more, the first of which takes no further byte.
struct FullBranch {
  explicit FullBranch(std::vector<std::string> modes = {"RW", "RW"},
                      const PoolFixture::Tune& tune = move_when_full,
                      PoolFixture::Backings backings = PoolFixture::Backings::kRefused)
      : pool(std::move(modes), with_faults(faults), tune, backings) {
    fill();
  }
  void fill(int error = ENOSPC) {
    faults->reset();
    for (const Call call : {Call::kWrite, Call::kAllocate, Call::kTruncate})
      faults->fail({call, 1, FaultyBacking::kAlways, pool.branch(0)}, error);
  }
  [[nodiscard]] int write(HandleId handle, std::string_view text, std::uint64_t offset = 0,
                          std::uint32_t flags = O_WRONLY, bool from_cache = false) {
    proto::WriteRequest request;
    request.handle = handle;
    request.offset = offset;
    request.flags = flags;
    request.from_cache = from_cache;
    request.data = std::as_bytes(std::span(text.data(), text.size()));
    const auto done = served(pool, kRootNode, [&](const proto::Context& context) {
      return pool.fs().write(context, request);
    });
    if (!done) return done.error().value();
    CHECK(*done == text.size());
    return 0;
  }
  [[nodiscard]] std::uint64_t ino(NodeId node) {
    const auto got = pool.fs().getattr(pool.as(node), {});
    REQUIRE(got.has_value());
    return got->attr.ino;
  }
  [[nodiscard]] int rename(std::string_view from, std::string_view to) {
    proto::RenameRequest request{kRootNode, pool.name(from), pool.name(to), 0};
    const auto done = pool.fs().rename(pool.as(kRootNode), request);
    return done ? 0 : done.error().value();
  }
  /// Between the first copied byte and the last.
  void while_copied(std::function<void()> hook) {
    faults->before({Call::kCopyRange, 1, 1, pool.branch(0)}, std::move(hook));
  }

  FaultyBacking* faults = nullptr;
  PoolFixture pool;
  std::uint64_t calls = 0;
};

}  // namespace

TEST_CASE("relocate: a file without room goes on elsewhere, with all that is open of it") {
  FullBranch full;
  PoolFixture& pool = full.pool;
  pool.file(0, "d/f", "0123456789", 0640);
  if (may_act_as_root()) REQUIRE(::chown((pool.branch(0) / "d/f").c_str(), 7, 8) == 0);
  const bool xattrs = ::setxattr((pool.branch(0) / "d/f").c_str(), "user.x", "value", 5, 0) == 0;
  const struct stat directory_before = pool.stat(0, "d");
  const struct stat before = pool.stat(0, "d/f");
  const NodeId f = pool.walk("d/f");
  const std::uint64_t ino = full.ino(f);
  const HandleId reader = pool.open(f, O_RDONLY);
  const HandleId writer = pool.open(f, O_WRONLY);
  const HandleId both = pool.open(f, O_RDWR);
  const HandleId appender = pool.open(f, O_WRONLY | O_APPEND);
  const HandleId direct = pool.open(f, O_RDWR | O_DIRECT);
  CHECK(pool.read(direct, 3, 3) == "345");

  CHECK(full.write(writer, "AB", 2) == 0);
  CHECK(pool.text(1, "d/f") == "01AB456789");
  CHECK_FALSE(pool.exists(0, "d/f"));
  CHECK(pool.list(pool.walk("d")) == std::vector<std::string>{"f"});
  CHECK(full.write(both, "C", 4) == 0);
  CHECK(full.write(appender, "XYZ", 0, O_WRONLY | O_APPEND) == 0);
  CHECK(full.write(direct, "!", 13) == 0);
  for (const HandleId handle : {reader, both, direct}) CHECK(pool.read(handle) == "01ABC56789XYZ!");
  CHECK(pool.text(1, "d/f") == "01ABC56789XYZ!");

  CHECK(full.ino(f) == ino);
  CHECK(pool.walk("d/f") == f);
  const struct stat after = pool.stat(1, "d/f");
  CHECK(after.st_mode == before.st_mode);
  CHECK(after.st_uid == before.st_uid);
  CHECK(after.st_gid == before.st_gid);
  std::array<char, 8> value{};
  if (xattrs)
    CHECK(::getxattr((pool.branch(1) / "d/f").c_str(), "user.x", value.data(), value.size()) == 5);
  for (const std::size_t branch : {0U, 1U})
    CHECK(pool.stat(branch, "d").st_mtim.tv_nsec == directory_before.st_mtim.tv_nsec);
  CHECK(pool.count("moved_files") == 1);
  CHECK(tree_of(pool.branch(0)) == Tree{{"d", "d"}});
  CHECK(tree_of(pool.branch(1)) == Tree{{"d", "d"}, {"d/f", "f:01ABC56789XYZ!"}});
  // A later open is of the new file too.
  CHECK(pool.read(pool.open(f, O_RDONLY), 0, 4) == "01AB");
}

TEST_CASE("relocate: every change that wants room sets it off") {
  FullBranch full;
  PoolFixture& pool = full.pool;
  for (const int error : {ENOSPC, EDQUOT}) {
    for (const std::string what : {"write", "cache", "allocate", "truncate", "path", "copy"}) {
      CAPTURE(what);
      CAPTURE(error);
      const std::string name = what + std::to_string(error);
      pool.file(0, name, "text");
      pool.file(1, name + ".source", "more");
      const NodeId f = pool.walk(name);
      const HandleId handle = pool.open(f, O_RDWR);
      const HandleId source = pool.open(pool.walk(name + ".source"), O_RDONLY);
      full.fill(error);
      const auto done = [&]() -> int {
        if (what == "write") return full.write(handle, "more", 4);
        if (what == "cache") return full.write(handle, "more", 4, 0, true);
        const auto error_of = [](const auto& result) {
          return result ? 0 : result.error().value();
        };
        if (what == "allocate")
          return error_of(served(pool, f, [&](const proto::Context& context) {
            return pool.fs().fallocate(context, {handle, 0, 8, 0});
          }));
        if (what == "copy") {
          full.faults->fail({Call::kCopyRange, 1, 1, {}}, error);
          proto::CopyFileRangeRequest request;
          request.handle_in = source;
          request.handle_out = handle;
          request.offset_out = 4;
          request.length = 4;
          return error_of(served(pool, f, [&](const proto::Context& context) {
            return pool.fs().copy_file_range(context, request);
          }));
        }
        proto::SetattrRequest request;
        request.size = 8;
        if (what == "truncate") request.handle = handle;
        return error_of(served(pool, f, [&](const proto::Context& context) {
          return pool.fs().setattr(context, request);
        }));
      }();
      CHECK(done == 0);
      CHECK_FALSE(pool.exists(0, name));
      CHECK(pool.text(1, name).size() == 8);
      CHECK(pool.text(1, name).substr(0, 4) == "text");
    }
  }
}

TEST_CASE(
    "relocate: without the option, or without a way to wait, the branch's error is the answer") {
  FullBranch full({"RW", "RW"}, [](ops::Settings& settings) { settings.move_when_full = nullptr; });
  full.pool.file(0, "f", "text");
  const HandleId handle = full.pool.open(full.pool.walk("f"), O_WRONLY);
  CHECK(full.write(handle, "more") == ENOSPC);
  move_when_full(full.pool.settings());
  CHECK(full.pool.write(handle, "more").error().value() == ENOSPC);
  CHECK(full.pool.count("moved_files") + full.pool.count("refused_moves") == 0);
}

TEST_CASE("relocate: with one branch nothing is tried") {
  FullBranch full({"RW"});
  full.pool.file(0, "f", "text");
  const HandleId handle = full.pool.open(full.pool.walk("f"), O_WRONLY);
  CHECK(full.write(handle, "more") == ENOSPC);
  CHECK(full.pool.count("refused_moves") == 0);
}

TEST_CASE("relocate: what was written before the branch was full is not written twice") {
  for (const bool append : {false, true}) {
    for (const bool direct : {false, true}) {
      CAPTURE(append);
      CAPTURE(direct);
      FullBranch full;
      full.pool.file(0, "f", "0123");
      const auto flags = static_cast<std::uint32_t>(O_WRONLY | (append ? O_APPEND : 0));
      const HandleId handle = full.pool.open(full.pool.walk("f"), flags);
      full.faults->reset();
      full.faults->shorten({Call::kWrite, 1, 1, full.pool.branch(0)}, 3);
      full.faults->fail({Call::kWrite, 2, FaultyBacking::kAlways, full.pool.branch(0)}, ENOSPC);
      proto::WriteRequest request;
      request.handle = handle;
      request.offset = append ? 4 : 1;
      request.flags = flags;
      if (direct) request.lock_owner = 1;
      const std::string_view text = "abcdefgh";
      request.data = std::as_bytes(std::span(text.data(), text.size()));
      const auto done = served(full.pool, kRootNode, [&](const proto::Context& context) {
        return full.pool.fs().write(context, request);
      });
      REQUIRE(done.has_value());
      CHECK(*done == text.size());
      CHECK(full.pool.text(1, "f") == (append ? "0123abcdefgh" : "0abcdefgh"));
    }
  }
}

TEST_CASE("relocate: a set of hard links moves whole, if the pool knows all of it") {
  FullBranch full;
  PoolFixture& pool = full.pool;
  pool.file(0, "d/a", "text");
  pool.directory(0, "e");
  for (const char* name : {"e/b", "c"})
    std::filesystem::create_hard_link(pool.branch(0) / "d/a", pool.branch(0) / name);
  const NodeId node = pool.walk("d/a");
  CHECK(pool.walk("e/b") == node);
  const HandleId handle = pool.open(node, O_WRONLY);
  const auto before = trees_of(pool, 2);
  CHECK(full.write(handle, "T") == ENOSPC);
  CHECK(trees_of(pool, 2) == before);
  CHECK(pool.count("refused_moves") == 1);
  CHECK(pool.walk("c") == node);
  CHECK(full.write(handle, "T") == 0);
  CHECK(pool.stat(1, "d/a").st_nlink == 3);
  CHECK(tree_of(pool.branch(0)) == Tree{{"d", "d"}, {"e", "d"}});
  CHECK(tree_of(pool.branch(1)) ==
        Tree{{"c", "f:Text"}, {"d", "d"}, {"d/a", "f:Text"}, {"e", "d"}, {"e/b", "f:Text"}});
  for (const char* name : {"d/a", "e/b", "c"}) CHECK(pool.walk(name) == node);
}

TEST_CASE("relocate: what it must not move stays, and the writer gets the branch's error") {
  SUBCASE("a file that lost its name") {
    FullBranch full;
    full.pool.file(0, "f", "text");
    const HandleId handle = full.pool.open(full.pool.walk("f"), O_RDWR);
    CHECK(full.pool.fs().unlink(full.pool.as(kRootNode), {full.pool.name("f")}).has_value());
    CHECK(full.write(handle, "T") == ENOSPC);
    CHECK(full.pool.read(handle) == "text");
    CHECK(tree_of(full.pool.branch(1)).empty());
  }
  SUBCASE("a file with a copy that would be hidden or written over") {
    for (const std::size_t copy : {1U, 2U}) {
      FullBranch full({"RW", "RW", "RW"});
      full.pool.file(0, "f", "text");
      full.pool.file(copy, "f", "old");
      const auto before = trees_of(full.pool, 3);
      const HandleId handle = full.pool.open(full.pool.walk("f"), O_RDWR);
      CHECK(full.write(handle, "T") == ENOSPC);
      CHECK(trees_of(full.pool, 3) == before);
    }
  }
  SUBCASE("a file that the kernel writes itself") {
    FullBranch full({"RW", "RW"}, move_when_full, PoolFixture::Backings::kTaken);
    full.pool.settings().files.passthrough = ops::PassthroughIo::kReadWrite;
    full.pool.file(0, "f", "text");
    const NodeId f = full.pool.walk("f");
    const HandleId handle = full.pool.open(f, O_RDWR);
    REQUIRE(full.pool.count("backing_files") == 1);
    CHECK(full.write(handle, "T") == ENOSPC);
    CHECK(full.pool.text(0, "f") == "text");
    full.pool.release(handle);
    full.pool.settings().files.passthrough = ops::PassthroughIo::kOff;
    CHECK(full.write(full.pool.open(f, O_RDWR), "T") == 0);
    CHECK(full.pool.text(1, "f") == "Text");
  }
  SUBCASE("a file when no branch has room, may be written or is allowed to") {
    for (const char* mode : {"RO", "NC", "RW,100T"}) {
      FullBranch full({"RW", mode});
      full.pool.file(0, "f", "text");
      CHECK(full.write(full.pool.open(full.pool.walk("f"), O_WRONLY), "T") == ENOSPC);
      CHECK(full.pool.text(0, "f") == "text");
    }
  }
  SUBCASE("a file larger than what is left on any branch") {
    FullBranch full;
    full.pool.file(0, "f", std::string(8192, 'x'));
    full.faults->bend_statfs([](ops::FsStat& stat, int) {
      stat.blocks_available = 8192 / stat.fragment_size + (stat.fragment_size < 8192 ? 0 : 1);
    });
    CHECK(full.write(full.pool.open(full.pool.walk("f"), O_WRONLY), "T") == ENOSPC);
    CHECK(full.pool.exists(0, "f"));
  }
}

TEST_CASE("relocate: a file that is open by two nodes stays") {
  FullBranch full({"RW", "RW"}, [](ops::Settings& settings) {
    move_when_full(settings);
    settings.links.cow = true;
  });
  PoolFixture& pool = full.pool;
  pool.file(0, "f", "text");
  std::filesystem::create_hard_link(pool.branch(0) / "f", pool.branch(0) / "g");
  const NodeId f = pool.walk("f");
  const NodeId g = pool.walk("g");
  REQUIRE(f != g);
  const HandleId reader = pool.open(f, O_RDONLY);
  std::filesystem::remove(pool.branch(0) / "f");
  const HandleId writer = pool.open(g, O_WRONLY);
  CHECK(full.write(writer, "T") == ENOSPC);
  CHECK(pool.text(0, "g") == "text");
  pool.release(reader);
  CHECK(full.write(writer, "T") == 0);
  CHECK(pool.text(1, "g") == "Text");
}

TEST_CASE("relocate: a branch that turns out to be full or in the way is passed over") {
  FullBranch full({"RW", "RW", "RW"});
  PoolFixture& pool = full.pool;
  pool.file(0, "d/f", "text");
  pool.file(0, "d/g", "text");
  SUBCASE("no room for the copy") {
    full.faults->fail({Call::kCopyRange, 1, 1, {}}, ENOSPC);
  }
  SUBCASE("no room for its name") {
    full.faults->fail({Call::kLinkFd, 1, 1, {}}, ENOSPC);
  }
  SUBCASE("something else has the directory's name") {
    pool.file(1, "d", "no directory");
  }
  CHECK(full.write(pool.open(pool.walk("d/f"), O_WRONLY), "T") == 0);
  CHECK(pool.text(2, "d/f") == "Text");
  CHECK_FALSE(pool.exists(1, "d/f"));
  CHECK_FALSE(pool.exists(0, "d/f"));
}

TEST_CASE("relocate: where a file needs a name, it has a hidden one until it is whole") {
  FullBranch full;
  PoolFixture& pool = full.pool;
  pool.file(0, "d/f", "text");
  const HandleId handle = pool.open(pool.walk("d/f"), O_WRONLY);
  full.faults->fail({Call::kOpenUnnamed, 1, 1, {}}, EOPNOTSUPP);
  SUBCASE("") {}
  SUBCASE("and no rename knows flags") {
    full.faults->fail({Call::kRenameAt, 2, 1, {}}, EINVAL);
  }
  bool hidden = false;
  full.while_copied([&] {
    for (const auto& [name, text] : tree_of(pool.branch(1)))
      hidden = hidden || (name.starts_with(".boughfs-") && name.ends_with(".part"));
  });
  CHECK(full.write(handle, "T") == 0);
  CHECK(hidden);
  CHECK(tree_of(pool.branch(1)) == Tree{{"d", "d"}, {"d/f", "f:Text"}});
}

TEST_CASE("relocate: readers and names go on while a file is copied, writers wait") {
  FullBranch full;
  PoolFixture& pool = full.pool;
  pool.file(0, "a", "0123456789");
  pool.directory(0, "d");
  const NodeId a = pool.walk("a");
  const NodeId d = pool.walk("d");
  const HandleId writer = pool.open(a, O_RDWR);
  proto::WriteRequest write;
  write.handle = writer;
  write.data = std::as_bytes(std::span("X", 1));
  proto::PutOff later;
  HandleId opened;
  full.while_copied([&] {
    CHECK(pool.read(writer, 0, 4) == "0123");
    proto::Context context = pool.as(kRootNode);
    context.put_off = &later;
    (void)pool.fs().write(context, write);
    // Who is interrupted waits no longer; who cannot wait is told.
    pool.port().is_interrupted = true;
    proto::PutOff given_up;
    context.put_off = &given_up;
    CHECK(pool.fs().write(context, write).error().value() == EINTR);
    CHECK(given_up.until == 0);
    pool.port().is_interrupted = false;
    CHECK(pool.write(writer, "Y").error().value() == EBUSY);
    proto::SetattrRequest mode;
    mode.mode = 0600;
    proto::PutOff also;
    context = pool.as(a);
    context.put_off = &also;
    (void)pool.fs().setattr(context, mode);
    CHECK(also.until == later.until);
    // What is opened meanwhile waits as well.
    opened = pool.open(a, O_WRONLY);
    CHECK(pool.write(opened, "Z").error().value() == EBUSY);
    CHECK(full.rename("a", "b") == 0);
    auto linked = pool.fs().link(pool.as(d), {a, pool.name("c")});
    REQUIRE(linked.has_value());
    CHECK(pool.keep(*linked) == a);
  });
  CHECK(full.write(writer, "!", 10) == 0);
  CHECK(later.until != 0);
  CHECK(pool.port().wait_resumed(later.until));
  CHECK_FALSE(pool.fs().still_waits(later.until));
  CHECK(tree_of(pool.branch(0)) == Tree{{"d", "d"}});
  CHECK(tree_of(pool.branch(1)) ==
        Tree{{"b", "f:0123456789!"}, {"d", "d"}, {"d/c", "f:0123456789!"}});
  CHECK(full.write(writer, "X") == 0);
  CHECK(full.write(opened, "Z", 1) == 0);
  CHECK(pool.text(1, "b") == "XZ23456789!");
}

TEST_CASE("relocate: a change behind the pool, or the loss of the name, ends the move") {
  FullBranch full;
  PoolFixture& pool = full.pool;
  pool.file(0, "f", "text");
  const NodeId f = pool.walk("f");
  const HandleId handle = pool.open(f, O_RDWR);
  SUBCASE("its content changes each time") {
    full.faults->before({Call::kCopyRange, 1, FaultyBacking::kAlways, pool.branch(0)}, [&] {
      ::usleep(20000);
      std::ofstream(pool.branch(0) / "f", std::ios::app) << "+";
    });
    CHECK(full.write(handle, "T") == ENOSPC);
    CHECK(pool.text(0, "f") == "text+++");
    CHECK(pool.read(handle) == "text+++");
  }
  SUBCASE("its content changes once: it is copied again") {
    full.while_copied([&] {
      ::usleep(20000);
      std::ofstream(pool.branch(0) / "f", std::ios::app) << "+";
    });
    CHECK(full.write(handle, "T") == 0);
    CHECK(pool.text(1, "f") == "Text+");
    return;
  }
  SUBCASE("it is removed") {
    full.while_copied(
        [&] { CHECK(pool.fs().unlink(pool.as(kRootNode), {pool.name("f")}).has_value()); });
    CHECK(full.write(handle, "T") == ENOSPC);
    CHECK(pool.read(handle) == "text");
  }
  SUBCASE("something comes to lie under the name on the target") {
    full.while_copied([&] { pool.file(1, "f", "another"); });
    CHECK(full.write(handle, "T") == ENOSPC);
    CHECK(tree_of(pool.branch(1)) == Tree{{"f", "f:another"}});
    CHECK(pool.text(0, "f") == "text");
    return;
  }
  CHECK(tree_of(pool.branch(1)).empty());
}

TEST_CASE("relocate: when the old names cannot all go, the new file is the file") {
  FullBranch full;
  PoolFixture& pool = full.pool;
  pool.file(0, "d/f", "text");
  std::filesystem::create_hard_link(pool.branch(0) / "d/f", pool.branch(0) / "d/g");
  const NodeId d = pool.walk("d");
  const NodeId node = pool.walk("d/f");
  CHECK(pool.walk("d/g") == node);
  const HandleId writer = pool.open(node, O_RDWR);
  SUBCASE("some have gone") {
    full.faults->fail({Call::kUnlinkAt, 2, FaultyBacking::kAlways, pool.branch(0)}, EROFS);
    full.faults->fail({Call::kLinkFd, 1, FaultyBacking::kAlways, pool.branch(0)}, EROFS);
  }
  SUBCASE("none has, but nothing can be opened for writing there any more") {
    // When the handles have gone over and it is asked who else is there.
    full.faults->before({Call::kHasWriters, 1, 1, {}}, [&] {
      full.faults->fail({Call::kUnlinkAt, 1, FaultyBacking::kAlways, pool.branch(0)}, EROFS);
      full.faults->fail({Call::kReopen, 1, FaultyBacking::kAlways, pool.branch(0)}, EROFS);
    });
  }
  CHECK(full.write(writer, "T") == 0);
  CHECK(pool.text(1, "d/f") == "Text");
  CHECK((pool.exists(0, "d/f") || pool.exists(0, "d/g")));
  // Nobody is shown what is left.
  for (const char* name : {"d/f", "d/g"}) {
    CHECK(pool.walk(name) == node);
    CHECK(pool.read(pool.open(pool.walk(name), O_RDONLY)) == "Text");
  }
  CHECK(pool.list(d) == std::vector<std::string>{"f", "g"});
  CHECK(pool.fs().unlink(pool.as(d), {pool.name("f")}).has_value());
  CHECK_FALSE(pool.lookup(d, "f").has_value());
  CHECK(pool.list(d) == std::vector<std::string>{"g"});
  // The next start has it removed.
  {
    PoolFixture next({}, {}, [&](ops::Settings& settings) {
      settings.branches = pool.branch(0).string() + ":" + pool.branch(1).string();
    });
  }
  CHECK(tree_of(pool.branch(0)) == Tree{{"d", "d"}});
  CHECK(tree_of(pool.branch(1)) == Tree{{"d", "d"}, {"d/g", "f:Text"}});
}

TEST_CASE("relocate: a copy that was given up and cannot be removed is hidden") {
  FullBranch full;
  PoolFixture& pool = full.pool;
  pool.file(0, "d/f", "text");
  const NodeId d = pool.walk("d");
  const HandleId writer = pool.open(pool.walk("d/f"), O_RDWR);
  full.faults->fail({Call::kUnlinkAt, 1, FaultyBacking::kAlways, {}}, EIO);
  CHECK(full.write(writer, "T") == ENOSPC);
  full.faults->reset();
  REQUIRE(pool.exists(1, "d/f"));
  CHECK(pool.fs().unlink(pool.as(d), {pool.name("f")}).has_value());
  CHECK_FALSE(pool.lookup(d, "f").has_value());
  CHECK(pool.list(d).empty());
}

TEST_CASE("relocate: a file that somebody else has open for writing stays") {
  FullBranch full;
  PoolFixture& pool = full.pool;
  pool.file(0, "f", "text");
  const NodeId f = pool.walk("f");
  const HandleId writer = pool.open(f, O_RDWR);
  const HandleId direct = pool.open(f, O_RDWR | O_DIRECT);
  const HandleId reader = pool.open(f, O_RDONLY);
  {
    const ops::Fd other(::open((pool.branch(0) / "f").c_str(), O_WRONLY | O_CLOEXEC));
    CHECK(full.write(writer, "T") == ENOSPC);
    CHECK(tree_of(pool.branch(1)).empty());
    REQUIRE(pool.heard().size() == 1);
    CHECK(pool.heard()[0].find("open for writing") != std::string::npos);
    CHECK(::pwrite(other.get(), "N", 1, 0) == 1);
  }
  // Each handle is what it was, and has the file open as it had.
  full.faults->reset();
  for (const HandleId handle : {writer, direct, reader}) CHECK(pool.read(handle) == "Next");
  CHECK(pool.write(writer, "n").has_value());
  CHECK(pool.text(0, "f") == "next");
}

TEST_CASE("relocate: who else reads a file does not keep it") {
  FullBranch full;
  full.pool.file(0, "f", "text");
  const HandleId writer = full.pool.open(full.pool.walk("f"), O_RDWR);
  const ops::Fd other(::open((full.pool.branch(0) / "f").c_str(), O_RDONLY | O_CLOEXEC));
  CHECK(full.write(writer, "T") == 0);
  CHECK(full.pool.text(1, "f") == "Text");
}

TEST_CASE("relocate: to users nothing is new in the root") {
  FullBranch full;
  PoolFixture& pool = full.pool;
  pool.file(0, "f", "text");
  const HandleId writer = pool.open(pool.walk("f"), O_WRONLY);
  bool unnamed = true;
  SUBCASE("") {}
  SUBCASE("where a file needs a name") {
    unnamed = false;
    full.faults->fail({Call::kOpenUnnamed, 1, 1, {}}, EOPNOTSUPP);
  }
  CAPTURE(unnamed);
  struct timespec times[2] = {};
  times[0].tv_sec = times[1].tv_sec = 1000000;
  for (const std::size_t branch : {0U, 1U})
    REQUIRE(::utimensat(AT_FDCWD, pool.branch(branch).c_str(), times, 0) == 0);
  CHECK(full.write(writer, "T") == 0);
  CHECK(pool.exists(1, "f"));
  for (const std::size_t branch : {0U, 1U}) CHECK(pool.stat(branch, "").st_mtim.tv_sec == 1000000);
}

TEST_CASE("relocate: a file that is known keeps its number, in listings as well") {
  FullBranch full;
  PoolFixture& pool = full.pool;
  pool.file(0, "f", "text");
  const NodeId f = pool.walk("f");
  const std::uint64_t ino = full.ino(f);
  CHECK(full.write(pool.open(f, O_WRONLY), "T") == 0);
  CHECK(full.ino(f) == ino);
  auto opened = pool.fs().opendir(pool.as(kRootNode), {});
  REQUIRE(opened.has_value());
  bool listed = false;
  for (const auto& each : pool.readdir(pool.keep(*opened, true))) {
    if (each.name != "f") continue;
    listed = true;
    CHECK(each.ino == ino);
  }
  CHECK(listed);
}

TEST_CASE("relocate: a handle's requests go along to the lane of the new branch") {
  FullBranch full;
  PoolFixture& pool = full.pool;
  pool.file(0, "f", "text");
  pool.file(1, "g", "text");
  const auto lane = [&](HandleId handle) {
    proto::ReadRequest request;
    request.handle = handle;
    return pool.fs().lane(proto::RequestHeader{}, request);
  };
  const HandleId f = pool.open(pool.walk("f"), O_WRONLY);
  const HandleId g = pool.open(pool.walk("g"), O_WRONLY);
  CHECK(lane(f) != lane(g));
  CHECK(full.write(f, "T") == 0);
  CHECK(lane(f) == lane(g));
}

TEST_CASE("relocate: space that was reserved stays reserved") {
  FullBranch full;
  PoolFixture& pool = full.pool;
  constexpr off_t kSize = 1 << 20;
  pool.file(0, "f", "text");
  const std::string path = pool.branch(0) / "f";
  ops::Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  off_t reserved = kSize;
  SUBCASE("in the file") {
    REQUIRE(::fallocate(fd.get(), 0, 0, kSize) == 0);
  }
  SUBCASE("behind its end") {
    REQUIRE(::fallocate(fd.get(), FALLOC_FL_KEEP_SIZE, 0, kSize) == 0);
  }
  SUBCASE("not at all") {
    REQUIRE(::ftruncate(fd.get(), kSize) == 0);
    reserved = 0;
  }
  const struct stat before = pool.stat(0, "f");
  fd.reset();
  CHECK(full.write(pool.open(pool.walk("f"), O_WRONLY), "T") == 0);
  const struct stat after = pool.stat(1, "f");
  CHECK(after.st_size == before.st_size);
  CHECK(after.st_blocks * 512 >= reserved);
  if (reserved == 0) CHECK(after.st_blocks * 512 < kSize);
}

TEST_CASE("relocate: what is said of a move") {
  using Told = ops::MoveTold;
  const Told begun{"d/f", "/a", "/b", 300 << 20, 0, {}};
  CHECK(ops::text_of(begun) == "d/f from /a to /b: 0 KiB of 300 MiB");
  const Told half{"d/f", "/a", "/b", 300 << 20, 100 << 20, std::chrono::seconds(2)};
  CHECK(ops::text_of(half) == "d/f from /a to /b: 100 MiB of 300 MiB, 50 MiB/s, 4 s left");
  FullBranch full;
  full.pool.file(0, "f", "text");
  full.while_copied([&] {
    std::array<char, 256> value{};
    auto control = full.pool.lookup(kRootNode, ".boughfs");
    REQUIRE(control.has_value());
    const auto got = full.pool.fs().getxattr(full.pool.as(control->entry.node),
                                             {"user.boughfs.moves", value.size()},
                                             std::as_writable_bytes(std::span(value)));
    REQUIRE(got.has_value());
    CHECK(
        std::string_view(value.data(), *got).starts_with("f from " + full.pool.branch(0).string()));
  });
  CHECK(full.write(full.pool.open(full.pool.walk("f"), O_WRONLY), "T") == 0);
  REQUIRE(full.pool.complaints.size() == 1);
  CHECK(full.pool.complaints[0].starts_with("moved f ("));
}

TEST_CASE("relocate: a pool that ends does not wait for a copy") {
  SmallPool small;
  FakePort port;
  small.pool.port = &port;
  small.settings.min_free = 0;
  move_when_full(small.settings);
  std::ofstream(small.path(0) / "f") << "text";
  const ops::Fd fd(::open((small.path(0) / "f").c_str(), O_PATH | O_CLOEXEC));
  const auto stat = small.faults.stat(fd.get());
  REQUIRE(stat.has_value());
  const auto counted =
      small.pool.nodes.count_file(kRootNode, "f", ops::Location{small.branch(0).id(), stat->id}, 1);
  REQUIRE(counted.has_value());
  SecondThread other;
  bool stopped = false;
  small.faults.before({Call::kCopyRange, 1, 1, {}}, [&] {
    other.start([&] { stopped = small.pool.relocations.stop(std::chrono::seconds(20)); });
    CHECK_FALSE(other.wait_for(std::chrono::milliseconds(50)));
  });
  const std::uint64_t move = small.pool.relocations.want(counted->node, 1);
  REQUIRE(move != 0);
  CHECK(port.wait_resumed(move));
  other.finish();
  CHECK(stopped);
  CHECK(small.pool.relocations.came_to_nothing(move));
  CHECK(tree_of(small.path(0)) == Tree{{"f", "f:text"}});
  CHECK(tree_of(small.path(1)).empty());
  CHECK(small.pool.relocations.want(counted->node, 1) == 0);
}

TEST_CASE("relocate: its threads end in the quiet, and others come when they are needed") {
  FullBranch full;
  const auto threads = [] {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator("/proc/self/task"))
      ++count;
    return count;
  };
  const std::size_t before = threads();
  for (const char* name : {"f", "g"}) {
    full.pool.file(0, name, "text");
    CHECK(full.write(full.pool.open(full.pool.walk(name), O_WRONLY), "T") == 0);
    CHECK(threads() == before + 1);
    full.pool.fs().idle();
    for (int naps = 0; threads() != before && naps < 2000; ++naps) ::usleep(10000);
    CHECK(threads() == before);
  }
}

TEST_CASE("create: a branch that has no room for a new file is passed over") {
  FullBranch full;
  full.faults->fail({Call::kOpenAt, 1, 1, full.pool.branch(0)}, ENOSPC);
  const proto::CreateRequest request{full.pool.name("f"), O_WRONLY, 0644, 0, false, {}};
  full.pool.settings().create = policy::find(policy::create_policies(), "ff");
  auto made = full.pool.fs().create(full.pool.as(kRootNode), request);
  REQUIRE(made.has_value());
  full.pool.keep(made->entry);
  full.pool.keep(made->open);
  CHECK(full.pool.exists(1, "f"));
  CHECK_FALSE(full.pool.exists(0, "f"));
}

namespace {

/// Requests to one pool from several threads.
class Crowd {
 public:
  explicit Crowd(FullBranch& full) : full_(full), fs_(full.pool.fs()) {}

  template <class Call>
  auto serve(NodeId node, Call call) -> decltype(call(std::declval<const proto::Context&>())) {
    proto::PutOff how;
    proto::Context context;
    context.unique = proto::Unique{next_.fetch_add(2)};
    context.node = node;
    context.put_off = &how;
    for (;;) {
      auto result = call(context);
      if (how.until == 0) return result;
      if (!full_.pool.port().wait_resumed(how.until)) throw std::runtime_error("never resumed");
      how.after = std::exchange(how.until, 0);
      ++how.times;
    }
  }
  /// Whether it was written; ENOSPC is the only reason not to be.
  bool write(HandleId handle, std::span<const std::byte> data, std::uint64_t offset,
             std::uint32_t flags) {
    proto::WriteRequest request;
    request.handle = handle;
    request.offset = offset;
    request.flags = flags;
    request.data = data;
    const auto done = serve(
        kRootNode, [&](const proto::Context& context) { return fs_.write(context, request); });
    if (done && *done != data.size()) throw std::runtime_error("a short write");
    if (!done && done.error() != proto::Errno{ENOSPC})
      throw std::runtime_error("errno " + std::to_string(done.error().value()));
    return done.has_value();
  }
  void start(std::function<void()> work) {
    threads_.emplace_back([this, work = std::move(work)] {
      fs_.thread_started();
      try {
        while (!over.load()) work();
      } catch (const std::exception& error) {
        const std::lock_guard lock(mutex_);
        errors_ += std::string(error.what()) + "; ";
      }
    });
  }
  std::string end() {
    over = true;
    for (auto& each : threads_) each.join();
    return errors_;
  }

  std::atomic<bool> over{false};

 private:
  FullBranch& full_;
  proto::Filesystem& fs_;
  std::atomic<std::uint64_t> next_{1U << 20U};
  std::mutex mutex_;
  std::string errors_;
  std::vector<std::thread> threads_;
};

}  // namespace

TEST_CASE("relocate: nothing is lost that many write while a file moves to and fro") {
  constexpr std::size_t kBlock = 512;
  constexpr std::size_t kWriters = 3;
  FullBranch full({"RW", "RW", "RW"});
  full.faults->reset();
  PoolFixture& pool = full.pool;
  pool.file(0, "f", std::string(kWriters * kBlock, '\0'));
  const NodeId f = pool.walk("f");
  Crowd crowd(full);
  std::array<std::uint8_t, kWriters> written{};
  for (std::size_t i = 0; i < kWriters; ++i) {
    const HandleId handle = pool.open(f, O_RDWR);
    crowd.start([&, i, handle] {
      const std::vector<std::byte> block(kBlock, std::byte(written[i] + 1));
      if (crowd.write(handle, block, i * kBlock, O_RDWR)) ++written[i];
    });
  }
  std::uint64_t appended = 0;
  const HandleId appender = pool.open(f, O_WRONLY | O_APPEND);
  crowd.start([&] {
    const auto bytes = std::as_bytes(std::span(&appended, 1));
    if (crowd.write(appender, bytes, 0, O_WRONLY | O_APPEND)) ++appended;
  });
  const HandleId reader = pool.open(f, O_RDONLY);
  crowd.start([&] {
    std::array<std::byte, kBlock> block{};
    proto::ReadRequest request;
    request.handle = reader;
    request.size = kBlock;
    const auto got = crowd.serve(kRootNode, [&](const proto::Context& context) {
      return pool.fs().read(context, request, block);
    });
    if (!got || *got != kBlock) throw std::runtime_error("not read");
  });
  crowd.start([&] {
    auto opened = crowd.serve(f, [&](const proto::Context& context) {
      return pool.fs().open(context, {O_RDWR, false});
    });
    // Renamed just then: the kernel looks the name up once more.
    if (!opened && opened.error() != proto::Errno{ESTALE})
      throw std::runtime_error("not opened: " + std::to_string(opened.error().value()));
    // A claim that is not kept closes it.
  });
  const std::array names{pool.name("f"), pool.name("g")};
  std::size_t name = 0;
  crowd.start([&] {
    const auto done = crowd.serve(kRootNode, [&](const proto::Context& context) {
      return pool.fs().rename(context, {kRootNode, names[name], names[1 - name], 0});
    });
    if (!done) throw std::runtime_error("not renamed");
    name = 1 - name;
    ::usleep(3000);
  });
  constexpr std::uint64_t kMoves = 10;
  for (int i = 0; i < 100 && pool.count("moved_files") < kMoves; ++i) {
    const std::uint64_t before = pool.count("moved_files");
    full.faults->reset();
    full.faults->fail({Call::kWrite, 1, 1, {}}, ENOSPC);
    // Another fault would meet the move's own writes, and end it.
    for (int naps = 0; naps < 500 && pool.count("moved_files") == before; ++naps) ::usleep(4000);
  }
  CHECK(crowd.end() == "");
  full.faults->reset();
  CHECK(pool.count("moved_files") >= kMoves);
  std::size_t holders = 0;
  for (std::size_t branch = 0; branch < 3; ++branch) {
    const Tree tree = tree_of(pool.branch(branch));
    if (tree.empty()) continue;
    ++holders;
    CHECK(tree.size() == 1);
    const std::string text = pool.text(branch, name == 0 ? "f" : "g");
    REQUIRE(text.size() == kWriters * kBlock + appended * sizeof appended);
    for (std::size_t i = 0; i < kWriters; ++i)
      CHECK(text.substr(i * kBlock, kBlock) == std::string(kBlock, static_cast<char>(written[i])));
    for (std::uint64_t i = 0; i < appended; ++i) {
      std::uint64_t number = 0;
      std::memcpy(&number, text.data() + kWriters * kBlock + i * sizeof number, sizeof number);
      if (number != i) FAIL("record " << i << " is " << number);
    }
    CHECK(pool.read(reader) == text.substr(0, 65536));
  }
  CHECK(holders == 1);
}

namespace {

/// A file with two names on the first branch, which is full, is opened twice, written to by one,
/// read by the other; the errno, and what the file is to be then.
struct Attempt {
  int error = 0;
  std::string text = "0123456789";
};

Attempt attempt(FullBranch& full) {
  PoolFixture& pool = full.pool;
  Attempt done;
  const auto look = [&](NodeId parent, const char* name) {
    if (done.error != 0) return kRootNode;
    auto entry = pool.lookup(parent, name);
    if (!entry) done.error = entry.error().value();
    return entry ? pool.keep(*entry) : kRootNode;
  };
  const NodeId d = look(kRootNode, "d");
  const NodeId e = look(kRootNode, "e");
  const NodeId f = look(d, "f");
  (void)look(e, "g");
  if (done.error != 0) return done;
  proto::OpenRequest request;
  request.flags = O_RDWR;
  auto first = pool.fs().open(pool.as(f), request);
  auto second = pool.fs().open(pool.as(f), request);
  if (first) {
    const HandleId writer = pool.keep(*first);
    done.error = full.write(writer, "ABC", 9);
    if (done.error == 0) done.text = "012345678ABC";
    pool.release(writer);
  } else {
    done.error = first.error().value();
  }
  if (second) {
    const HandleId reader = pool.keep(*second);
    const std::uint64_t calls = full.faults->calls(Call::kAny);
    full.faults->reset();
    full.calls = calls;
    CHECK(pool.read(reader) == done.text);
    pool.release(reader);
  }
  return done;
}

}  // namespace

TEST_CASE("relocate: whichever call fails, the file is whole in one place") {
  constexpr std::uint64_t kMost = 1000;
  for (const bool named : {false, true}) {
    for (const int error : {EIO, ENOSPC}) {
      CAPTURE(named);
      CAPTURE(error);
      FullBranch full;
      PoolFixture& pool = full.pool;
      const Tree empty{{"d", "d"}, {"e", "d"}};
      for (const std::size_t branch : {0U, 1U})
        for (const char* name : {"d", "e"}) pool.directory(branch, name);
      std::uint64_t moved = 0;
      bool reached = true;
      for (std::uint64_t k = 1; reached && k <= kMost; ++k) {
        CAPTURE(k);
        pool.file(0, "d/f", "0123456789");
        std::filesystem::create_hard_link(pool.branch(0) / "d/f", pool.branch(0) / "e/g");
        pool.fs().idle();
        const std::size_t descriptors = open_descriptors();
        full.fill();
        full.calls = 0;
        if (named)
          full.faults->fail({Call::kOpenUnnamed, 1, FaultyBacking::kAlways, {}}, EOPNOTSUPP);
        full.faults->fail({Call::kAny, k, 1, {}}, error);
        const Attempt done = attempt(full);
        reached = std::max(full.calls, full.faults->calls(Call::kAny)) >= k;
        full.faults->reset();
        if (!reached) CHECK(done.error == 0);
        CHECK((done.error == 0 || done.error == error || done.error == ENOSPC));
        pool.forget_all();
        pool.fs().idle();
        CHECK(open_descriptors() == descriptors);
        CHECK(pool.count("nodes") == 1);
        CHECK(pool.count("holds") == 0);
        // What may still lie about is ended by the next start.
        {
          PoolFixture next({}, {}, [&](ops::Settings& settings) {
            settings.branches = pool.branch(0).string() + ":" + pool.branch(1).string();
          });
        }
        const Tree whole{
            {"d", "d"}, {"d/f", "f:" + done.text}, {"e", "d"}, {"e/g", "f:" + done.text}};
        const std::size_t has = pool.exists(0, "d/f") ? 0 : 1;
        moved += has;
        CHECK(tree_of(pool.branch(has)) == whole);
        CHECK(tree_of(pool.branch(1 - has)) == empty);
        CHECK(pool.stat(has, "d/f").st_nlink == 2);
        for (const char* name : {"d/f", "e/g"})
          for (const std::size_t branch : {0U, 1U})
            std::filesystem::remove(pool.branch(branch) / name);
      }
      CHECK_FALSE(reached);
      CHECK(moved > 1);
    }
  }
}

}  // namespace bough::test
