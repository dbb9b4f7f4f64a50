#include <doctest/doctest.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <filesystem>
#include <sstream>

#include "test/support/full_root.hpp"
#include "test/support/pool_fixture.hpp"

using namespace bough;
using proto::kRootNode;
using proto::SetattrRequest;
using proto::TimeChange;
using test::PoolFixture;

namespace {

template <class T>
int errno_of(const proto::Result<T>& reply) {
  return reply ? 0 : reply.error().value();
}

/// Everything of a file that SETATTR may touch.
std::string state(const PoolFixture& pool, std::size_t branch, const std::string& path) {
  const auto stat = pool.stat(branch, path);
  std::ostringstream text;
  text << std::oct << stat.st_mode << std::dec << ' ' << stat.st_uid << ' ' << stat.st_gid << ' '
       << stat.st_size << ' ' << stat.st_mtim.tv_sec << '.' << stat.st_mtim.tv_nsec << ' '
       << stat.st_atim.tv_sec << '.' << stat.st_atim.tv_nsec;
  return text.str();
}

void pause_clock() {
  const timespec time{0, 20'000'000};
  ::nanosleep(&time, nullptr);
}

}  // namespace

TEST_CASE("getattr: what the branch says, by node") {
  if (!test::may_act_as_root()) return;
  PoolFixture pool;
  pool.file(0, "d/f", "12345", 0640);
  REQUIRE(::chown((pool.branch(0) / "d/f").c_str(), 11, 22) == 0);
  const auto f = pool.walk("d/f");
  const auto stat = pool.stat(0, "d/f");
  const auto reply = pool.fs().getattr(pool.as(f), {});
  REQUIRE(reply.has_value());
  CHECK(reply->attr.size == 5);
  CHECK(reply->attr.mode == 0100640);
  CHECK(reply->attr.uid == 11);
  CHECK(reply->attr.gid == 22);
  CHECK(reply->attr.nlink == 1);
  CHECK(reply->attr.blocks == static_cast<std::uint64_t>(stat.st_blocks));
  CHECK(reply->attr.mtime.seconds == stat.st_mtim.tv_sec);
  CHECK(reply->attr.mtime.nanoseconds == static_cast<std::uint32_t>(stat.st_mtim.tv_nsec));
  CHECK(reply->attr.block_size == static_cast<std::uint32_t>(stat.st_blksize));
  CHECK(reply->attr_valid.count() > 0);
}

TEST_CASE("getattr: device numbers in the kernel's form") {
  if (!test::may_act_as_root()) return;
  PoolFixture pool;
  REQUIRE(::mknod((pool.branch(0) / "dev").c_str(), S_IFCHR | 0600, makedev(0x123, 0x45678)) == 0);
  const auto reply = pool.lookup(kRootNode, "dev");
  REQUIRE(reply.has_value());
  CHECK(reply->entry.attr.rdev == ((0x45678U & 0xffU) | 0x123U << 8 | (0x45678U & ~0xffU) << 12));
}

TEST_CASE("getattr: by another name when the last used one leads elsewhere") {
  PoolFixture pool;
  pool.file(0, "a", "same");
  std::filesystem::create_hard_link(pool.branch(0) / "a", pool.branch(0) / "b");
  std::filesystem::create_hard_link(pool.branch(0) / "a", pool.branch(0) / "c");
  const auto node = pool.walk("a");
  CHECK(pool.walk("b") == node);
  CHECK(pool.walk("c") == node);
  std::filesystem::remove(pool.branch(0) / "c");
  pool.file(0, "c", "stranger");
  CHECK(pool.fs().getattr(pool.as(node), {})->attr.size == 4);
  std::filesystem::remove(pool.branch(0) / "a");
  CHECK(pool.fs().getattr(pool.as(node), {})->attr.size == 4);
  std::filesystem::remove(pool.branch(0) / "b");
  CHECK(errno_of(pool.fs().getattr(pool.as(node), {})) == ESTALE);
}

