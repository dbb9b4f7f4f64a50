#include <doctest/doctest.h>
#include <linux/falloc.h>

#include <filesystem>

#include "test/support/full_root.hpp"
#include "test/support/pool_fixture.hpp"

using namespace bough;
using test::Call;
using test::FaultyBacking;
using test::PoolFixture;

namespace {

template <class T>
int errno_of(const proto::Result<T>& reply) {
  return reply ? 0 : reply.error().value();
}

proto::WriteRequest write_of(proto::HandleId handle, std::string_view text,
                             std::uint64_t offset = 0) {
  proto::WriteRequest request;
  request.handle = handle;
  request.offset = offset;
  request.data = std::as_bytes(std::span(text.data(), text.size()));
  request.flags = O_WRONLY;
  return request;
}

}  // namespace

TEST_CASE("read: what is there, short only at the end") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, test::with_faults(faults));
  pool.file(0, "f", "0123456789");
  const auto handle = pool.open(pool.walk("f"), O_RDONLY);
  CHECK(pool.read(handle) == "0123456789");
  CHECK(pool.read(handle, 3, 4) == "3456");
  CHECK(pool.read(handle, 8, 100) == "89");
  CHECK(pool.read(handle, 10).empty());
  CHECK(pool.read(handle, 1000).empty());
  faults->shorten({Call::kRead, 1, FaultyBacking::kAlways, {}}, 3);
  CHECK(pool.read(handle) == "0123456789");
  faults->reset();
  // An error behind a short count is no end of the file.
  faults->shorten({Call::kRead, 1, 1, {}}, 3);
  faults->fail({Call::kRead, 2, 1, {}}, EIO);
  std::vector<std::byte> out(100);
  proto::ReadRequest request;
  request.handle = handle;
  request.size = 100;
  CHECK(errno_of(pool.fs().read(pool.as(proto::kRootNode), request, out)) == EIO);
  faults->reset();
}

TEST_CASE("read, write: a handle that is not open, or not open for that") {
  PoolFixture pool;
  pool.file(0, "f", "text");
  const auto f = pool.walk("f");
  const auto reader = pool.open(f, O_RDONLY);
  const auto writer = pool.open(f, O_WRONLY);
  std::vector<std::byte> out(10);
  proto::ReadRequest request;
  request.size = 10;
  request.handle = writer;
  CHECK(errno_of(pool.fs().read(pool.as(f), request, out)) == EBADF);
  request.handle = proto::HandleId{77};
  CHECK(errno_of(pool.fs().read(pool.as(f), request, out)) == EBADF);
  CHECK(errno_of(pool.write(reader, "x")) == EBADF);
  CHECK(errno_of(pool.write(proto::HandleId{77}, "x")) == EBADF);
}

TEST_CASE("write: where asked; appended where the file says so; from the cache never appended") {
  PoolFixture pool;
  pool.file(0, "f", "0123456789");
  const auto handle = pool.open(pool.walk("f"), O_RDWR | O_APPEND);
  CHECK(*pool.write(handle, "ab", 2) == 2);
  CHECK(pool.text(0, "f") == "01ab456789");
  CHECK(*pool.write(handle, "END", 0, O_WRONLY | O_APPEND) == 3);
  CHECK(pool.text(0, "f") == "01ab456789END");
  auto cached = write_of(handle, "XY", 4);
  cached.from_cache = true;
  cached.flags = O_APPEND;
  CHECK(*pool.fs().write(pool.as(proto::kRootNode), cached) == 2);
  CHECK(pool.text(0, "f") == "01abXY6789END");
}

