#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include <filesystem>

#include "ops/operations.hpp"
#include "proto/kernel_abi.hpp"
#include "test/support/faulty_backing.hpp"
#include "test/support/full_root.hpp"
#include "test/support/pool_fixture.hpp"

using namespace bough;
using proto::kRootNode;
using proto::OpenRequest;
using test::PoolFixture;

namespace {

template <class T>
int errno_of(const proto::Result<T>& reply) {
  return reply ? 0 : reply.error().value();
}

}  // namespace

TEST_CASE("branch_open_flags: only what concerns the branch's file") {
  using ops::branch_open_flags;
  CHECK(branch_open_flags(
            O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC | 0x20,
            false) == O_RDWR);
  CHECK(branch_open_flags(O_WRONLY | O_TRUNC | O_SYNC | O_NOATIME, false) ==
        (O_WRONLY | O_TRUNC | O_SYNC | O_NOATIME));
  CHECK(branch_open_flags(O_RDONLY | O_DSYNC | O_DIRECT, false) == (O_DSYNC | O_DIRECT));
}

TEST_CASE("branch_open_flags: with writeback the kernel reads what it completes") {
  using ops::branch_open_flags;
  CHECK(branch_open_flags(O_WRONLY | O_APPEND | O_TRUNC, true) == (O_RDWR | O_TRUNC));
  CHECK(branch_open_flags(O_RDONLY, true) == O_RDONLY);
  CHECK(branch_open_flags(O_RDWR, true) == O_RDWR);
}

TEST_CASE("open: the handle holds its node until RELEASE") {
  PoolFixture pool;
  pool.file(0, "f", "text");
  const auto f = pool.walk("f");
  auto opened = pool.fs().open(pool.as(f), {O_RDONLY, false});
  REQUIRE(opened.has_value());
  const auto handle = pool.keep(*opened);
  CHECK(pool.count("handles") == 1);
  CHECK(pool.count("holds") == 1);
  pool.forget_all();
  CHECK(pool.count("nodes") == 2);
  CHECK(pool.read(handle) == "text");
  pool.release(handle);
  CHECK(pool.count("nodes") == 1);
}

TEST_CASE("open: close(2) asks for a FLUSH only where that can mean something") {
  const auto flags_over = [](std::uint64_t type) {
    PoolFixture pool({"RW"}, [type](ops::Backing& real) {
      auto disguised = std::make_unique<test::FaultyBacking>(real);
      disguised->bend_statfs([type](ops::FsStat& stat, int) { stat.type = type; });
      return disguised;
    });
    pool.file(0, "f");
    auto opened = pool.fs().open(pool.as(pool.walk("f")), {O_RDWR, false});
    REQUIRE(opened.has_value());
    auto created =
        pool.fs().create(pool.as(kRootNode), {pool.name("g"), O_RDWR, 0600, 0, false, {}});
    REQUIRE(created.has_value());
    CHECK(created->open.flags == opened->flags);
    return opened->flags;
  };
  CHECK(flags_over(0xef53) == proto::abi::open_reply::kNoflush);
  CHECK(flags_over(0x58465342) == proto::abi::open_reply::kNoflush);
  // NFS, FUSE
  CHECK(flags_over(0x6969) == 0);
  CHECK(flags_over(0x65735546) == 0);
}

TEST_CASE("open: an unkept reply closes the handle again") {
  PoolFixture pool;
  pool.file(0, "f");
  const auto f = pool.walk("f");
  { auto dropped = pool.fs().open(pool.as(f), {O_RDONLY, false}); }
  CHECK(pool.count("handles") == 0);
  CHECK(pool.count("holds") == 0);
}

TEST_CASE("open: a second RELEASE of one handle takes nothing") {
  PoolFixture pool;
  pool.file(0, "f");
  const auto f = pool.walk("f");
  const auto first = pool.open(f, O_RDONLY);
  const auto second = pool.open(f, O_RDONLY);
  proto::ReleaseRequest request;
  request.handle = first;
  pool.release(first);
  CHECK(pool.fs().release(pool.as(f), request).has_value());
  CHECK(pool.count("holds") == 1);
  CHECK(errno_of(pool.fs().flush(pool.as(f), {first, 0})) == EBADF);
  CHECK(errno_of(pool.fs().flush(pool.as(f), {second, 0})) == 0);
}

TEST_CASE("open: O_TRUNC empties the file, and only with kill_suidgid clears set-ids") {
  if (!test::may_act_as_root()) return;
  PoolFixture pool;
  pool.file(0, "f", "text", 06755);
  const auto f = pool.walk("f");
  { auto kept = pool.fs().open(pool.as(f), {O_WRONLY | O_TRUNC, false}); }
  CHECK(pool.text(0, "f").empty());
  CHECK((pool.stat(0, "f").st_mode & 07777) == 06755);
  { auto killed = pool.fs().open(pool.as(f), {O_WRONLY | O_TRUNC, true}); }
  CHECK((pool.stat(0, "f").st_mode & 07777) == 0755);
}

TEST_CASE("open: where the kernel does not tell, O_TRUNC takes the set-ids of all but root") {
  if (!test::may_act_as_root()) return;
  PoolFixture pool({"RW"}, {},
                   [](ops::Settings& settings) { settings.files.handle_killpriv = false; });
  const auto mode_after = [&](std::uint32_t uid) {
    pool.file(0, "f", "text", 06755);
    { auto emptied = pool.fs().open(pool.as(pool.walk("f"), uid), {O_WRONLY | O_TRUNC, false}); }
    CHECK(pool.text(0, "f").empty());
    return pool.stat(0, "f").st_mode & 07777;
  };
  CHECK(mode_after(0) == 06755);
  CHECK(mode_after(1000) == 0755);
  pool.file(0, "f", "text", 06755);
  { auto opened = pool.fs().open(pool.as(pool.walk("f"), 1000), {O_WRONLY, false}); }
  CHECK((pool.stat(0, "f").st_mode & 07777) == 06755);
}