TEST_CASE("getattr: by handle, even when no name is left; another's handle is EBADF") {
  PoolFixture pool;
  pool.file(0, "f", "abc");
  const auto f = pool.walk("f");
  const auto handle = pool.open(f, O_RDONLY);
  const auto named = pool.fs().getattr(pool.as(f), {});
  std::filesystem::remove(pool.branch(0) / "f");
  const auto by_handle = pool.fs().getattr(pool.as(f), {handle});
  REQUIRE(by_handle.has_value());
  CHECK(by_handle->attr.nlink == 0);
  CHECK(by_handle->attr.ino == named->attr.ino);
  CHECK(errno_of(pool.fs().getattr(pool.as(f), {proto::HandleId{handle.value + 1000}})) == EBADF);
}

TEST_CASE("a descriptor of a file that was replaced behind the pool goes on working") {
  PoolFixture pool;
  pool.file(0, "f", "old");
  const auto f = pool.walk("f");
  CHECK(errno_of(pool.fs().getattr(pool.as(f), {})) == 0);
  pool.file(0, "other", "new text");
  std::filesystem::rename(pool.branch(0) / "other", pool.branch(0) / "f");
  CHECK(errno_of(pool.fs().getattr(pool.as(f), {})) == ESTALE);

  std::filesystem::remove(pool.branch(0) / "f");
  pool.file(0, "f", "next");
  const auto next = pool.walk("f");
  pool.open(next, O_RDWR);
  pool.file(0, "other", "new text");
  std::filesystem::rename(pool.branch(0) / "other", pool.branch(0) / "f");
  const auto attr = pool.fs().getattr(pool.as(next), {});
  REQUIRE(attr.has_value());
  CHECK(attr->attr.size == 4);
  proto::SetattrRequest change;
  change.mode = 0640;
  const auto changed = pool.fs().setattr(pool.as(next), change);
  REQUIRE(changed.has_value());
  CHECK((changed->attr.mode & 07777) == 0640);
  CHECK(errno_of(pool.fs().open(pool.as(next), {O_RDONLY, false})) == ESTALE);
}

TEST_CASE("getattr: directories of several branches, the first one shows") {
  PoolFixture pool({"RW", "RW"});
  pool.directory(0, "d", 0750);
  pool.directory(1, "d", 0700);
  const auto d = pool.walk("d");
  const auto ino = pool.fs().getattr(pool.as(d), {})->attr.ino;
  CHECK(pool.fs().getattr(pool.as(d), {})->attr.mode == 0040750);
  std::filesystem::remove(pool.branch(0) / "d");
  CHECK(pool.fs().getattr(pool.as(d), {})->attr.mode == 0040700);
  CHECK(pool.fs().getattr(pool.as(d), {})->attr.ino == ino);
  std::filesystem::remove(pool.branch(1) / "d");
  CHECK(errno_of(pool.fs().getattr(pool.as(d), {})) == ESTALE);
}

TEST_CASE("getattr: the root answers when every branch is gone") {
  test::FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW"}, test::with_faults(faults));
  const auto whole = pool.fs().getattr(pool.as(kRootNode), {});
  REQUIRE(whole.has_value());
  pool.fs().idle();
  faults->fail({test::Call::kOpenRoot, 1, test::FaultyBacking::kAlways, {}}, ENOENT);
  const auto bare = pool.fs().getattr(pool.as(kRootNode), {});
  REQUIRE(bare.has_value());
  CHECK((bare->attr.mode & S_IFMT) == S_IFDIR);
  CHECK(bare->attr.ino == whole->attr.ino);
  faults->reset();
}

TEST_CASE("statx: birth time and every basic field") {
  PoolFixture pool;
  pool.file(0, "f", "abc");
  const auto f = pool.walk("f");
  const auto reply = pool.fs().statx(pool.as(f), {std::nullopt, 0, 0xfff});
  REQUIRE(reply.has_value());
  CHECK((reply->mask & 0x7ff) == 0x7ff);
  struct statx native {};
  REQUIRE(::statx(AT_FDCWD, (pool.branch(0) / "f").c_str(), 0, 0xfff, &native) == 0);
  CHECK((reply->mask & STATX_BTIME) == (native.stx_mask & STATX_BTIME));
  if ((native.stx_mask & STATX_BTIME) != 0) {
    CHECK(reply->btime.seconds == native.stx_btime.tv_sec);
    CHECK(reply->btime.nanoseconds == native.stx_btime.tv_nsec);
  }
  CHECK(reply->attributes == native.stx_attributes);
  CHECK(reply->attr.size == 3);
}