TEST_CASE("write: pieces and interruptions are made whole") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, test::with_faults(faults));
  pool.file(0, "f");
  const auto handle = pool.open(pool.walk("f"), O_WRONLY);
  faults->shorten({Call::kWrite, 1, FaultyBacking::kAlways, {}}, 2);
  faults->fail({Call::kWrite, 2, 1, {}}, EINTR);
  CHECK(*pool.write(handle, "0123456") == 7);
  faults->reset();
  CHECK(pool.text(0, "f") == "0123456");

  faults->shorten({Call::kWrite, 1, 1, {}}, 2);
  faults->fail({Call::kWrite, 2, 1, {}}, ENOSPC);
  CHECK(*pool.write(handle, "abcd") == 2);
  faults->reset();
  auto cached = write_of(handle, "efgh");
  cached.from_cache = true;
  faults->shorten({Call::kWrite, 1, 1, {}}, 2);
  faults->fail({Call::kWrite, 2, 1, {}}, ENOSPC);
  CHECK(errno_of(pool.fs().write(pool.as(proto::kRootNode), cached)) == ENOSPC);
  faults->reset();
}

TEST_CASE("write: set-ids go as they go natively, whoever the daemon is") {
  if (!test::may_act_as_root()) return;
  PoolFixture pool;
  const auto mode_after = [&](std::uint32_t uid, bool kill) {
    pool.file(0, "f", "text", 06755);
    const auto handle = pool.open(pool.walk("f"), O_WRONLY);
    auto request = write_of(handle, "x");
    request.kill_suidgid = kill;
    REQUIRE(pool.fs().write(pool.as(proto::kRootNode, uid, uid), request).has_value());
    pool.release(handle);
    return pool.stat(0, "f").st_mode & 07777;
  };
  CHECK(mode_after(0, false) == 06755);
  CHECK(mode_after(0, true) == 0755);
  CHECK(mode_after(1000, true) == 0755);
}

TEST_CASE(
    "write: as the caller; from the cache as the file's owner; afterwards the daemon itself") {
  if (!test::may_act_as_root()) return;
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, test::with_faults(faults));
  pool.file(0, "f", "text");
  REQUIRE(::chown((pool.branch(0) / "f").c_str(), 1234, 1235) == 0);
  const auto handle = pool.open(pool.walk("f"), O_WRONLY);
  ops::Identity seen;
  const auto watch = [&] {
    faults->reset();
    faults->before({Call::kWrite, 1, FaultyBacking::kAlways, {}},
                   [&] { seen = pool.backing().identity(); });
  };
  watch();
  REQUIRE(pool.write(handle, "a", 0, O_WRONLY, 1000, 1001).has_value());
  CHECK(seen.uid == 1000);
  CHECK(seen.gid == 1001);
  watch();
  auto cached = write_of(handle, "b");
  cached.from_cache = true;
  REQUIRE(pool.fs().write(pool.as(proto::kRootNode, 5, 5), cached).has_value());
  CHECK(seen.uid == 1234);
  CHECK(seen.gid == 1235);
  faults->reset();
  CHECK(pool.backing().identity().uid == 0);
  CHECK(pool.backing().identity().gid == 0);
}

TEST_CASE("write: a daemon that cannot become others writes as itself, and still clears set-ids") {
  if (!test::may_act_as_root()) return;
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, [&](ops::Backing& real) {
    auto wrapped = test::with_faults(faults)(real);
    faults->fail({Call::kBecome, 1, 1, {}}, EPERM);
    return wrapped;
  });
  pool.file(0, "f", "text", 06755);
  const auto handle = pool.open(pool.walk("f"), O_WRONLY);
  ops::Identity seen;
  faults->before({Call::kWrite, 1, 1, {}}, [&] { seen = pool.backing().identity(); });
  auto request = write_of(handle, "x");
  request.kill_suidgid = true;
  REQUIRE(pool.fs().write(pool.as(proto::kRootNode, 1000, 1000), request).has_value());
  CHECK(seen.uid == 0);
  CHECK((pool.stat(0, "f").st_mode & 07777) == 0755);
  faults->reset();
}

