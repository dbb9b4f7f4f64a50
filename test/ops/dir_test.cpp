#include <dirent.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <map>
#include <set>
#include <thread>

#include "ops/dir_snapshot.hpp"
#include "ops/seen_files.hpp"
#include "proto/kernel_abi.hpp"
#include "test/support/branch_tree.hpp"
#include "test/support/faulty_backing.hpp"
#include "test/support/pool_fixture.hpp"

namespace bough::test {
namespace {

using proto::Errno;
using proto::HandleId;
using proto::kRootNode;
using proto::NodeId;
using Listed = PoolFixture::Listed;

HandleId opendir(PoolFixture& pool, NodeId node) {
  auto opened = pool.fs().opendir(pool.as(node), {});
  REQUIRE(opened.has_value());
  return pool.keep(*opened, true);
}

/// All entries from `offset` on, "." and ".." included.
std::vector<Listed> all_from(PoolFixture& pool, HandleId handle, std::uint64_t offset,
                             std::uint32_t size) {
  std::vector<Listed> all;
  for (auto part = pool.readdir(handle, offset, size); !part.empty();
       part = pool.readdir(handle, offset, size)) {
    offset = part.back().cookie;
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

struct Plus {
  Listed entry;
  std::uint64_t node = 0;
  std::uint64_t ino = 0;
  std::uint32_t mode = 0;
};

std::vector<Plus> parse_plus(std::span<const std::byte> data) {
  std::vector<Plus> all;
  while (data.size() >= sizeof(proto::abi::Direntplus)) {
    proto::abi::Direntplus wire;
    std::memcpy(&wire, data.data(), sizeof wire);
    Plus each;
    each.node = wire.entry.nodeid;
    each.ino = wire.entry.attr.ino;
    each.mode = wire.entry.attr.mode;
    each.entry.ino = wire.dirent.ino;
    each.entry.cookie = wire.dirent.off;
    each.entry.type = wire.dirent.type;
    each.entry.name.assign(reinterpret_cast<const char*>(data.data() + sizeof wire),
                           wire.dirent.namelen);
    all.push_back(each);
    const std::size_t size = (sizeof wire + wire.dirent.namelen + 7) / 8 * 8;
    data = data.subspan(std::min(size, data.size()));
  }
  return all;
}

/// One READDIRPLUS; its counts are given back by the packer, as if the reply had been refused,
/// unless `keep`.
std::vector<Plus> readdirplus(PoolFixture& pool, HandleId handle, std::uint64_t offset,
                              std::uint32_t size, bool keep = false) {
  std::vector<std::byte> buffer(size);
  proto::DirentPlusPacker packer(buffer, pool.fs());
  proto::ReaddirplusRequest request;
  request.handle = handle;
  request.offset = offset;
  request.size = size;
  REQUIRE(pool.fs().readdirplus(pool.as(kRootNode), request, packer).has_value());
  auto all = parse_plus(std::span<const std::byte>(buffer).first(packer.size()));
  if (keep) packer.keep();
  return all;
}

Errno readdir_error(PoolFixture& pool, HandleId handle, std::uint64_t offset = 0,
                    std::uint32_t size = 4096) {
  std::vector<std::byte> buffer(size);
  proto::DirentPacker packer(buffer);
  proto::ReaddirRequest request;
  request.handle = handle;
  request.offset = offset;
  request.size = size;
  const auto done = pool.fs().readdir(pool.as(kRootNode), request, packer);
  return done.error();
}

}  // namespace

TEST_CASE("a listing shows each name once, with the first branch's type") {
  PoolFixture pool({"RW", "RO", "RW"});
  pool.file(0, "d/both");
  pool.directory(1, "d/both");
  pool.file(1, "d/one");
  std::filesystem::create_symlink("x", pool.branch(1) / "d/link");
  pool.directory(2, "d/two");
  pool.file(2, "d/one");
  const NodeId d = pool.walk("d");
  const auto handle = opendir(pool, d);
  const auto all = all_from(pool, handle, 0, 4096);
  std::map<std::string, Listed> by_name;
  for (const Listed& each : all) CHECK(by_name.emplace(each.name, each).second);
  CHECK(by_name.size() == 6);
  CHECK(by_name["both"].type == DT_REG);
  CHECK(by_name["link"].type == DT_LNK);
  CHECK(by_name["two"].type == DT_DIR);
  CHECK(all[0].name == ".");
  CHECK(all[1].name == "..");
  for (const auto& each : by_name) {
    const std::string& name = each.first;
    const Listed& entry = each.second;
    CAPTURE(name);
    const NodeId node = name == "." ? d : name == ".." ? kRootNode : pool.walk("d/" + name);
    CHECK(entry.ino == pool.fs().getattr(pool.as(node), {})->attr.ino);
    CHECK(entry.cookie > 0);
    CHECK(entry.cookie < std::uint64_t{1} << 63U);
  }
}

TEST_CASE("one branch: its own offsets, and the pool's inode numbers") {
  PoolFixture pool({"RW", "RW"});
  pool.directory(0, "d");
  for (int i = 0; i < 50; ++i) pool.file(0, "d/f" + std::to_string(i));
  const NodeId d = pool.walk("d");
  const auto all = all_from(pool, opendir(pool, d), 0, 1024);
  CHECK(all.size() == 52);
  for (const Listed& each : all) {
    const NodeId node = each.name == "."    ? d
                        : each.name == ".." ? kRootNode
                                            : pool.walk("d/" + each.name);
    CHECK(each.ino == pool.fs().getattr(pool.as(node), {})->attr.ino);
  }
  // The root's parent is the root.
  for (const Listed& each : all_from(pool, opendir(pool, kRootNode), 0, 1024))
    if (each.name == "..") CHECK(each.ino == pool.fs().getattr(pool.as(kRootNode), {})->attr.ino);
}

TEST_CASE("listings of every size, in buffers of every size, by one handle and by many") {
  for (const std::size_t branches : {1U, 2U, 3U})
    for (const int count : {0, 1, 1000, 20000}) {
      CAPTURE(branches);
      CAPTURE(count);
      if (branches == 3 && count > 1000) continue;
      PoolFixture pool(std::vector<std::string>(branches, "RW"));
      std::set<std::string> names{".", ".."};
      // Links to one file: quickly made and removed.
      for (std::size_t i = 0; i < branches; ++i) {
        pool.directory(i, "d");
        pool.file(i, "one");
      }
      for (int i = 0; i < count; ++i) {
        const std::string name =
            "name-" + std::to_string(i) + std::string(static_cast<std::size_t>(i % 13), 'x');
        names.insert(name);
        // Some names on every branch, most on one.
        for (std::size_t b = 0; b < branches; ++b)
          if (i % 10 == 0 || static_cast<std::size_t>(i) % branches == b)
            REQUIRE(::link((pool.branch(b) / "one").c_str(),
                           (pool.branch(b) / "d" / name).c_str()) == 0);
      }
      const NodeId d = pool.walk("d");
      std::vector<std::uint32_t> sizes{4096, 131072};
      if (count <= 1000) sizes.push_back(320);
      std::vector<Listed> all;
      for (const std::uint32_t size : sizes) {
        all = all_from(pool, opendir(pool, d), 0, size);
        std::set<std::string> seen;
        for (const Listed& each : all) seen.insert(each.name);
        CHECK(seen.size() == all.size());
        CHECK(seen == names);
      }
      // From any entry on, a new handle goes on with the next.
      for (std::size_t i = 0; i < all.size(); i += 1 + all.size() / 7) {
        const auto handle = opendir(pool, d);
        const auto rest = all_from(pool, handle, all[i].cookie, 131072);
        REQUIRE(rest.size() == all.size() - i - 1);
        for (std::size_t k = 0; k < rest.size(); ++k) REQUIRE(rest[k].name == all[i + 1 + k].name);
        pool.release(handle);
      }
    }
}

TEST_CASE("READDIRPLUS looks each name up and counts it only if the kernel gets it") {
  for (const std::size_t branches : {1U, 2U}) {
    CAPTURE(branches);
    PoolFixture pool(std::vector<std::string>(branches, "RW"));
    for (std::size_t i = 0; i < branches; ++i) pool.directory(i, "d");
    for (int i = 0; i < 100; ++i)
      pool.file(static_cast<std::size_t>(i) % branches, "d/f" + std::to_string(i));
    pool.directory(0, "d/sub");
    const NodeId d = pool.walk("d");
    const auto handle = opendir(pool, d);
    const auto lookups = pool.count("lookups");
    (void)readdirplus(pool, handle, 0, 4096);
    CHECK(pool.count("lookups") == lookups);

    std::set<std::string> seen;
    std::uint64_t offset = 0;
    std::vector<std::uint64_t> counted;
    for (auto part = readdirplus(pool, handle, 0, 4096, true); !part.empty();
         part = readdirplus(pool, handle, offset, 4096, true))
      for (const Plus& each : part) {
        offset = each.entry.cookie;
        CHECK(seen.insert(each.entry.name).second);
        const bool dot = each.entry.name == "." || each.entry.name == "..";
        CHECK((each.node == 0) == dot);
        if (dot) continue;
        counted.push_back(each.node);
        CHECK(each.ino == each.entry.ino);
        CHECK(each.entry.type == (each.mode >> 12U));
        CHECK(NodeId{each.node} == pool.walk("d/" + each.entry.name));
      }
    CHECK(seen.size() == 103);
    // READDIR goes on from READDIRPLUS's cookies.
    const auto part = readdirplus(pool, handle, 0, 4096);
    CHECK(all_from(pool, handle, part.back().entry.cookie, 4096).size() == 103 - part.size());
    for (const std::uint64_t node : counted) pool.fs().forget(NodeId{node}, 1);
  }
}

TEST_CASE(
    "READDIRPLUS goes by the branches as they are now, whatever they were when it was begun") {
  PoolFixture pool({"RW", "RW", "RW"});
  pool.file(2, "d/x", "hidden");
  pool.directory(0, "d");
  pool.file(1, "d/x", "shown");
  const NodeId d = pool.walk("d");
  const auto handle = opendir(pool, d);
  CHECK(pool.readdir(handle, 0, 64).size() == 2);
  auto control = pool.lookup(kRootNode, ".boughfs");
  REQUIRE(control.has_value());
  const std::string list =
      pool.branch(1).string() + ":" + pool.branch(2).string() + ":" + pool.branch(0).string();
  proto::SetxattrRequest set;
  set.name = "user.boughfs.branches";
  set.value = std::as_bytes(std::span(list.data(), list.size()));
  REQUIRE(pool.fs().setxattr(pool.as(control->entry.node), set).has_value());
  const auto entries = readdirplus(pool, handle, 2, 4096, true);
  REQUIRE(entries.size() == 1);
  CHECK(NodeId{entries[0].node} == pool.walk("d/x"));
  CHECK(pool.read(pool.open(NodeId{entries[0].node}, O_RDONLY)) == "shown");
  pool.fs().forget(NodeId{entries[0].node}, 1);
}

TEST_CASE(
    "READDIRPLUS asks the branch on which a name was listed, and others if it went from there") {
  FaultyBacking* faulty = nullptr;
  PoolFixture pool({"RW", "RW", "RW"}, test::with_faults(faulty));
  pool.file(0, "first", "");
  pool.file(2, "moves", "");
  pool.file(2, "last", "");
  auto opened = pool.fs().opendir(pool.as(kRootNode), proto::OpendirRequest{});
  REQUIRE(opened.has_value());
  const auto handle = pool.keep(*opened, true);
  faulty->reset();
  CHECK(readdirplus(pool, handle, 0, 4096).size() == 5);
  CHECK(faulty->calls(Call::kStatAt) == 3);
  // After the names were read.
  const auto dots = readdirplus(pool, handle, 0, 400);
  REQUIRE(dots.size() >= 2);
  std::filesystem::rename(pool.branch(2) / "moves", pool.branch(0) / "moves");
  std::size_t names = 0;
  for (const auto& each : readdirplus(pool, handle, dots[1].entry.cookie, 4096))
    names += each.node != 0 ? 1 : 0;
  CHECK(names == 3);
}

TEST_CASE("READDIRPLUS: a name that vanished is left out, one that cannot be looked at is shown") {
  FaultyBacking* faulty = nullptr;
  PoolFixture pool({"RW", "RW"}, [&](ops::Backing& real) {
    auto made = std::make_unique<FaultyBacking>(real);
    faulty = made.get();
    return made;
  });
  pool.file(0, "a");
  pool.file(0, "b");
  pool.file(1, "c");
  const auto handle = opendir(pool, kRootNode);
  // The snapshot is taken by the first call; the second meets another directory.
  const auto dots = readdirplus(pool, handle, 0, 320);
  REQUIRE(dots.size() < 4);
  std::filesystem::remove(pool.branch(0) / "a");
  auto rest = readdirplus(pool, handle, 2, 4096);
  CHECK(rest.size() == 2);
  faulty->fail({Call::kStatAt, 1, FaultyBacking::kAlways, {}}, EIO);
  rest = readdirplus(pool, handle, 2, 4096);
  CHECK(rest.size() == 3);
  for (const Plus& each : rest) CHECK(each.node == 0);
}

TEST_CASE("a handle that was let go of goes on where it was") {
  for (const std::size_t branches : {1U, 2U}) {
    PoolFixture pool(std::vector<std::string>(branches, "RW"));
    for (int i = 0; i < 300; ++i)
      pool.file(static_cast<std::size_t>(i) % branches, "f" + std::to_string(i));
    const auto handle = opendir(pool, kRootNode);
    std::set<std::string> seen;
    std::uint64_t offset = 0;
    const auto descriptors = open_descriptors();
    for (auto part = pool.readdir(handle, 0, 1024); !part.empty();
         part = pool.readdir(handle, offset, 1024)) {
      for (const Listed& each : part) {
        CHECK(seen.insert(each.name).second);
        offset = each.cookie;
      }
      pool.fs().idle();
      CHECK(open_descriptors() < descriptors);
    }
    CHECK(seen.size() == 302);
  }
}

TEST_CASE("offset 0 reads anew") {
  for (const std::size_t branches : {1U, 2U}) {
    PoolFixture pool(std::vector<std::string>(branches, "RW"));
    pool.file(0, "a");
    const auto handle = opendir(pool, kRootNode);
    CHECK(all_from(pool, handle, 0, 4096).size() == 3);
    pool.file(branches - 1, "b");
    CHECK(all_from(pool, handle, 0, 4096).size() == 4);
  }
}

TEST_CASE("names that come and go leave those that stay where they are") {
  for (const std::size_t branches : {1U, 3U}) {
    CAPTURE(branches);
    PoolFixture pool(std::vector<std::string>(branches, "RW"));
    std::set<std::string> stay{".", ".."};
    for (std::size_t i = 0; i < branches; ++i) pool.directory(i, "d");
    for (int i = 0; i < 500; ++i) {
      pool.file(static_cast<std::size_t>(i) % branches, "d/stay" + std::to_string(i));
      stay.insert("stay" + std::to_string(i));
    }
    const NodeId d = pool.walk("d");
    std::atomic<bool> stop{false};
    std::thread churn([&] {
      for (int i = 0; !stop; ++i) {
        const auto at = pool.branch(static_cast<std::size_t>(i) % branches) / "d";
        const std::string name = "churn" + std::to_string(i % 64);
        const int fd = ::open((at / name).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
        if (fd >= 0) ::close(fd);
        ::rename((at / name).c_str(), (at / (name + "x")).c_str());
        ::unlink((at / (name + "x")).c_str());
      }
    });
    for (int round = 0; round < 20; ++round) {
      std::multiset<std::string> seen;
      // A new handle for each part, as NFS has it, in every other round.
      auto handle = opendir(pool, d);
      std::uint64_t offset = 0;
      for (auto part = pool.readdir(handle, 0, 1024); !part.empty();
           part = pool.readdir(handle, offset, 1024)) {
        offset = part.back().cookie;
        for (const Listed& each : part) seen.insert(each.name);
        if (round % 2 == 1) {
          pool.release(handle);
          handle = opendir(pool, d);
        }
      }
      pool.release(handle);
      for (const std::string& name : stay) CHECK_MESSAGE(seen.count(name) == 1, name);
    }
    stop = true;
    churn.join();
  }
}

TEST_CASE("names with equal hashes are told apart") {
  using Hash = std::uint64_t (*)(std::string_view);
  const std::array<Hash, 5> hashes{
      [](std::string_view) { return std::uint64_t{0}; },
      [](std::string_view) { return UINT64_MAX; },
      [](std::string_view name) { return ops::hash_text(name) & 0x300U; },
      [](std::string_view name) { return ops::hash_text(name) << 60U; },
      [](std::string_view name) { return static_cast<std::uint64_t>(name.size()) << 20U; }};
  for (const Hash hash : hashes) {
    ops::DirSnapshot snapshot;
    std::set<std::string> names;
    for (int i = 0; i < 3000; ++i)
      names.insert(std::string(static_cast<std::size_t>(1 + i % 20), 'n') + std::to_string(i));
    for (const std::string& name : names) snapshot.add(name, 1, DT_REG, 4);
    for (const std::string& name : names) snapshot.add(name, 2, DT_DIR, 5);
    snapshot.seal(hash);
    REQUIRE(snapshot.size() == names.size());
    CHECK(snapshot.after(0) == 0);
    std::set<std::string> seen;
    std::uint64_t last = ops::DirSnapshot::kFirstCookie - 1;
    for (std::size_t i = 0; i < snapshot.size(); ++i) {
      const auto entry = snapshot[i];
      REQUIRE(entry.cookie > last);
      REQUIRE(entry.cookie < std::uint64_t{1} << 63U);
      REQUIRE(snapshot.after(entry.cookie) == i + 1);
      last = entry.cookie;
      CHECK(entry.ino == 1);
      CHECK(snapshot.branch(i) == 4);
      CHECK(entry.name.data()[entry.name.size()] == '\0');
      seen.emplace(entry.name);
    }
    CHECK(seen == names);
  }
}

TEST_CASE("a branch that cannot be listed is not taken for empty") {
  for (const Call call : {Call::kList, Call::kOpenDirectory}) {
    FaultyBacking* faulty = nullptr;
    PoolFixture pool({"RW", "RW"}, [&](ops::Backing& real) {
      auto made = std::make_unique<FaultyBacking>(real);
      faulty = made.get();
      return made;
    });
    pool.file(0, "d/a");
    pool.file(1, "d/b");
    const auto handle = opendir(pool, pool.walk("d"));
    faulty->fail({call, 1, FaultyBacking::kAlways, pool.branch(1)}, EIO);
    CHECK(readdir_error(pool, handle) == Errno{EIO});
    faulty->reset();
    CHECK(all_from(pool, handle, 0, 4096).size() == 4);
    // Descriptors that ran out are found again.
    faulty->fail({Call::kOpenDirectory}, EMFILE);
    CHECK(all_from(pool, handle, 0, 4096).size() == 4);
    CHECK(pool.count("descriptor_shortages") == 1);
  }
}

TEST_CASE("whichever call of a listing fails, it fails whole, and the next one is whole") {
  for (const std::size_t branches : {1U, 2U}) {
    bool failed = true;
    for (std::uint64_t k = 1; failed; ++k) {
      CAPTURE(k);
      REQUIRE(k < 100);
      FaultyBacking* faulty = nullptr;
      PoolFixture pool(std::vector<std::string>(branches, "RW"), [&](ops::Backing& real) {
        auto made = std::make_unique<FaultyBacking>(real);
        faulty = made.get();
        return made;
      });
      for (std::size_t i = 0; i < branches; ++i) pool.file(i, "d/f" + std::to_string(i));
      const NodeId d = pool.walk("d");
      faulty->reset();
      faulty->fail({Call::kAny, k}, EIO);
      auto opened = pool.fs().opendir(pool.as(d), {});
      if (opened) {
        const auto handle = pool.keep(*opened, true);
        std::vector<std::byte> buffer(4096);
        proto::DirentPlusPacker packer(buffer, pool.fs());
        proto::ReaddirplusRequest request{handle, 0, 4096};
        const auto done = pool.fs().readdirplus(pool.as(d), request, packer);
        const auto parsed = parse_plus(std::span<const std::byte>(buffer).first(packer.size()));
        if (done) CHECK(parsed.size() == 2 + branches);
      }
      failed = faulty->failures() > 0;
      faulty->reset();
      CHECK(pool.list(d).size() == branches);
    }
  }
}

TEST_CASE("what a move keeps on a branch is not listed") {
  for (const std::vector<std::string>& modes :
       {std::vector<std::string>{"RW"}, std::vector<std::string>{"RW", "RW"}}) {
    PoolFixture pool(modes);
    for (const char* name : {".boughfs-12ab.move", ".boughfs-12ab.moved", ".boughfs-7.part",
                             ".boughfs-x.move", ".boughfs-12ab", "shown"})
      pool.file(modes.size() - 1, name);
    std::set<std::string> names;
    for (const Listed& each : all_from(pool, opendir(pool, kRootNode), 0, 4096))
      names.insert(each.name);
    CHECK(names == std::set<std::string>{".", "..", ".boughfs-12ab", ".boughfs-x.move", "shown"});
  }
}

TEST_CASE("directories that are not there") {
  PoolFixture pool({"RW", "RW"});
  pool.directory(0, "d");
  pool.file(0, "f");
  const NodeId d = pool.walk("d");
  CHECK(pool.fs().opendir(pool.as(pool.walk("f")), {}).error() == Errno{ENOTDIR});
  CHECK(pool.fs().opendir(pool.as(NodeId{0x123456}), {}).error() == Errno{ESTALE});
  CHECK(readdir_error(pool, HandleId{42}) == Errno{EBADF});
  CHECK(pool.fs().fsyncdir(pool.as(d), {HandleId{42}, false}).error() == Errno{EBADF});
  const auto handle = opendir(pool, d);
  CHECK(readdir_error(pool, handle, 0, 8) == Errno{EINVAL});
  CHECK(pool.fs().fsyncdir(pool.as(d), {handle, true}).has_value());
  // A file's handle is no directory's.
  const auto file = pool.open(pool.walk("f"), O_RDONLY);
  CHECK(readdir_error(pool, file) == Errno{EBADF});
  REQUIRE(pool.fs().rmdir(pool.as(kRootNode), {pool.name("d")}).has_value());
  CHECK(readdir_error(pool, handle) == Errno{ENOENT});
  CHECK(pool.fs().fsyncdir(pool.as(d), {handle, false}).has_value());
  CHECK(pool.fs().opendir(pool.as(d), {}).has_value());
  CHECK(pool.count("handles") == 2);
}

TEST_CASE("fsyncdir reaches every copy and tells of the first failure") {
  FaultyBacking* faulty = nullptr;
  PoolFixture pool({"RW", "RW", "RW"}, [&](ops::Backing& real) {
    auto made = std::make_unique<FaultyBacking>(real);
    faulty = made.get();
    return made;
  });
  for (const std::size_t i : {0U, 1U, 2U}) pool.directory(i, "d");
  const NodeId d = pool.walk("d");
  const auto handle = opendir(pool, d);
  faulty->reset();
  faulty->fail({Call::kSync, 1, 1, pool.branch(1)}, EIO);
  CHECK(pool.fs().fsyncdir(pool.as(d), {handle, false}).error() == Errno{EIO});
  CHECK(faulty->calls(Call::kSync) == 3);
  CHECK(pool.fs().fsyncdir(pool.as(d), {handle, false}).has_value());
}

TEST_CASE("a directory that is renamed while it is read is read on") {
  PoolFixture pool({"RW", "RW"});
  for (int i = 0; i < 200; ++i)
    pool.file(static_cast<std::size_t>(i % 2), "d/" + std::to_string(i));
  const NodeId d = pool.walk("d");
  const auto handle = opendir(pool, d);
  const auto first = pool.readdir(handle, 0, 1024);
  REQUIRE(pool.fs()
              .rename(pool.as(kRootNode), {kRootNode, pool.name("d"), pool.name("e"), 0})
              .has_value());
  CHECK(all_from(pool, handle, first.back().cookie, 1024).size() == 202 - first.size());
  pool.fs().idle();
  CHECK(all_from(pool, handle, first.back().cookie, 1024).size() == 202 - first.size());
}

TEST_CASE(
    "a directory that was removed ends where it was read to, whatever its offsets mean by now") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, test::with_faults(faults));
  for (const char* name : {"d/a", "d/b", "d/c"}) pool.file(0, name);
  auto opened = pool.fs().opendir(pool.as(pool.walk("d")), {});
  REQUIRE(opened.has_value());
  const HandleId handle = pool.keep(*opened, true);
  const auto part = pool.readdir(handle, 0, 64);
  REQUIRE_FALSE(part.empty());
  std::vector<std::byte> buffer(4096);
  proto::DirentPacker out(buffer);
  faults->fail({test::Call::kSeek, 1, 2}, EINVAL);
  CHECK(pool.fs().readdir(pool.as(kRootNode), {handle, part.back().cookie, 4096}, out).error() ==
        Errno{EINVAL});
  std::filesystem::remove_all(pool.branch(0) / "d");
  CHECK(pool.fs().readdir(pool.as(kRootNode), {handle, part.back().cookie, 4096}, out).has_value());
  CHECK(out.entries() == 0);
}

TEST_CASE("a listing is kept by the kernel while no copy of the directory changes") {
  namespace flag = proto::abi::open_reply;
  ops::Settings* settings = nullptr;
  PoolFixture pool({"RW", "RW", "RO"}, {}, [&](ops::Settings& tuned) { settings = &tuned; });
  for (const std::size_t i : {0U, 1U, 2U}) pool.directory(i, "d");
  const auto d = pool.walk("d");
  const auto flags = [&] {
    auto opened = pool.fs().opendir(pool.as(d), {});
    REQUIRE(opened.has_value());
    return opened->flags;
  };
  CHECK(flags() == 0);
  settings->cache_readdir = true;
  const auto settle = [] {
    std::this_thread::sleep_for(std::chrono::nanoseconds(ops::SeenFiles::kSlowlySettled));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  };
  CHECK(flags() == flag::kCacheDir);
  CHECK(flags() == flag::kCacheDir);
  settle();
  CHECK(flags() == flag::kCacheDir);
  CHECK(flags() == (flag::kCacheDir | flag::kKeepCache));
  // The copy whose times nobody is shown.
  pool.file(2, "d/new");
  CHECK(flags() == flag::kCacheDir);
  settle();
  CHECK(flags() == flag::kCacheDir);
  CHECK(flags() == (flag::kCacheDir | flag::kKeepCache));
  settings->cache_readdir = false;
  CHECK(flags() == 0);
}

TEST_CASE("a listing is not kept while a branch does not say how its copy is") {
  namespace flag = proto::abi::open_reply;
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW"}, with_faults(faults),
                   [](ops::Settings& tuned) { tuned.cache_readdir = true; });
  for (const std::size_t i : {0U, 1U}) pool.directory(i, "d");
  const auto d = pool.walk("d");
  faults->fail({Call::kOpenDirectory, 1, FaultyBacking::kAlways, pool.branch(1).string()}, EIO);
  auto opened = pool.fs().opendir(pool.as(d), {});
  REQUIRE(opened.has_value());
  CHECK(opened->flags == 0);
}

}  // namespace bough::test
