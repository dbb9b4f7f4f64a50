#include <doctest/doctest.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <filesystem>

#include "test/support/full_root.hpp"
#include "test/support/pool_fixture.hpp"

using namespace bough;
using test::FaultyBacking;
using test::PoolFixture;

namespace {

template <class T>
int errno_of(const proto::Result<T>& reply) {
  return reply ? 0 : reply.error().value();
}

int native_flags(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  int flags = -1;
  if (::ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) flags = -1;
  ::close(fd);
  return flags;
}

/// The tests' files may stand on a file system without inode flags (tmpfs): then the answer must be
/// the same as natively, and nothing more can be seen.
bool has_flags(const PoolFixture& pool) {
  return native_flags(pool.branch(0)) != -1;
}

proto::IoctlRequest request_of(proto::HandleId handle, std::uint32_t command) {
  proto::IoctlRequest request;
  request.handle = handle;
  request.command = command;
  return request;
}

struct Ioctl {
  PoolFixture& pool;
  std::array<std::byte, 64> out{};

  int get(proto::HandleId handle, std::uint32_t command, int& value) {
    auto request = request_of(handle, command);
    request.out_size = sizeof value;
    const auto reply = pool.fs().ioctl(pool.as(proto::kRootNode), request, out);
    if (!reply) return reply.error().value();
    CHECK(reply->out_size == sizeof value);
    std::memcpy(&value, out.data(), sizeof value);
    return 0;
  }
  int set(proto::HandleId handle, int value, std::uint32_t uid = 0) {
    auto request = request_of(handle, FS_IOC_SETFLAGS);
    request.in = std::as_bytes(std::span(&value, 1));
    return errno_of(pool.fs().ioctl(pool.as(proto::kRootNode, uid, uid), request, out));
  }
};

}  // namespace

TEST_CASE("ioctl: everything but the allow-list is ENOTTY") {
  PoolFixture pool;
  pool.file(0, "f");
  const auto handle = pool.open(pool.walk("f"), O_RDWR);
  std::array<std::byte, 64> out{};
  for (const std::uint32_t command :
       {std::uint32_t{0x5401}, std::uint32_t{FIGETBSZ}, std::uint32_t{FITRIM},
        std::uint32_t{FS_IOC_FIEMAP}, std::uint32_t{FS_IOC_SETFSLABEL}, std::uint32_t{FIFREEZE},
        std::uint32_t{0},
        // The numbers of mergerfs' own, former and today's, and those of btrfs.
        std::uint32_t{0xd000df00}, std::uint32_t{0xffffdf00}, std::uint32_t{0xffffdf01},
        std::uint32_t{0xdf01}, std::uint32_t{0xdf02}, std::uint32_t{0x9408},
        std::uint32_t{0x40049409}}) {
    CAPTURE(command);
    auto request = request_of(handle, command);
    request.out_size = 64;
    CHECK(errno_of(pool.fs().ioctl(pool.as(proto::kRootNode), request, out)) == ENOTTY);
  }
  auto unrestricted = request_of(handle, FS_IOC_GETFLAGS);
  unrestricted.flags = proto::IoctlRequest::kUnrestricted;
  unrestricted.out_size = 64;
  CHECK(errno_of(pool.fs().ioctl(pool.as(proto::kRootNode), unrestricted, out)) == ENOTTY);
}

TEST_CASE("ioctl: flags of files and directories") {
  if (!test::may_act_as_root()) return;
  PoolFixture pool;
  pool.file(0, "f");
  pool.directory(0, "d");
  const auto file = pool.open(pool.walk("f"), O_RDONLY);
  auto opened = pool.fs().opendir(pool.as(pool.walk("d")), {});
  REQUIRE(opened.has_value());
  const auto directory = pool.keep(*opened, true);
  Ioctl ioctl{pool};
  int flags = 0;
  if (!has_flags(pool)) {
    CHECK(ioctl.get(file, FS_IOC_GETFLAGS, flags) == ENOTTY);
    return;
  }
  for (const auto& [handle, name] : {std::pair{file, "f"}, std::pair{directory, "d"}}) {
    const auto path = pool.branch(0) / name;
    CAPTURE(path);
    REQUIRE(ioctl.get(handle, FS_IOC_GETFLAGS, flags) == 0);
    CHECK(flags == native_flags(path));
    REQUIRE(ioctl.get(handle, FS_IOC32_GETFLAGS, flags) == 0);
    CHECK(ioctl.get(handle, FS_IOC32_SETFLAGS, flags) == ENOTTY);
    CHECK(ioctl.set(handle, flags | FS_NODUMP_FL) == 0);
    CHECK((native_flags(path) & FS_NODUMP_FL) != 0);
    CHECK(ioctl.set(handle, flags) == 0);
    // Neither owner nor privileged; and what takes a capability, even for the owner.
    CHECK(ioctl.set(handle, flags | FS_NODUMP_FL, 1000) == EPERM);
    REQUIRE(::chown(path.c_str(), 1000, 1000) == 0);
    CHECK(ioctl.set(handle, flags | FS_NODUMP_FL, 1000) == 0);
    CHECK(ioctl.set(handle, flags | FS_IMMUTABLE_FL, 1000) == EPERM);
    CHECK((native_flags(path) & FS_IMMUTABLE_FL) == 0);
  }
}