TEST_CASE("flush, fsync, fallocate, lseek on a handle") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, test::with_faults(faults));
  pool.file(0, "f", "text");
  const auto f = pool.walk("f");
  const auto handle = pool.open(f, O_RDWR);
  faults->reset();
  CHECK(errno_of(pool.fs().flush(pool.as(f), {handle, 0})) == 0);
  CHECK(faults->calls(Call::kFlush) == 1);
  CHECK(errno_of(pool.fs().fsync(pool.as(f), {handle, true})) == 0);
  CHECK(faults->calls(Call::kSync) == 1);
  CHECK(errno_of(pool.fs().fallocate(pool.as(f, 1000, 1000), {handle, 0, 1 << 20, 0})) == 0);
  CHECK(pool.stat(0, "f").st_size == 1 << 20);
  CHECK(errno_of(pool.fs().fallocate(pool.as(f), {handle, 0, 4096, FALLOC_FL_KEEP_SIZE | 0x400})) ==
        EOPNOTSUPP);
  pool.file(0, "sparse", "data");
  std::filesystem::resize_file(pool.branch(0) / "sparse", 1 << 20);
  const auto sparse = pool.open(pool.walk("sparse"), O_RDONLY);
  CHECK(*pool.fs().lseek(pool.as(f), {sparse, 0, SEEK_DATA}) == 0);
  CHECK(*pool.fs().lseek(pool.as(f), {sparse, 0, SEEK_HOLE}) < (1 << 20));
  CHECK(errno_of(pool.fs().lseek(pool.as(f), {sparse, 1 << 19, SEEK_DATA})) == ENXIO);
  const proto::HandleId none{5};
  CHECK(errno_of(pool.fs().fsync(pool.as(f), {none, false})) == EBADF);
  CHECK(errno_of(pool.fs().fallocate(pool.as(f), {none, 0, 1, 0})) == EBADF);
  CHECK(errno_of(pool.fs().lseek(pool.as(f), {none, 0, SEEK_DATA})) == EBADF);
  CHECK(errno_of(pool.fs().flush(pool.as(f), {none, 0})) == EBADF);
}

TEST_CASE("copy_file_range: between two handles, on one branch and on two") {
  PoolFixture pool({"RW", "RW"});
  pool.file(0, "from", "0123456789");
  pool.file(0, "near", "");
  pool.file(1, "far", "");
  proto::CopyFileRangeRequest request;
  request.handle_in = pool.open(pool.walk("from"), O_RDONLY);
  request.offset_in = 2;
  request.length = UINT64_MAX;
  for (const auto& [branch, name] : {std::pair{0, "near"}, std::pair{1, "far"}}) {
    request.handle_out = pool.open(pool.walk(name), O_WRONLY);
    const auto copied = pool.fs().copy_file_range(pool.as(proto::kRootNode, 1000, 1000), request);
    REQUIRE(copied.has_value());
    CHECK(*copied == 8);
    CHECK(pool.text(static_cast<std::size_t>(branch), name) == "23456789");
  }
  request.flags = 1;
  CHECK(errno_of(pool.fs().copy_file_range(pool.as(proto::kRootNode), request)) == EINVAL);
  request.flags = 0;
  request.handle_out = proto::HandleId{3};
  CHECK(errno_of(pool.fs().copy_file_range(pool.as(proto::kRootNode), request)) == EBADF);
}

TEST_CASE("copy_file_range: a short count is told, and is what was copied") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, test::with_faults(faults));
  pool.file(0, "from", "0123456789");
  pool.file(0, "to", "");
  proto::CopyFileRangeRequest request;
  request.handle_in = pool.open(pool.walk("from"), O_RDONLY);
  request.handle_out = pool.open(pool.walk("to"), O_WRONLY);
  request.length = 10;
  faults->shorten({Call::kCopyRange, 1, 1}, 3);
  const auto copied = pool.fs().copy_file_range(pool.as(proto::kRootNode), request);
  REQUIRE(copied.has_value());
  CHECK(*copied == 3);
  CHECK(pool.text(0, "to") == "012");
}

