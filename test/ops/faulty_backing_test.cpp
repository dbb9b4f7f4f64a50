#include "test/support/faulty_backing.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <array>
#include <filesystem>

#include "test/support/pool_fixture.hpp"

using namespace bough::ops;
using bough::test::Call;
using bough::test::FaultyBacking;
using bough::test::TempDir;

namespace {
struct Ground {
  TempDir top;
  std::unique_ptr<Backing> real = make_posix_backing();
  FaultyBacking faulty{*real};
  Fd root = std::move(*real->open_root(top.path().string()));
};
}  // namespace

TEST_CASE("the n-th call fails, the others reach the kernel, all are counted") {
  Ground g;
  g.faulty.fail({Call::kMkdirAt, 2, 2}, EIO);
  CHECK(g.faulty.mkdir_at(g.root.get(), "1", 0700).has_value());
  CHECK(g.faulty.mkdir_at(g.root.get(), "2", 0700).error() == Errno{EIO});
  CHECK(g.faulty.mkdir_at(g.root.get(), "3", 0700).error() == Errno{EIO});
  CHECK(g.faulty.mkdir_at(g.root.get(), "4", 0700).has_value());
  CHECK(g.faulty.calls(Call::kMkdirAt) == 4);
  CHECK(g.faulty.calls(Call::kAny) == 4);
  CHECK(g.faulty.failures() == 2);
  CHECK_FALSE(std::filesystem::exists(g.top.path() / "2"));
  CHECK(std::filesystem::exists(g.top.path() / "4"));
  g.faulty.reset();
  CHECK(g.faulty.calls(Call::kAny) == 0);
  CHECK(g.faulty.mkdir_at(g.root.get(), "2", 0700).has_value());
}

TEST_CASE("a rule may be about any call, and about one place only") {
  Ground g;
  std::filesystem::create_directories(g.top.path() / "one");
  std::filesystem::create_directories(g.top.path() / "other");
  const Fd one = std::move(*g.real->open_root((g.top.path() / "one").string()));
  const Fd other = std::move(*g.real->open_root((g.top.path() / "other").string()));
  g.faulty.fail({Call::kAny, 1, FaultyBacking::kAlways, (g.top.path() / "one").string()}, EROFS);
  CHECK(g.faulty.mkdir_at(one.get(), "x", 0700).error() == Errno{EROFS});
  CHECK(g.faulty.stat(one.get()).error() == Errno{EROFS});
  CHECK(g.faulty.open_root((g.top.path() / "one").string()).error() == Errno{EROFS});
  CHECK(g.faulty.mkdir_at(other.get(), "x", 0700).has_value());
  CHECK(g.faulty.stat(g.root.get()).has_value());
}

TEST_CASE("counts are cut short, calls delayed, and others' changes come in between") {
  Ground g;
  const auto fd = g.faulty.open_at(g.root.get(), "f", O_RDWR | O_CREAT, 0600);
  REQUIRE(fd.has_value());
  std::array<std::byte, 8> data{};
  g.faulty.shorten({Call::kWrite, 1, 1}, 3);
  g.faulty.shorten({Call::kRead, 2, 1}, 2);
  CHECK(*g.faulty.write(fd->get(), data, 0, false) == 3);
  CHECK(*g.faulty.write(fd->get(), data, 0, false) == 8);
  CHECK(*g.faulty.read(fd->get(), data, 0) == 8);
  CHECK(*g.faulty.read(fd->get(), data, 0) == 2);
  g.faulty.delay({Call::kSync}, std::chrono::milliseconds(30));
  const auto begin = std::chrono::steady_clock::now();
  CHECK(g.faulty.sync(fd->get(), true).has_value());
  CHECK(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds(30));
  g.faulty.before({Call::kMkdirAt}, [&] { std::filesystem::create_directory(g.top.path() / "d"); });
  CHECK(g.faulty.mkdir_at(g.root.get(), "d", 0700).error() == Errno{EEXIST});
}