TEST_CASE("setattr: each field alone") {
  if (!test::may_act_as_root()) return;
  PoolFixture pool;
  pool.file(0, "f", "12345678", 0644);
  const auto f = pool.walk("f");
  const auto set = [&](const SetattrRequest& request) {
    auto reply = pool.fs().setattr(pool.as(f), request);
    REQUIRE(reply.has_value());
    return reply->attr;
  };
  SetattrRequest mode;
  mode.mode = 04711;
  CHECK(set(mode).mode == 0104711);
  SetattrRequest gid;
  gid.gid = 7;
  const auto moved = set(gid);
  CHECK(moved.gid == 7);
  CHECK(moved.uid == 0);
  // chown(2) clears set-ids of whatever is no directory, whoever calls it.
  CHECK(moved.mode == 0100711);
  SetattrRequest size;
  size.size = 3;
  CHECK(set(size).size == 3);
  CHECK(pool.text(0, "f") == "123");
  size.size = 5;
  CHECK(set(size).size == 5);
  SetattrRequest times;
  times.atime = TimeChange{false, 100, 5};
  times.mtime = TimeChange{false, -200, 6};
  const auto timed = set(times);
  CHECK(timed.atime.seconds == 100);
  CHECK(timed.atime.nanoseconds == 5);
  CHECK(timed.mtime.seconds == -200);
  SetattrRequest now;
  now.mtime = TimeChange{true, 0, 0};
  CHECK(set(now).mtime.seconds > 1'000'000'000);
  CHECK(set(now).atime.seconds == 100);
}

TEST_CASE("setattr: nothing asked for changes nothing and answers") {
  PoolFixture pool({"RO"});
  pool.file(0, "f", "abc", 04755);
  const auto f = pool.walk("f");
  const auto before = state(pool, 0, "f");
  const auto reply = pool.fs().setattr(pool.as(f), {});
  REQUIRE(reply.has_value());
  CHECK(reply->attr.size == 3);
  CHECK(state(pool, 0, "f") == before);
}

TEST_CASE("setattr: KILL_SUIDGID clears what a local truncate would") {
  PoolFixture pool;
  const auto killed = [&](const std::string& name, mode_t mode) {
    pool.file(0, name, "abc", mode);
    SetattrRequest request;
    request.size = 1;
    request.kill_suidgid = true;
    const auto reply = pool.fs().setattr(pool.as(pool.walk(name)), request);
    REQUIRE(reply.has_value());
    return reply->attr.mode & 07777;
  };
  CHECK(killed("suid", 04755) == 0755);
  CHECK(killed("sgid", 02755) == 0755);
  CHECK(killed("lock", 02644) == 02644);
  CHECK(killed("all", 06775) == 0775);
  CHECK(killed("plain", 01644) == 01644);
}

TEST_CASE("setattr: a symlink itself, a fifo, a directory") {
  if (!test::may_act_as_root()) return;
  PoolFixture pool;
  pool.file(0, "target", "abc");
  std::filesystem::create_symlink("target", pool.branch(0) / "link");
  REQUIRE(::mkfifo((pool.branch(0) / "fifo").c_str(), 0600) == 0);
  pool.directory(0, "d", 02775);
  const auto target_before = state(pool, 0, "target");
  SetattrRequest request;
  request.uid = 5;
  request.gid = 6;
  request.mtime = TimeChange{false, 1000, 1};
  for (const char* name : {"link", "fifo", "d"}) {
    CAPTURE(name);
    const auto reply = pool.fs().setattr(pool.as(pool.walk(name)), request);
    REQUIRE(reply.has_value());
    CHECK(reply->attr.uid == 5);
    CHECK(reply->attr.gid == 6);
    CHECK(reply->attr.mtime.seconds == 1000);
  }
  CHECK(state(pool, 0, "target") == target_before);
  CHECK((pool.stat(0, "d").st_mode & 07777) == 02775);
  SetattrRequest size;
  size.size = 0;
  CHECK(errno_of(pool.fs().setattr(pool.as(pool.walk("d")), size)) == EISDIR);
  CHECK(errno_of(pool.fs().setattr(pool.as(pool.walk("fifo")), size)) == EINVAL);
}

TEST_CASE("setattr: the other copies of the same path follow, other types do not") {
  PoolFixture pool({"RW", "RW", "RO", "RW"});
  for (std::size_t i = 0; i < 3; ++i) pool.file(i, "f", "abc", 0644);
  pool.directory(3, "f", 0755);
  SetattrRequest request;
  request.mode = 0600;
  const auto reply = pool.fs().setattr(pool.as(pool.walk("f")), request);
  REQUIRE(reply.has_value());
  CHECK((pool.stat(0, "f").st_mode & 07777) == 0600);
  CHECK((pool.stat(1, "f").st_mode & 07777) == 0600);
  CHECK((pool.stat(2, "f").st_mode & 07777) == 0644);
  CHECK((pool.stat(3, "f").st_mode & 07777) == 0755);
}

TEST_CASE("setattr: by handle only the handle's file") {
  PoolFixture pool({"RW", "RW"});
  pool.file(0, "f", "abcdef");
  pool.file(1, "f", "abcdef");
  const auto f = pool.walk("f");
  SetattrRequest request;
  request.handle = pool.open(f, O_RDWR);
  request.size = 2;
  REQUIRE(pool.fs().setattr(pool.as(f), request).has_value());
  CHECK(pool.text(0, "f") == "ab");
  CHECK(pool.text(1, "f") == "abcdef");
  std::filesystem::remove(pool.branch(0) / "f");
  request.size = 4;
  const auto reply = pool.fs().setattr(pool.as(f), request);
  REQUIRE(reply.has_value());
  CHECK(reply->attr.size == 4);
  CHECK(reply->attr.nlink == 0);
  request.handle = proto::HandleId{1};
  CHECK(errno_of(pool.fs().setattr(pool.as(f), request)) == EBADF);
}

TEST_CASE("setattr: directories of all writable branches; read-only ones stay") {
  PoolFixture pool({"RO", "RW", "RW"});
  for (std::size_t i = 0; i < 3; ++i) pool.directory(i, "d", 0755);
  const auto d = pool.walk("d");
  SetattrRequest request;
  request.mode = 0700;
  REQUIRE(pool.fs().setattr(pool.as(d), request).has_value());
  CHECK((pool.stat(0, "d").st_mode & 07777) == 0755);
  CHECK((pool.stat(1, "d").st_mode & 07777) == 0700);
  CHECK((pool.stat(2, "d").st_mode & 07777) == 0700);
  // The root too, though it has no name.
  REQUIRE(pool.fs().setattr(pool.as(kRootNode), request).has_value());
  CHECK((pool.stat(1, "").st_mode & 07777) == 0700);
  CHECK((pool.stat(0, "").st_mode & 07777) == 0755);
}

TEST_CASE("setattr: each copy of a directory is changed once, the node's own among them") {
  test::FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW"}, test::with_faults(faults));
  for (std::size_t i = 0; i < 2; ++i) pool.directory(i, "d", 0755);
  const auto d = pool.walk("d");
  SetattrRequest request;
  request.mode = 0700;
  faults->reset();
  REQUIRE(pool.fs().setattr(pool.as(d), request).has_value());
  CHECK(faults->calls(test::Call::kChmod) == 2);
}

TEST_CASE("setattr, getattr: a directory and a file whose names went through the pool") {
  PoolFixture pool({"RW", "RW"});
  pool.directory(0, "d");
  pool.directory(1, "d");
  pool.file(1, "f", "abc");
  const auto d = pool.walk("d");
  const auto f = pool.walk("f");
  REQUIRE(pool.fs().rmdir(pool.as(kRootNode), {pool.name("d")}).has_value());
  REQUIRE(pool.fs().unlink(pool.as(kRootNode), {pool.name("f")}).has_value());
  SetattrRequest request;
  request.mode = 0711;
  for (const auto node : {d, f}) {
    const auto reply = pool.fs().setattr(pool.as(node), request);
    REQUIRE(reply.has_value());
    CHECK((reply->attr.mode & 07777) == 0711);
    CHECK(pool.fs().getattr(pool.as(node), {})->attr.mode == reply->attr.mode);
  }
  CHECK(pool.fs().getattr(pool.as(f), {})->attr.nlink == 0);
  CHECK(pool.read(pool.open(f, O_RDONLY)) == "abc");
  CHECK(pool.fs().pool_path(d) == "(unlinked)");
}

TEST_CASE("setattr: nothing on a read-only branch") {
  PoolFixture pool({"RO", "RW"});
  pool.file(0, "f", "abc");
  pool.file(1, "f", "abc");
  pool.directory(0, "d");
  SetattrRequest request;
  request.mode = 0600;
  CHECK(errno_of(pool.fs().setattr(pool.as(pool.walk("f")), request)) == EROFS);
  CHECK(errno_of(pool.fs().setattr(pool.as(pool.walk("d")), request)) == EROFS);
  CHECK((pool.stat(1, "f").st_mode & 07777) == 0644);
}

TEST_CASE("setattr: a copy that fails does not decide, the node's own file does") {
  test::FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW"}, test::with_faults(faults));
  pool.file(0, "f", "abc");
  pool.file(1, "f", "abc");
  const auto f = pool.walk("f");
  SetattrRequest request;
  request.mode = 0600;
  faults->fail({test::Call::kChmod, 1, test::FaultyBacking::kAlways, pool.branch(1)}, EIO);
  CHECK(errno_of(pool.fs().setattr(pool.as(f), request)) == 0);
  faults->reset();
  request.mode = 0640;
  faults->fail({test::Call::kChmod, 1, test::FaultyBacking::kAlways, pool.branch(0)}, EIO);
  CHECK(errno_of(pool.fs().setattr(pool.as(f), request)) == EIO);
  faults->reset();
  CHECK((pool.stat(1, "f").st_mode & 07777) == 0644);
}

TEST_CASE("setattr: whichever call fails, nothing has changed") {
  if (!test::may_act_as_root()) return;
  test::FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, test::with_faults(faults));
  pool.file(0, "f", "abcdef", 04755);
  const auto f = pool.walk("f");
  const auto handle = pool.open(f, O_RDWR);
  SetattrRequest request;
  request.uid = 1;
  request.gid = 2;
  request.mode = 0611;
  request.size = 9;
  request.atime = TimeChange{false, 10, 0};
  request.mtime = TimeChange{false, 20, 0};
  for (const bool by_handle : {false, true}) {
    CAPTURE(by_handle);
    if (by_handle) request.handle = handle;
    for (const std::uint32_t uid : {0U, 1000U}) {
      CAPTURE(uid);
      pause_clock();
      std::string before = state(pool, 0, "f");
      test::fail_each_call(
          pool, *faults, EIO,
          [&] { return errno_of(pool.fs().setattr(pool.as(f, uid, uid), request)); },
          [&](bool succeeded) {
            if (!succeeded) {
              CHECK(state(pool, 0, "f") == before);
              return;
            }
            CHECK(state(pool, 0, "f") != before);
            pool.file(0, "f", "abcdef");
            REQUIRE(::chown((pool.branch(0) / "f").c_str(), 0, 0) == 0);
            REQUIRE(::chmod((pool.branch(0) / "f").c_str(), 04755) == 0);
            before = state(pool, 0, "f");
          });
    }
  }
}