TEST_CASE("io: whichever call fails, nothing is lost and the thread is itself again") {
  if (!test::may_act_as_root()) return;
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, test::with_faults(faults));
  pool.file(0, "f", "text", 04755);
  const auto f = pool.walk("f");
  const auto handle = pool.open(f, O_RDWR);
  std::vector<std::byte> out(16);
  proto::ReadRequest read;
  read.handle = handle;
  read.size = 16;
  auto write = write_of(handle, "data");
  write.kill_suidgid = true;
  auto cached = write;
  cached.from_cache = true;
  proto::CopyFileRangeRequest copy;
  copy.handle_in = copy.handle_out = handle;
  copy.offset_out = 4096;
  copy.length = 4;
  const auto settle = [&](bool) {
    CHECK(pool.backing().identity().uid == 0);
    CHECK(pool.backing().identity().gid == 0);
  };
  const auto each = [&](const std::function<int()>& operation) {
    test::fail_each_call(pool, *faults, EIO, operation, settle);
  };
  each([&] { return errno_of(pool.fs().read(pool.as(f), read, out)); });
  for (const std::uint32_t uid : {0U, 1000U}) {
    each([&] { return errno_of(pool.fs().write(pool.as(f, uid, uid), write)); });
    each([&] { return errno_of(pool.fs().write(pool.as(f, uid, uid), cached)); });
    each([&] { return errno_of(pool.fs().fallocate(pool.as(f, uid, uid), {handle, 0, 8, 0})); });
    each([&] { return errno_of(pool.fs().copy_file_range(pool.as(f, uid, uid), copy)); });
  }
  each([&] { return errno_of(pool.fs().fsync(pool.as(f), {handle, false})); });
  each([&] { return errno_of(pool.fs().flush(pool.as(f), {handle, 0})); });
  each([&] { return errno_of(pool.fs().lseek(pool.as(f), {handle, 0, SEEK_HOLE})); });
}

TEST_CASE("fallocate may fill a disk in no time: the next file asks how much is free") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, test::with_faults(faults));
  faults->bend_statfs([](ops::FsStat& stat, int) {
    stat.blocks = std::uint64_t{100} << 30U;
    stat.blocks_available = stat.blocks;
  });
  const auto asks = [&](const char* name) {
    faults->reset();
    CHECK(errno_of(pool.fs().mkdir(pool.as(proto::kRootNode), {pool.name(name), 0755, 0, {}})) ==
          0);
    return faults->calls(Call::kStatfs);
  };
  pool.file(0, "f", "x");
  const auto f = pool.walk("f");
  CHECK(asks("a") == 1);
  CHECK(asks("b") == 0);
  const auto handle = pool.open(f, O_RDWR);
  CHECK(errno_of(pool.fs().fallocate(pool.as(f), {handle, 0, 4096, 0})) == 0);
  CHECK(asks("c") == 1);
}

TEST_CASE("what a removed file took is waited for before there is no space") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, test::with_faults(faults));
  pool.file(0, "big", "x");
  pool.file(0, "f", "x");
  const auto handle = pool.open(pool.walk("f"), O_RDWR);
  const auto write_while_full = [&](std::uint64_t times) {
    faults->reset();
    faults->fail({Call::kWrite, 1, times, {}}, ENOSPC);
    return errno_of(pool.write(handle, "y"));
  };
  CHECK(write_while_full(1) == ENOSPC);
  CHECK(faults->calls(Call::kWrite) == 1);

  (void)pool.walk("big");
  REQUIRE(pool.fs().unlink(pool.as(proto::kRootNode), {pool.name("big")}).has_value());
  CHECK(write_while_full(2) == 0);
  CHECK(write_while_full(FaultyBacking::kAlways) == ENOSPC);
  CHECK(faults->calls(Call::kWrite) == 4);
}
