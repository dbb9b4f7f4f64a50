#include "ops/file_handle.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

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

constexpr std::uint64_t kCaller = 42;

proto::ReadRequest read_of(proto::HandleId handle, std::uint32_t size, std::uint32_t flags) {
  proto::ReadRequest request;
  request.handle = handle;
  request.size = size;
  request.flags = flags;
  request.lock_owner = kCaller;
  return request;
}

proto::WriteRequest write_of(proto::HandleId handle, std::string_view text, std::uint32_t flags) {
  proto::WriteRequest request;
  request.handle = handle;
  request.flags = flags;
  request.data = std::as_bytes(std::span(text.data(), text.size()));
  request.lock_owner = kCaller;
  return request;
}

}  // namespace

TEST_CASE("a caller's own range is one call, its count and errno the caller's to see") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, test::with_faults(faults));
  pool.settings().move_when_full = nullptr;
  pool.file(0, "f", "0123456789");
  const auto handle = pool.open(pool.walk("f"), O_RDWR);
  std::vector<std::byte> out(10);
  auto& fs = pool.fs();
  faults->shorten({Call::kRead, 1, 1, {}}, 3);
  CHECK(*fs.read(pool.as(proto::kRootNode), read_of(handle, 10, O_RDWR), out) == 3);
  faults->fail({Call::kRead, 1, 1, {}}, EIO);
  CHECK(errno_of(fs.read(pool.as(proto::kRootNode), read_of(handle, 10, O_RDWR), out)) == EIO);
  faults->reset();
  faults->shorten({Call::kWrite, 1, 1, {}}, 2);
  CHECK(*fs.write(pool.as(proto::kRootNode), write_of(handle, "abcd", O_RDWR)) == 2);
  CHECK(pool.text(0, "f") == "ab23456789");
  faults->reset();
  faults->fail({Call::kWrite, 1, 1, {}}, ENOSPC);
  CHECK(errno_of(fs.write(pool.as(proto::kRootNode), write_of(handle, "abcd", O_RDWR))) == ENOSPC);
  faults->reset();
  CHECK(*fs.write(pool.as(proto::kRootNode), write_of(handle, "END", O_RDWR | O_APPEND)) == 3);
  CHECK(pool.text(0, "f") == "ab23456789END");
}

TEST_CASE("O_DIRECT reaches the branch, as each request has it") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, test::with_faults(faults));
  pool.file(0, "f", std::string(8192, 'x'));
  const auto f = pool.walk("f");
  auto& fs = pool.fs();
  const auto page = std::unique_ptr<std::byte, decltype(&std::free)>(
      static_cast<std::byte*>(std::aligned_alloc(4096, 4096)), &std::free);
  const std::span out(page.get(), 4096);
  // The descriptor that the read in question was made with.
  const auto was_direct = [&](proto::HandleId handle, std::uint32_t flags, bool callers) {
    auto request = read_of(handle, 4096, flags);
    if (!callers) request.lock_owner.reset();
    const auto got = fs.read(pool.as(proto::kRootNode), request, out);
    REQUIRE(got.has_value());
    return (::fcntl(faults->last_read_fd(), F_GETFL) & O_DIRECT) != 0;
  };
  const auto plain = pool.open(f, O_RDWR);
  CHECK_FALSE(was_direct(plain, O_RDWR, true));
  CHECK(was_direct(plain, O_RDWR | O_DIRECT, true));
  CHECK_FALSE(was_direct(plain, O_RDWR, true));
  const auto direct = pool.open(f, O_RDWR | O_DIRECT);
  CHECK(was_direct(direct, O_RDWR | O_DIRECT, true));
  CHECK_FALSE(was_direct(direct, O_RDWR, true));
  // Pages for the cache: their end is not aligned at the end of a file.
  CHECK_FALSE(was_direct(direct, O_RDWR | O_DIRECT, false));
}

