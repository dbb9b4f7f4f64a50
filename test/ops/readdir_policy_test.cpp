#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "ops/readdir_policy.hpp"
#include "proto/dirents.hpp"
#include "proto/kernel_abi.hpp"
#include "test/support/faulty_backing.hpp"
#include "test/support/pool_fixture.hpp"

namespace bough::test {
namespace {

using ops::ReaddirPolicy;
using proto::kRootNode;
using namespace std::chrono_literals;

struct Faulted {
  FaultyBacking* faults = nullptr;
  [[nodiscard]] PoolFixture::Wrap wrap() {
    return [this](ops::Backing& real) {
      auto made = std::make_unique<FaultyBacking>(real);
      faults = made.get();
      return made;
    };
  }
};

PoolFixture::Tune with(std::string_view text) {
  return
      [=](ops::Settings& settings) { settings.readdir = ops::parse_readdir_policy(text).value(); };
}

/// Every record of the listing as it came, or its errno.
std::vector<std::string> listing(PoolFixture& pool, proto::NodeId directory) {
  auto opened = pool.fs().opendir(pool.as(directory), {});
  REQUIRE(opened.has_value());
  const auto handle = pool.keep(*opened, true);
  std::vector<std::byte> buffer(1U << 20U);
  proto::DirentPacker packer(buffer);
  proto::ReaddirRequest request;
  request.handle = handle;
  request.size = static_cast<std::uint32_t>(buffer.size());
  const auto done = pool.fs().readdir(pool.as(directory), request, packer);
  std::vector<std::string> all;
  if (!done) all.push_back("errno " + std::to_string(done.error().value()));
  for (std::size_t at = 0; done && at < packer.size();) {
    proto::abi::Dirent wire;
    std::memcpy(&wire, buffer.data() + at, sizeof wire);
    all.push_back(
        std::to_string(wire.ino) + " " + std::to_string(wire.type) + " " +
        std::to_string(wire.off) + " " +
        std::string(reinterpret_cast<const char*>(buffer.data()) + at + sizeof wire, wire.namelen));
    at += (sizeof wire + wire.namelen + 7) & ~std::size_t{7};
  }
  pool.release(handle);
  return all;
}

constexpr const char* kAll[] = {"seq", "cosr", "cosr:4", "cosr:1:1", "cor", "cor:4:1", "cor:-1"};

}  // namespace

TEST_CASE("func.readdir: what it takes, and how it reads back") {
  for (const char* good : {"seq", "seq:9", "cosr", "cosr:0", "cosr:4", "cosr:4:3", "cor", "cor:0:0",
                           "cor:-2", "cor:16:1"})
    CHECK(ops::readdir_policy_text(ops::parse_readdir_policy(good).value()) == good);
  for (const char* bad : {"", "SEQ", "seq:", "cosr:x", "cosr:4:", "cosr:4:-1", "cosr:4:3:2",
                          "cosr4", "cor:99999", "cor: 4", "cosrs", ":4", "cor:4 ", "cor:+4"}) {
    CAPTURE(bad);
    CHECK_FALSE(ops::parse_readdir_policy(bad).has_value());
  }
  const auto size = [](const char* text) { return ops::parse_readdir_policy(text)->crew(); };
  const std::size_t processors = std::max(1U, std::thread::hardware_concurrency());
  CHECK(size("cosr").threads == std::min<std::size_t>(processors, 8));
  CHECK(size("cosr:0").threads == size("cosr").threads);
  CHECK(size("cosr").waiting == 2 * size("cosr").threads);
  CHECK(size("cor:5:3").threads == 5);
  CHECK(size("cor:5:3").waiting == 15);
  CHECK(size("cor:5:0").waiting == 10);
  CHECK(size("cor:-1").threads == processors);
  CHECK(size("cor:-1000").threads == 1);

  ops::Settings settings;
  const auto table = ops::settings_table(settings);
  const auto row = std::find_if(table.begin(), table.end(),
                                [](const auto& each) { return each.name == "func.readdir"; });
  REQUIRE(row != table.end());
  CHECK(row->get() == "seq");
  CHECK(row->set("cor:2:1").empty());
  CHECK_FALSE(row->set("cor:").empty());
  CHECK(row->get() == "cor:2:1");
}

TEST_CASE("func.readdir: the same listing with each, the first branch's entry of a name") {
  std::vector<std::string> expected;
  PoolFixture pool({"RW", "RW", "RO", "RW", "NC", "RW"});
  for (std::size_t branch = 0; branch < 6; ++branch) {
    for (int i = 0; i < 300; ++i)
      pool.file(branch, "d/f" + std::to_string(i * (static_cast<int>(branch) + 1)), "");
    if (branch % 2 == 1)
      pool.directory(branch, "d/both");
    else
      pool.file(branch, "d/both");
  }
  const auto d = pool.walk("d");
  for (const char* policy : kAll) {
    CAPTURE(policy);
    with(policy)(pool.settings());
    for (int i = 0; i < 5; ++i) {
      const auto listed = listing(pool, d);
      if (expected.empty()) expected = listed;
      CHECK(listed == expected);
    }
  }
  CHECK(expected.size() > 900);
  const auto both = std::find_if(expected.begin(), expected.end(),
                                 [](const auto& each) { return each.ends_with(" both"); });
  REQUIRE(both != expected.end());
  CHECK(both->find(" 8 ") != std::string::npos);
}

TEST_CASE("func.readdir: cosr opens all branches at once, cor reads them at once, seq neither") {
  Faulted faulted;
  PoolFixture pool({"RW", "RW", "RW", "RW"}, faulted.wrap());
  for (std::size_t branch = 0; branch < 4; ++branch)
    pool.file(branch, "d/f" + std::to_string(branch));
  const auto d = pool.walk("d");
  // How many of a READDIR's calls of a kind run at once; each waits a while for three others.
  const auto at_once = [&](const char* policy, Call call, std::chrono::milliseconds wait) {
    with(policy)(pool.settings());
    auto opened = pool.fs().opendir(pool.as(d), {});
    REQUIRE(opened.has_value());
    const auto handle = pool.keep(*opened, true);
    std::mutex mutex;
    std::condition_variable met;
    int now = 0;
    int most = 0;
    faulted.faults->before({.call = call, .times = FaultyBacking::kAlways}, [&] {
      std::unique_lock lock(mutex);
      most = std::max(most, ++now);
      met.notify_all();
      met.wait_for(lock, wait, [&] { return most == 4; });
      --now;
    });
    std::vector<std::byte> buffer(4096);
    proto::DirentPacker packer(buffer);
    proto::ReaddirRequest request;
    request.handle = handle;
    request.size = 4096;
    CHECK(pool.fs().readdir(pool.as(d), request, packer).has_value());
    faulted.faults->reset();
    pool.release(handle);
    return most;
  };
  CHECK(at_once("seq", Call::kOpenDirectory, 10ms) == 1);
  CHECK(at_once("seq:4", Call::kList, 10ms) == 1);
  CHECK(at_once("cosr:3", Call::kOpenDirectory, 20s) == 4);
  CHECK(at_once("cosr:3", Call::kList, 10ms) == 1);
  CHECK(at_once("cor:3", Call::kOpenDirectory, 20s) == 4);
  CHECK(at_once("cor:3", Call::kList, 20s) == 4);
}

TEST_CASE(
    "func.readdir: whichever branch fails, the listing fails whole, by the first one's errno") {
  for (const char* policy : kAll) {
    CAPTURE(policy);
    Faulted faulted;
    PoolFixture pool({"RW", "RW", "RW"}, faulted.wrap(), with(policy));
    for (std::size_t branch = 0; branch < 3; ++branch)
      pool.file(branch, "d/f" + std::to_string(branch));
    const auto d = pool.walk("d");
    for (const Call call : {Call::kOpenDirectory, Call::kList}) {
      for (std::size_t first = 0; first < 3; ++first) {
        faulted.faults->reset();
        for (std::size_t branch = first; branch < 3; ++branch)
          faulted.faults->fail(
              {.call = call, .times = FaultyBacking::kAlways, .below = pool.branch(branch)},
              branch == first ? EIO : EACCES);
        // OPENDIR looks at the shown copy only.
        if (call == Call::kOpenDirectory && first == 0) continue;
        CHECK(listing(pool, d) == std::vector<std::string>{"errno " + std::to_string(EIO)});
      }
    }
    faulted.faults->reset();
    CHECK(listing(pool, d).size() == 5);
  }
}

TEST_CASE("func.readdir: a directory that is on no branch, and on one alone") {
  for (const char* policy : kAll) {
    CAPTURE(policy);
    PoolFixture pool({"RW", "RW", "RW"}, {}, with(policy));
    pool.file(1, "d/f");
    const auto d = pool.walk("d");
    CHECK(listing(pool, d).size() == 3);
    auto opened = pool.fs().opendir(pool.as(d), {});
    REQUIRE(opened.has_value());
    const auto handle = pool.keep(*opened, true);
    std::filesystem::remove_all(pool.branch(1) / "d");
    std::vector<std::byte> buffer(4096);
    proto::DirentPacker packer(buffer);
    proto::ReaddirRequest request;
    request.handle = handle;
    request.size = 4096;
    CHECK(pool.fs().readdir(pool.as(d), request, packer).error() == proto::Errno{ENOENT});
    CHECK(listing(pool, kRootNode).size() == 2);
  }
}

}  // namespace bough::test