TEST_CASE("ioctl: flags of a directory reach every copy that may be changed") {
  PoolFixture pool({"RW", "RW", "RO", "NC"});
  for (std::size_t i = 0; i < 4; ++i) pool.directory(i, "d");
  if (!has_flags(pool)) return;
  const auto flags_on = [&](std::size_t index) { return native_flags(pool.branch(index) / "d"); };
  auto opened = pool.fs().opendir(pool.as(pool.walk("d")), {});
  REQUIRE(opened.has_value());
  const auto directory = pool.keep(*opened, true);
  Ioctl ioctl{pool};
  int flags = 0;
  REQUIRE(ioctl.get(directory, FS_IOC_GETFLAGS, flags) == 0);
  CHECK(ioctl.set(directory, flags | FS_NODUMP_FL) == 0);
  CHECK((flags_on(0) & FS_NODUMP_FL) != 0);
  CHECK((flags_on(1) & FS_NODUMP_FL) != 0);
  CHECK((flags_on(2) & FS_NODUMP_FL) == 0);
  CHECK((flags_on(3) & FS_NODUMP_FL) != 0);

  // What was not asked to change stays as it is on each copy.
  const int fd = ::open((pool.branch(1) / "d").c_str(), O_RDONLY | O_CLOEXEC);
  int own = flags_on(1) | FS_NOATIME_FL;
  REQUIRE(::ioctl(fd, FS_IOC_SETFLAGS, &own) == 0);
  ::close(fd);
  CHECK(ioctl.set(directory, flags) == 0);
  CHECK((flags_on(0) & (FS_NODUMP_FL | FS_NOATIME_FL)) == 0);
  CHECK((flags_on(1) & (FS_NODUMP_FL | FS_NOATIME_FL)) == FS_NOATIME_FL);
  CHECK((flags_on(3) & FS_NODUMP_FL) == 0);

  auto get = request_of(directory, FS_IOC_FSGETXATTR);
  get.out_size = sizeof(fsxattr);
  if (!pool.fs().ioctl(pool.as(proto::kRootNode), get, ioctl.out)) return;
  fsxattr extended{};
  std::memcpy(&extended, ioctl.out.data(), sizeof extended);
  extended.fsx_xflags |= FS_XFLAG_NODUMP;
  auto set = request_of(directory, FS_IOC_FSSETXATTR);
  set.in = std::as_bytes(std::span(&extended, 1));
  CHECK(errno_of(pool.fs().ioctl(pool.as(proto::kRootNode), set, ioctl.out)) == 0);
  CHECK((flags_on(0) & (FS_NODUMP_FL | FS_NOATIME_FL)) == FS_NODUMP_FL);
  CHECK((flags_on(1) & (FS_NODUMP_FL | FS_NOATIME_FL)) == (FS_NODUMP_FL | FS_NOATIME_FL));
  CHECK((flags_on(3) & FS_NODUMP_FL) != 0);
}

TEST_CASE("ioctl: the copy that is shown decides, and a read-only one leaves it to the others") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW"}, test::with_faults(faults));
  pool.directory(0, "d");
  pool.directory(1, "d");
  PoolFixture half({"RO", "RW"});
  half.directory(0, "d");
  half.directory(1, "d");
  PoolFixture none({"RO", "RO"});
  none.directory(0, "d");
  if (!has_flags(pool)) return;
  const auto open_directory = [](PoolFixture& in) {
    auto opened = in.fs().opendir(in.as(in.walk("d")), {});
    REQUIRE(opened.has_value());
    return in.keep(*opened, true);
  };
  int flags = native_flags(pool.branch(0) / "d") | FS_NODUMP_FL;
  const auto directory = open_directory(pool);
  // The calls are: read the shown copy, change it, read the other, change it.
  faults->reset();
  faults->fail({test::Call::kControl, 2}, EIO);
  CHECK(Ioctl{pool}.set(directory, flags) == EIO);
  CHECK((native_flags(pool.branch(1) / "d") & FS_NODUMP_FL) == 0);
  faults->reset();
  faults->fail({test::Call::kControl, 4}, EIO);
  CHECK(Ioctl{pool}.set(directory, flags) == 0);
  CHECK((native_flags(pool.branch(0) / "d") & FS_NODUMP_FL) != 0);
  CHECK((native_flags(pool.branch(1) / "d") & FS_NODUMP_FL) == 0);
  faults->reset();

  CHECK(Ioctl{half}.set(open_directory(half), flags) == 0);
  CHECK((native_flags(half.branch(0) / "d") & FS_NODUMP_FL) == 0);
  CHECK((native_flags(half.branch(1) / "d") & FS_NODUMP_FL) != 0);
  CHECK(Ioctl{none}.set(open_directory(none), flags) == EROFS);
}