TEST_CASE("setattr: every branch in turn fails, counts and descriptors balance") {
  test::FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW"}, test::with_faults(faults));
  for (std::size_t i = 0; i < 2; ++i) {
    pool.file(i, "d/f", "abc");
    pool.directory(i, "d/e");
  }
  const auto f = pool.walk("d/f");
  const auto e = pool.walk("d/e");
  SetattrRequest request;
  request.mode = 0711;
  for (const auto node : {f, e, kRootNode})
    test::fail_each_call(pool, *faults, EIO,
                         [&] { return errno_of(pool.fs().setattr(pool.as(node), request)); });
  test::fail_each_call(pool, *faults, EMFILE,
                       [&] { return errno_of(pool.fs().setattr(pool.as(f), request)); });
}

TEST_CASE("getattr, statx: whichever call fails, nothing is lost") {
  test::FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW"}, test::with_faults(faults));
  pool.file(1, "d/f", "abc");
  const auto f = pool.walk("d/f");
  const auto d = pool.walk("d");
  const auto handle = pool.open(f, O_RDONLY);
  for (const auto node : {f, d})
    test::fail_each_call(pool, *faults, EIO,
                         [&] { return errno_of(pool.fs().getattr(pool.as(node), {})); });
  test::fail_each_call(pool, *faults, EIO,
                       [&] { return errno_of(pool.fs().getattr(pool.as(f), {handle})); });
  test::fail_each_call(pool, *faults, EIO, [&] {
    return errno_of(pool.fs().statx(pool.as(f), {handle, 0, 0}));
  });
  CHECK(errno_of(pool.fs().getattr(pool.as(kRootNode), {})) == 0);
}