TEST_CASE("open: never another file than the node's") {
  PoolFixture pool;
  pool.file(0, "f", "old");
  const auto f = pool.walk("f");
  pool.file(0, "new", "precious");
  std::filesystem::rename(pool.branch(0) / "new", pool.branch(0) / "f");
  CHECK(errno_of(pool.fs().open(pool.as(f), {O_WRONLY | O_TRUNC, false})) == ESTALE);
  CHECK(pool.text(0, "f") == "precious");
}

TEST_CASE("open: the node's own copy, whatever the search would choose") {
  PoolFixture pool({"RW", "RW"});
  pool.file(1, "f", "second");
  const auto f = pool.walk("f");
  pool.file(0, "f", "first");
  CHECK(pool.read(pool.open(f, O_RDONLY)) == "second");
}

TEST_CASE("open: what natively cannot be opened") {
  PoolFixture pool({"RO"});
  pool.file(0, "f", "x");
  pool.directory(0, "d");
  std::filesystem::create_symlink("f", pool.branch(0) / "l");
  REQUIRE(::mkfifo((pool.branch(0) / "p").c_str(), 0600) == 0);
  const auto open = [&](const std::string& name, std::uint32_t flags) {
    return errno_of(pool.fs().open(pool.as(pool.walk(name)), {flags, false}));
  };
  CHECK(open("f", O_RDONLY) == 0);
  CHECK(open("f", O_WRONLY) == EROFS);
  CHECK(open("f", O_RDWR) == EROFS);
  CHECK(open("f", O_RDONLY | O_TRUNC) == EROFS);
  CHECK(open("d", O_RDONLY) == EISDIR);
  CHECK(open("l", O_RDONLY) == ELOOP);
  CHECK(open("p", O_RDONLY) == ENXIO);
  CHECK(errno_of(pool.fs().open(pool.as(proto::NodeId{424242}), {O_RDONLY, false})) == ESTALE);
}

TEST_CASE("open: a program that runs cannot be written") {
  PoolFixture pool;
  std::filesystem::copy_file("/bin/sleep", pool.branch(0) / "program");
  const auto program = pool.walk("program");
  const pid_t child = ::fork();
  if (child == 0) {
    ::execl((pool.branch(0) / "program").c_str(), "program", "20", nullptr);
    ::_exit(127);
  }
  REQUIRE(child > 0);
  int result = 0;
  for (int tries = 0; tries < 200 && result == 0; ++tries) {
    const timespec time{0, 10'000'000};
    ::nanosleep(&time, nullptr);
    result = errno_of(pool.fs().open(pool.as(program), {O_WRONLY, false}));
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  CHECK(result == ETXTBSY);
}

TEST_CASE("open: whichever call fails, nothing is lost and nothing is cut") {
  test::FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW"}, test::with_faults(faults));
  pool.file(1, "d/f", "text", 04755);
  const auto f = pool.walk("d/f");
  for (const int error : {EIO, EMFILE, ENFILE})
    test::fail_each_call(pool, *faults, error, [&] {
      return errno_of(pool.fs().open(pool.as(f), {O_RDWR, false}));
    });
  CHECK(pool.text(1, "d/f") == "text");
  test::fail_each_call(pool, *faults, EIO, [&] {
    return errno_of(pool.fs().open(pool.as(f), {O_RDWR | O_TRUNC, true}));
  });
}

TEST_CASE("open: descriptors that ran out are looked for once") {
  test::FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, test::with_faults(faults));
  pool.file(0, "f");
  const auto f = pool.walk("f");
  for (const auto& [call, flags] : {std::pair{test::Call::kOpenAt, O_RDONLY},
                                    std::pair{test::Call::kReopen, O_WRONLY | O_TRUNC}}) {
    const auto before = pool.count("descriptor_shortages");
    faults->fail({call, 1, 1, {}}, EMFILE);
    CHECK(errno_of(pool.fs().open(pool.as(f), {static_cast<std::uint32_t>(flags), false})) == 0);
    CHECK(pool.count("descriptor_shortages") == before + 1);
    faults->fail({call, 1, 100, {}}, EMFILE);
    CHECK(errno_of(pool.fs().open(pool.as(f), {static_cast<std::uint32_t>(flags), false})) ==
          EMFILE);
    faults->reset();
  }
}

TEST_CASE("open: whatever came in a file's place behind the pool is not opened, nor waited for") {
  PoolFixture pool;
  pool.file(0, "f", "text");
  const auto f = pool.walk("f");
  const auto path = pool.branch(0) / "f";
  std::filesystem::remove(path);
  SUBCASE("a fifo") {
    REQUIRE(::mkfifo(path.c_str(), 0644) == 0);
  }
  SUBCASE("another file") {
    pool.file(0, "f", "other");
  }
  SUBCASE("a directory") {
    pool.directory(0, "f");
  }
  SUBCASE("a symlink") {
    REQUIRE(::symlink("/dev/null", path.c_str()) == 0);
  }
  for (const int flags : {O_RDONLY, O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC})
    CHECK(errno_of(pool.fs().open(pool.as(f), {static_cast<std::uint32_t>(flags), false})) ==
          ESTALE);
}