TEST_CASE("ioctl: a directory that was removed while it was open") {
  PoolFixture pool;
  pool.directory(0, "d");
  if (!has_flags(pool)) return;
  auto opened = pool.fs().opendir(pool.as(pool.walk("d")), {});
  REQUIRE(opened.has_value());
  const auto directory = pool.keep(*opened, true);
  REQUIRE(pool.fs().rmdir(pool.as(proto::kRootNode), {pool.name("d")}).has_value());
  Ioctl ioctl{pool};
  int flags = 0;
  CHECK(ioctl.get(directory, FS_IOC_GETFLAGS, flags) == 0);
  CHECK(ioctl.set(directory, flags | FS_NODUMP_FL) == 0);
}

TEST_CASE("ioctl: extended flags and version, as natively") {
  PoolFixture pool;
  pool.file(0, "f");
  const auto handle = pool.open(pool.walk("f"), O_RDWR);
  const int fd = ::open((pool.branch(0) / "f").c_str(), O_RDONLY | O_CLOEXEC);
  Ioctl ioctl{pool};
  int version = 0;
  long native_version = 0;
  const bool versioned = ::ioctl(fd, FS_IOC_GETVERSION, &native_version) == 0;
  const int failed = versioned ? 0 : errno;
  CHECK(ioctl.get(handle, FS_IOC_GETVERSION, version) == failed);
  if (versioned) CHECK(version == static_cast<int>(native_version));

  fsxattr native{};
  const bool extended = ::ioctl(fd, FS_IOC_FSGETXATTR, &native) == 0;
  const int refused = extended ? 0 : errno;
  ::close(fd);
  auto get = request_of(handle, FS_IOC_FSGETXATTR);
  get.out_size = sizeof(fsxattr);
  auto reply = pool.fs().ioctl(pool.as(proto::kRootNode), get, ioctl.out);
  CHECK(errno_of(reply) == refused);
  if (!extended) return;
  CHECK(reply->out_size == sizeof native);
  CHECK(std::memcmp(ioctl.out.data(), &native, sizeof native) == 0);
  native.fsx_xflags |= FS_XFLAG_NODUMP;
  auto set = request_of(handle, FS_IOC_FSSETXATTR);
  set.in = std::as_bytes(std::span(&native, 1));
  CHECK(errno_of(pool.fs().ioctl(pool.as(proto::kRootNode), set, ioctl.out)) == 0);
  CHECK((native_flags(pool.branch(0) / "f") & FS_NODUMP_FL) != 0);
}

TEST_CASE("ioctl: cut-short arguments, closed handles, read-only branches") {
  PoolFixture pool({"RO"});
  pool.file(0, "f");
  const auto handle = pool.open(pool.walk("f"), O_RDONLY);
  std::array<std::byte, 64> out{};
  auto get = request_of(handle, FS_IOC_GETFLAGS);
  get.out_size = 3;
  CHECK(errno_of(pool.fs().ioctl(pool.as(proto::kRootNode), get, out)) == EINVAL);
  get.handle = proto::HandleId{9};
  CHECK(errno_of(pool.fs().ioctl(pool.as(proto::kRootNode), get, out)) == EBADF);
  Ioctl ioctl{pool};
  CHECK(ioctl.set(handle, 0) == EROFS);
  PoolFixture writable;
  writable.file(0, "f");
  auto set = request_of(writable.open(writable.walk("f"), O_RDONLY), FS_IOC_SETFLAGS);
  CHECK(errno_of(writable.fs().ioctl(writable.as(proto::kRootNode), set, out)) == EINVAL);
}

TEST_CASE("ioctl: whichever call fails, nothing is lost and the thread is itself again") {
  if (!test::may_act_as_root()) return;
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, test::with_faults(faults));
  pool.file(0, "f");
  pool.directory(0, "d");
  if (!has_flags(pool)) return;
  REQUIRE(::chown((pool.branch(0) / "f").c_str(), 1000, 1000) == 0);
  REQUIRE(::chown((pool.branch(0) / "d").c_str(), 1000, 1000) == 0);
  const auto file = pool.open(pool.walk("f"), O_RDONLY);
  auto opened = pool.fs().opendir(pool.as(pool.walk("d")), {});
  REQUIRE(opened.has_value());
  const auto directory = pool.keep(*opened, true);
  Ioctl ioctl{pool};
  for (const auto handle : {file, directory}) {
    int flags = 0;
    REQUIRE(ioctl.get(handle, FS_IOC_GETFLAGS, flags) == 0);
    test::fail_each_call(pool, *faults, EIO,
                         [&] { return ioctl.get(handle, FS_IOC_GETFLAGS, flags); });
    test::fail_each_call(
        pool, *faults, EIO, [&] { return ioctl.set(handle, flags | FS_NODUMP_FL, 1000); },
        [&](bool) { CHECK(pool.backing().identity().uid == 0); });
  }
}