TEST_CASE("O_DIRECT: what cannot be opened once more goes on without it, nothing is refused") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, test::with_faults(faults));
  pool.file(0, "f", std::string(8192, 'x'));
  const auto f = pool.walk("f");
  auto& fs = pool.fs();
  const auto is_direct = [&] { return (::fcntl(faults->last_read_fd(), F_GETFL) & O_DIRECT) != 0; };
  std::vector<std::byte> out(5);
  const auto read = [&](proto::HandleId handle, std::uint32_t flags) {
    const auto got = fs.read(pool.as(proto::kRootNode), read_of(handle, 5, flags), out);
    return got ? static_cast<int>(*got) : -got.error().value();
  };
  const auto write = [&](proto::HandleId handle, std::uint32_t flags) {
    auto request = write_of(handle, "tail", flags);
    request.offset = 8192;
    const auto done = fs.write(pool.as(proto::kRootNode), request);
    return done ? static_cast<int>(*done) : -done.error().value();
  };
  // A daemon of an ordinary user and a file of mode 0400, as open(2) made it for this caller.
  const auto direct = pool.open(f, O_RDWR | O_DIRECT);
  const auto plain = pool.open(f, O_RDWR);
  faults->reset();
  faults->fail({Call::kReopen, 1, FaultyBacking::kAlways, {}}, EACCES);
  const auto asked = [&] { return faults->calls(Call::kReopen); };
  SUBCASE("opened with it") {
    CHECK(asked() == 0);
    CHECK(write(direct, O_RDWR) == 4);
    CHECK(pool.text(0, "f") == std::string(8192, 'x') + "tail");
    CHECK(read(direct, O_RDWR) == 5);
    CHECK_FALSE(is_direct());
    CHECK(read(direct, O_RDWR | O_DIRECT) == 5);
    CHECK(asked() == 1);
  }
  SUBCASE("opened without it") {
    CHECK(write(plain, O_RDWR | O_DIRECT) == 4);
    CHECK(write(plain, O_RDWR) == 4);
    CHECK(read(plain, O_RDWR) == 5);
    CHECK_FALSE(is_direct());
    CHECK(asked() == 1);
  }
  SUBCASE("nor changed") {
    faults->fail({Call::kClearDirect, 1, 1, {}}, EPERM);
    CHECK(write(direct, O_RDWR) == -EACCES);
    CHECK(write(direct, O_RDWR) == 4);
  }
}

TEST_CASE("O_DIRECT: what the kernel cut goes without it, what the caller misaligned is EINVAL") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, test::with_faults(faults));
  pool.file(0, "f", "text");
  const auto handle = pool.open(pool.walk("f"), O_RDWR | O_DIRECT);
  auto& fs = pool.fs();
  constexpr std::uint32_t kLongest = 1024 * 1024;
  const auto write = [&](std::uint64_t offset, std::size_t size) {
    const std::string data(size, 'd');
    auto request = write_of(handle, data, O_RDWR | O_DIRECT);
    request.offset = offset;
    faults->fail({Call::kWrite, 1, 1, {}}, EINVAL);
    const auto done = fs.write(pool.as(proto::kRootNode), request);
    faults->reset();
    return done ? static_cast<int>(*done) : -done.error().value();
  };
  CHECK(write(100, 4096) == -EINVAL);
  CHECK(write(0, 100) == -EINVAL);
  CHECK(pool.count("cut_direct_calls") == 0);
  CHECK(write(0, kLongest - 8) == kLongest - 8);
  CHECK(write(kLongest - 16, 8) == -EINVAL);
  CHECK(write(kLongest - 8, 8) == 8);
  CHECK(pool.count("cut_direct_calls") == 2);
  CHECK(write(kLongest, 8) == -EINVAL);
  // Longest, but it follows nothing that was cut there.
  CHECK(write(100, kLongest) == -EINVAL);
}

TEST_CASE("O_DIRECT: the last piece of a call that the kernel cut is served before the first") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, test::with_faults(faults));
  pool.file(0, "f", "text");
  const auto handle = pool.open(pool.walk("f"), O_RDWR | O_DIRECT);
  constexpr std::size_t kLongest = std::size_t{1024} * 1024;
  const std::string data(kLongest, 'd');
  const auto write = [&](std::uint64_t offset, std::size_t size) {
    auto request = write_of(handle, std::string_view(data).substr(0, size), O_RDWR | O_DIRECT);
    request.offset = offset;
    const auto done = pool.fs().write(pool.as(proto::kRootNode), request);
    return done ? static_cast<int>(*done) : -done.error().value();
  };
  // Both are refused; then each goes without O_DIRECT.
  faults->fail({Call::kWrite, 1, 2, {}}, EINVAL);
  int first = 0;
  std::jthread other;
  faults->before({Call::kWrite, 1, 1, {}}, [&] {
    other = std::jthread([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      first = write(0, kLongest - 8);
    });
  });
  CHECK(write(kLongest - 8, 8) == 8);
  other.join();
  CHECK(first == static_cast<int>(kLongest) - 8);
  CHECK(pool.count("cut_direct_calls") == 2);
  CHECK(pool.text(0, "f") == data);
}

TEST_CASE("O_APPEND with writeback goes where the kernel says") {
  PoolFixture pool({"RW"}, {}, [](ops::Settings& settings) { settings.files.writeback = true; });
  pool.file(0, "f", "text");
  const auto handle = pool.open(pool.walk("f"), O_RDWR | O_APPEND);
  auto request = write_of(handle, "end", O_RDWR | O_APPEND);
  request.offset = 6;
  CHECK(*pool.fs().write(pool.as(proto::kRootNode), request) == 3);
  request = write_of(handle, "++", O_RDONLY);
  request.offset = 4;
  request.from_cache = true;
  CHECK(*pool.fs().write(pool.as(proto::kRootNode), request) == 2);
  CHECK(pool.text(0, "f") == "text++end");
}
