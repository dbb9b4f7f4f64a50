#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "test/support/pool_fixture.hpp"

// The branch's own kernel refuses here, as a server would that takes root for anybody else.

namespace bough::test {
namespace {

using ops::NfsOpenHack;
using proto::NodeId;

/// On a thread that has no more rights to files than their owner.
template <class Call>
void as_mere_owner(Call call) {
  std::thread([&] {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, 2> sets{};
    REQUIRE(::syscall(SYS_capget, &header, sets.data()) == 0);
    sets[0].effective &= ~(1U << CAP_DAC_OVERRIDE | 1U << CAP_DAC_READ_SEARCH);
    REQUIRE(::syscall(SYS_capset, &header, sets.data()) == 0);
    call();
  }).join();
}

int open_as_owner(PoolFixture& pool, NodeId node, std::uint32_t flags) {
  int outcome = 0;
  as_mere_owner([&] {
    auto opened = pool.fs().open(pool.as(node), {flags, false});
    outcome = opened ? 0 : opened.error().value();
    if (opened) pool.keep(*opened);
  });
  return outcome;
}

PoolFixture::Tune with(NfsOpenHack hack) {
  return [hack](ops::Settings& settings) { settings.nfs_open_hack = hack; };
}

}  // namespace

TEST_CASE("nfsopenhack=off: what the branch refuses is refused") {
  PoolFixture pool;
  pool.file(0, "r/.git/f", "text", 0444);
  const NodeId f = pool.walk("r/.git/f");
  CHECK(open_as_owner(pool, f, O_WRONLY) == EACCES);
  CHECK(open_as_owner(pool, f, O_RDONLY) == 0);
}

TEST_CASE("nfsopenhack=all: a file without write bits opens for writing, and has none after it") {
  PoolFixture pool({"RW"}, {}, with(NfsOpenHack::kAll));
  pool.file(0, "f", "text", 0444);
  const NodeId f = pool.walk("f");
  for (const std::uint32_t flags :
       std::initializer_list<std::uint32_t>{O_WRONLY, O_RDWR, O_RDWR | O_TRUNC}) {
    CHECK(open_as_owner(pool, f, flags) == 0);
    CHECK((pool.stat(0, "f").st_mode & 07777) == 0444);
  }
  CHECK(pool.text(0, "f").empty());
  // Not what may be written by somebody else, nor to be read.
  pool.file(0, "theirs", "text", 0064);
  CHECK(open_as_owner(pool, pool.walk("theirs"), O_WRONLY) == EACCES);
  pool.file(0, "hidden", "text", 0000);
  CHECK(open_as_owner(pool, pool.walk("hidden"), O_RDONLY) == EACCES);
  CHECK((pool.stat(0, "theirs").st_mode & 07777) == 0064);
  CHECK((pool.stat(0, "hidden").st_mode & 07777) == 0000);
}

TEST_CASE("nfsopenhack=git: only below a directory .git") {
  PoolFixture pool({"RW"}, {}, with(NfsOpenHack::kGit));
  for (const char* path : {"f", "r/git/f", "r/.git/objects/f", ".git/f", "r/.gitx/f"})
    pool.file(0, path, "text", 0444);
  CHECK(open_as_owner(pool, pool.walk("f"), O_WRONLY) == EACCES);
  CHECK(open_as_owner(pool, pool.walk("r/git/f"), O_WRONLY) == EACCES);
  CHECK(open_as_owner(pool, pool.walk("r/.gitx/f"), O_WRONLY) == EACCES);
  CHECK(open_as_owner(pool, pool.walk("r/.git/objects/f"), O_WRONLY) == 0);
  CHECK(open_as_owner(pool, pool.walk(".git/f"), O_WRONLY) == 0);
}

TEST_CASE("nfsopenhack: where lending fails the answer is EACCES and the mode as it was") {
  test::FaultyBacking* faults = nullptr;
  PoolFixture pool(
      {"RW"},
      [&](ops::Backing& real) {
        auto made = std::make_unique<FaultyBacking>(real);
        faults = made.get();
        return made;
      },
      with(NfsOpenHack::kAll));
  pool.file(0, "f", "text", 0444);
  const NodeId f = pool.walk("f");
  faults->fail({.call = Call::kChmod}, EPERM);
  CHECK(open_as_owner(pool, f, O_WRONLY) == EACCES);
  faults->reset();
  faults->fail({.call = Call::kReopen, .nth = 2}, EIO);
  CHECK(open_as_owner(pool, f, O_WRONLY) == EACCES);
  CHECK((pool.stat(0, "f").st_mode & 07777) == 0444);
  // Somebody's own chmod meanwhile stays.
  faults->reset();
  faults->before({.call = Call::kReopen, .nth = 2},
                 [&] { REQUIRE(::chmod((pool.branch(0) / "f").c_str(), 0600) == 0); });
  CHECK(open_as_owner(pool, f, O_WRONLY) == 0);
  CHECK((pool.stat(0, "f").st_mode & 07777) == 0600);
}

}  // namespace bough::test
