#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "ops/inode_number.hpp"
#include "proto/dirents.hpp"
#include "proto/kernel_abi.hpp"
#include "test/support/pool_fixture.hpp"

namespace bough::test {
namespace {

using ops::InodeCalc;
using proto::kRootNode;
using proto::NodeId;

constexpr InodeCalc kAll[] = {InodeCalc::kPassthrough,  InodeCalc::kPathHash,
                              InodeCalc::kPathHash32,   InodeCalc::kDevinoHash,
                              InodeCalc::kDevinoHash32, InodeCalc::kHybridHash,
                              InodeCalc::kHybridHash32};

PoolFixture::Tune with(InodeCalc calc, std::string_view search = "ff") {
  return [=](ops::Settings& settings) {
    settings.inode_calc = calc;
    settings.search = policy::find(policy::search_policies(), search);
  };
}

std::uint64_t by_getattr(PoolFixture& pool, NodeId node) {
  return pool.fs().getattr(pool.as(node), {})->attr.ino;
}

/// What READDIR says.
std::map<std::string, std::uint64_t> listed(PoolFixture& pool, NodeId directory) {
  std::map<std::string, std::uint64_t> all;
  auto opened = pool.fs().opendir(pool.as(directory), {});
  REQUIRE(opened.has_value());
  const auto handle = pool.keep(*opened, true);
  std::vector<std::byte> buffer(65536);
  proto::DirentPacker packer(buffer);
  proto::ReaddirRequest request;
  request.handle = handle;
  request.size = static_cast<std::uint32_t>(buffer.size());
  REQUIRE(pool.fs().readdir(pool.as(directory), request, packer).has_value());
  for (std::size_t at = 0; at < packer.size();) {
    proto::abi::Dirent wire;
    std::memcpy(&wire, buffer.data() + at, sizeof wire);
    all.emplace(
        std::string(reinterpret_cast<const char*>(buffer.data()) + at + sizeof wire, wire.namelen),
        wire.ino);
    at += (sizeof wire + wire.namelen + 7) & ~std::size_t{7};
  }
  pool.release(handle);
  return all;
}

/// Every way to ask for a number gives the same; the number.
std::uint64_t agreed(PoolFixture& pool, const std::string& path) {
  CAPTURE(path);
  const auto slash = path.rfind('/');
  const NodeId parent = slash == std::string::npos ? kRootNode : pool.walk(path.substr(0, slash));
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  auto entry = pool.lookup(parent, name);
  REQUIRE(entry.has_value());
  const std::uint64_t ino = entry->entry.attr.ino;
  const NodeId node = pool.keep(*entry);
  CHECK(by_getattr(pool, node) == ino);
  CHECK(pool.fs().statx(pool.as(node), {})->attr.ino == ino);
  CHECK(pool.fs().setattr(pool.as(node), {})->attr.ino == ino);
  proto::SetattrRequest times;
  times.atime = proto::TimeChange{false, 1000, 0};
  CHECK(pool.fs().setattr(pool.as(node), times)->attr.ino == ino);
  CHECK(listed(pool, parent)[name] == ino);
  return ino;
}

void fill(PoolFixture& pool) {
  pool.file(0, "d/one", "1");
  pool.file(0, "d/linked", "2");
  pool.file(1, "d/other", "3");
  pool.file(1, "e/f", "4");
  pool.directory(0, "d/sub");
  pool.directory(1, "d/sub");
  pool.directory(1, "d/more");
  REQUIRE(::link((pool.branch(0) / "d/linked").c_str(), (pool.branch(0) / "d/again").c_str()) == 0);
  REQUIRE(::symlink("one", (pool.branch(0) / "d/symlink").c_str()) == 0);
  REQUIRE(::mkfifo((pool.branch(1) / "d/fifo").c_str(), 0600) == 0);
  // Copies, the first of which is the older one.
  pool.file(0, "d/both", "old");
  pool.file(1, "d/both", "new");
  const timespec old[2]{{1000, 0}, {1000, 0}};
  for (const char* each : {"d/both", "d/sub", "d"})
    REQUIRE(::utimensat(AT_FDCWD, (pool.branch(0) / each).c_str(), old, 0) == 0);
}

constexpr const char* kPaths[] = {"d",     "e",      "d/one",     "d/linked", "d/again", "d/other",
                                  "d/sub", "d/more", "d/symlink", "d/fifo",   "d/both",  "e/f"};

}  // namespace

TEST_CASE("path_sum is made of XXH3") {
  CHECK(ops::path_sum(0, "") == 0x2d06800538d394c2u);
  CHECK(ops::path_sum(0, "d1") != ops::path_sum(0, "d2"));
  CHECK(ops::path_sum(ops::path_sum(0, "a"), "b") != ops::path_sum(ops::path_sum(0, "b"), "a"));
  // Kept: who has them in a database finds his files again after an upgrade.
  CHECK(ops::path_ino(0) == 1);
  CHECK(ops::inode_ino(1, 2) == ops::inode_ino(1, 2));
  CHECK(ops::inode_ino(1, 2) != ops::inode_ino(2, 1));
}

TEST_CASE("no number is 0, and 1 is the root's") {
  CHECK(ops::short_ino(1) == 1);
  for (const std::uint64_t ino : {std::uint64_t{0x100000001}, std::uint64_t{0x200000003},
                                  std::uint64_t{0x100000000}, std::uint64_t{2}}) {
    CHECK(ops::short_ino(ino) > 1);
    CHECK(ops::short_ino(ino) <= UINT32_MAX);
  }
  std::set<std::uint64_t> distinct;
  for (std::uint64_t ino = 0; ino < 10000; ++ino) {
    const std::uint64_t shown = ops::short_ino(ops::inode_ino(7, ino));
    CHECK(shown > 1);
    CHECK(shown <= UINT32_MAX);
    distinct.insert(shown);
  }
  CHECK(distinct.size() > 9990);
}

TEST_CASE("inodecalc: look-up, attributes, statx and listings agree, in every mode") {
  for (const InodeCalc calc : kAll) {
    for (const char* search : {"ff", "newest"}) {
      CAPTURE(static_cast<int>(calc));
      CAPTURE(search);
      PoolFixture pool({"RW", "RW"}, {}, with(calc, search));
      fill(pool);
      std::map<std::string, std::uint64_t> seen;
      for (const char* path : kPaths) seen[path] = agreed(pool, path);
      CHECK(seen["d/linked"] == seen["d/again"]);
      CHECK(seen["d/linked"] != seen["d/one"]);
      CHECK(seen["d"] != seen["e"]);
      for (const auto& [path, ino] : seen) {
        if (ops::is_short(calc)) CHECK(ino <= UINT32_MAX);
        CHECK(ino > 1);
      }
      const NodeId d = pool.walk("d");
      const auto names = listed(pool, d);
      CHECK(names.at(".") == by_getattr(pool, d));
      CHECK(names.at("..") == by_getattr(pool, kRootNode));
      const auto root = listed(pool, kRootNode);
      CHECK(root.at(".") == by_getattr(pool, kRootNode));
      CHECK(root.at("..") == root.at("."));
      if (calc != InodeCalc::kPassthrough) CHECK(by_getattr(pool, kRootNode) == 1);
    }
  }
}

TEST_CASE("inodecalc=passthrough: the branch's own numbers") {
  PoolFixture pool({"RW", "RW"}, {}, with(InodeCalc::kPassthrough));
  fill(pool);
  CHECK(agreed(pool, "d/one") == pool.stat(0, "d/one").st_ino);
  CHECK(agreed(pool, "d/other") == pool.stat(1, "d/other").st_ino);
  CHECK(agreed(pool, "d/sub") == pool.stat(0, "d/sub").st_ino);
  CHECK(by_getattr(pool, kRootNode) == pool.stat(0, "").st_ino);
}

TEST_CASE("inodecalc: which numbers survive what") {
  const auto before_and_after = [](InodeCalc calc, const char* path, auto change) {
    PoolFixture pool({"RW", "RW"}, {}, with(calc));
    fill(pool);
    const std::uint64_t before = agreed(pool, path);
    pool.forget_all();
    const std::string after = change(pool);
    return agreed(pool, after) == before;
  };
  const auto moved_to_other_branch = [](PoolFixture& pool) -> std::string {
    REQUIRE(::unlink((pool.branch(0) / "d/one").c_str()) == 0);
    pool.file(1, "d/one", "1");
    return "d/one";
  };
  const auto renamed = [](PoolFixture& pool) -> std::string {
    REQUIRE(pool.fs()
                .rename(pool.as(pool.walk("d")),
                        {pool.walk("e"), pool.name("one"), pool.name("two"), 0})
                .has_value());
    return "e/two";
  };
  const auto directory_renamed = [](PoolFixture& pool) -> std::string {
    REQUIRE(pool.fs()
                .rename(pool.as(pool.walk("d")),
                        {pool.walk("e"), pool.name("sub"), pool.name("bus"), 0})
                .has_value());
    return "e/bus";
  };
  for (const InodeCalc calc : {InodeCalc::kPathHash, InodeCalc::kPathHash32}) {
    CHECK(before_and_after(calc, "d/one", moved_to_other_branch));
    CHECK_FALSE(before_and_after(calc, "d/one", renamed));
    CHECK_FALSE(before_and_after(calc, "d/sub", directory_renamed));
  }
  for (const InodeCalc calc : {InodeCalc::kDevinoHash, InodeCalc::kDevinoHash32}) {
    CHECK(before_and_after(calc, "d/one", renamed));
    CHECK(before_and_after(calc, "d/sub", directory_renamed));
  }
  for (const InodeCalc calc : {InodeCalc::kHybridHash, InodeCalc::kHybridHash32}) {
    CHECK(before_and_after(calc, "d/one", renamed));
    CHECK_FALSE(before_and_after(calc, "d/sub", directory_renamed));
  }
}

TEST_CASE("inodecalc: the same numbers after a restart and in another order of the branches") {
  for (const InodeCalc calc : kAll) {
    CAPTURE(static_cast<int>(calc));
    PoolFixture first({"RW", "RW"}, {}, with(calc));
    fill(first);
    ops::Settings settings;
    settings.min_free = 0;
    settings.inode_calc = calc;
    settings.branches = first.branch(1).string() + ":" + first.branch(0).string();
    const auto backing = ops::make_posix_backing();
    const auto again = ops::make_union_fs(*backing, settings, {});
    for (const char* path : {"d/one", "d/other", "d/more", "d/linked", "e"}) {
      CAPTURE(path);
      NodeId node = kRootNode;
      std::uint64_t ino = 0;
      std::string rest = path;
      while (!rest.empty()) {
        const auto slash = rest.find('/');
        proto::LookupRequest request;
        request.name = first.name(rest.substr(0, slash));
        rest = slash == std::string::npos ? "" : rest.substr(slash + 1);
        auto found = again->lookup(first.as(node), request);
        REQUIRE(found.has_value());
        node = found->entry.node;
        ino = found->entry.attr.ino;
        found->keep();
      }
      CHECK(ino == agreed(first, path));
    }
    again->idle();
  }
}

TEST_CASE("inodecalc changes at run time, for what is known too") {
  PoolFixture pool({"RW", "RW"});
  fill(pool);
  const NodeId one = pool.walk("d/one");
  const auto handle = pool.open(one, O_RDONLY);
  proto::GetattrRequest by_handle;
  by_handle.handle = handle;
  std::set<std::uint64_t> distinct;
  for (const InodeCalc calc : kAll) {
    pool.settings().inode_calc = calc;
    const std::uint64_t now = by_getattr(pool, one);
    CHECK(now == agreed(pool, "d/one"));
    CHECK(pool.fs().getattr(pool.as(one), by_handle)->attr.ino == now);
    distinct.insert(now);
  }
  // Of a file devino and hybrid are the same.
  CHECK(distinct.size() == 5);
}

}  // namespace bough::test