TEST_CASE("getattr: one stat for a file") {
  test::FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW"}, test::with_faults(faults));
  pool.file(1, "f");
  const auto f = pool.walk("f");
  faults->reset();
  CHECK(pool.fs().getattr(pool.as(f), {}).has_value());
  CHECK(faults->calls(test::Call::kAny) == 1);
}

TEST_CASE("access: existence, and the mode as it stands") {
  if (!test::may_act_as_root()) return;
  PoolFixture pool;
  pool.file(0, "f", "", 0640);
  REQUIRE(::chown((pool.branch(0) / "f").c_str(), 10, 20) == 0);
  pool.directory(0, "d", 0700);
  const auto f = pool.walk("f");
  const auto may = [&](proto::NodeId node, std::uint32_t mask, std::uint32_t uid,
                       std::uint32_t gid) {
    return errno_of(pool.fs().access(pool.as(node, uid, gid), {mask}));
  };
  CHECK(may(f, F_OK, 99, 99) == 0);
  CHECK(may(f, R_OK | W_OK, 10, 99) == 0);
  CHECK(may(f, R_OK, 11, 20) == 0);
  CHECK(may(f, W_OK, 11, 20) == EACCES);
  CHECK(may(f, R_OK, 11, 21) == EACCES);
  CHECK(may(f, R_OK | W_OK, 0, 0) == 0);
  CHECK(may(f, X_OK, 0, 0) == EACCES);
  CHECK(may(pool.walk("d"), X_OK, 0, 0) == 0);
  std::filesystem::remove(pool.branch(0) / "f");
  CHECK(may(f, F_OK, 0, 0) == ESTALE);
}

TEST_CASE("readlink: the text, also the longest; nothing else has one") {
  test::FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, test::with_faults(faults));
  pool.file(0, "f");
  const std::string longest(4095, 'x');
  std::filesystem::create_symlink("some/where", pool.branch(0) / "short");
  std::filesystem::create_symlink(longest, pool.branch(0) / "long");
  std::vector<std::byte> out(4096);
  const auto read = [&](const std::string& name) {
    const auto size = pool.fs().readlink(pool.as(pool.walk(name)), {}, out);
    REQUIRE(size.has_value());
    return std::string(reinterpret_cast<const char*>(out.data()), *size);
  };
  CHECK(read("short") == "some/where");
  CHECK(read("long") == longest);
  CHECK(errno_of(pool.fs().readlink(pool.as(pool.walk("f")), {}, out)) == EINVAL);
  const auto link = pool.walk("short");
  test::fail_each_call(pool, *faults, EIO,
                       [&] { return errno_of(pool.fs().readlink(pool.as(link), {}, out)); });
}
