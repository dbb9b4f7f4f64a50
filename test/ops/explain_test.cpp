#include "ops/explain.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <set>

#include "policy/registry.hpp"
#include "test/support/pool_fixture.hpp"

// boughfs explain's side in the pool: what it says must be what the next real call does.

namespace bough::test {
namespace {

using proto::Errno;
using proto::kRootNode;
using proto::NodeId;

struct Said {
  std::string policy;
  int error = 0;
  bool by_chance = false;
  struct Branch {
    std::string path;
    std::string mode;
    std::string verdict;
    std::string free;
    std::string least;
    bool shown = false;
  };
  std::vector<Branch> branches;

  [[nodiscard]] std::set<std::size_t> with(std::string_view verdict) const {
    std::set<std::size_t> found;
    for (std::size_t i = 0; i < branches.size(); ++i)
      if (branches[i].verdict == verdict) found.insert(i);
    return found;
  }
  [[nodiscard]] std::string verdicts() const {
    std::string text;
    for (const Branch& branch : branches) text += (text.empty() ? "" : " ") + branch.verdict;
    return text;
  }
};

int error_of(PoolFixture& pool, NodeId node, const std::string& key) {
  std::vector<std::byte> out(65536);
  const auto got = pool.fs().getxattr(pool.as(node), {key, 65536}, out);
  return got ? 0 : got.error().value();
}

Said ask(PoolFixture& pool, NodeId node, const std::string& question) {
  std::vector<std::byte> out(65536);
  const std::string key = "user.boughfs.explain." + question;
  const auto got = pool.fs().getxattr(pool.as(node), {key, 65536}, out);
  REQUIRE_MESSAGE(got.has_value(), question);
  std::vector<std::string> fields;
  const char* at = reinterpret_cast<const char*>(out.data());
  for (const char* const end = at + *got; at < end; at += fields.back().size() + 1)
    fields.emplace_back(at);
  REQUIRE(fields.size() >= 3);
  REQUIRE((fields.size() - 3) % 6 == 0);
  Said said{fields[0], fields[1].empty() ? 0 : std::stoi(fields[1]), fields[2] == "chance", {}};
  for (std::size_t i = 3; i < fields.size(); i += 6)
    said.branches.push_back({fields[i], fields[i + 1], fields[i + 2], fields[i + 3], fields[i + 4],
                             fields[i + 5] == "shown"});
  return said;
}

int create(PoolFixture& pool, NodeId parent, std::string_view name) {
  auto made =
      pool.fs().create(pool.as(parent), {pool.name(name), O_RDWR | O_CREAT, 0100644, 0, false, {}});
  if (!made) return made.error().value();
  pool.keep(made->entry);
  pool.keep(made->open);
  return 0;
}
int mkdir(PoolFixture& pool, NodeId parent, std::string_view name) {
  auto made = pool.fs().mkdir(pool.as(parent), {pool.name(name), 0755, 0, {}});
  if (!made) return made.error().value();
  pool.keep(*made);
  return 0;
}
int chmod(PoolFixture& pool, NodeId node) {
  proto::SetattrRequest request;
  request.mode = 0600;
  const auto changed = pool.fs().setattr(pool.as(node), request);
  return changed ? 0 : changed.error().value();
}
int errno_of(const proto::Result<void>& done) {
  return done ? 0 : done.error().value();
}

std::set<std::size_t> where(PoolFixture& pool, std::size_t branches, const std::string& path) {
  std::set<std::size_t> found;
  for (std::size_t i = 0; i < branches; ++i)
    if (pool.exists(i, path)) found.insert(i);
  return found;
}

std::set<std::size_t> without(std::set<std::size_t> from, const std::set<std::size_t>& these) {
  for (const std::size_t each : these) from.erase(each);
  return from;
}

std::optional<NodeId> try_walk(PoolFixture& pool, NodeId parent, std::string_view name) {
  auto found = pool.lookup(parent, name);
  if (!found) return std::nullopt;
  return pool.keep(*found);
}

/// Whether each was taken or would have done.
bool among(const std::set<std::size_t>& taken, const Said& said) {
  for (const std::size_t each : taken)
    if (said.branches[each].verdict != "chosen" && said.branches[each].verdict != "fits")
      return false;
  return true;
}

void compare(const Said& said, int error, const std::set<std::size_t>& acted_on) {
  if (said.by_chance) {
    CHECK(among(acted_on, said));
  } else {
    CHECK(error == said.error);
    CHECK(acted_on == said.with("chosen"));
  }
}

class RandomPool {
 public:
  explicit RandomPool(std::uint64_t seed) : random_(seed) {}

  void run() {
    constexpr std::uint64_t kMostBranches = 16;
    const std::size_t count = 1 + pick(kMostBranches);
    std::vector<std::string> modes;
    for (std::size_t i = 0; i < count; ++i) {
      constexpr std::array<const char*, 6> kModes{"RW", "RW,1", "RW,900000T", "RO", "NC", "RW,2M"};
      modes.emplace_back(kModes[pick(kModes.size())]);
    }
    FaultyBacking* disks = nullptr;
    PoolFixture pool(modes, with_faults(disks), [this](ops::Settings& settings) {
      settings.create = any(policy::create_policies());
      settings.search = any(policy::search_policies());
      settings.action = any(policy::action_policies());
    });
    give_room(*disks, pool, count);
    for (std::size_t i = 0; i < count; ++i) {
      if (pick(2) == 0) pool.directory(i, "d");
      for (const char* name : {"d/f", "d/g", "d/h"})
        if (pick(3) == 0) pool.file(i, name, "text");
    }
    if (where(pool, count, "d").empty()) return;
    const auto looked = try_walk(pool, kRootNode, "d");
    if (!looked) return;
    const NodeId d = *looked;

    const Said created = ask(pool, d, "create");
    const int create_error = create(pool, d, "new");
    compare(created, create_error, where(pool, count, "d/new"));
    const Said made = ask(pool, d, "mkdir");
    const int mkdir_error = mkdir(pool, d, "also");
    compare(made, mkdir_error, where(pool, count, "d/also"));

    for (const char* name : {"f", "g", "h"}) {
      const std::string path = std::string("d/") + name;
      const auto before = where(pool, count, path);
      if (before.empty()) {
        CHECK(ask(pool, d, std::string("unlink/") + name).error != 0);
        continue;
      }
      const auto node = try_walk(pool, d, name);
      if (!node) continue;
      if (pool.settings().search[ops::SearchFunction::kOpen].takes == policy::Takes::kOther)
        continue;  // another draw, or a tie that a change of room decides
      const Said changed = ask(pool, d, std::string("chmod/") + name);
      const int chmod_error = chmod(pool, *node);
      std::set<std::size_t> changed_on;
      for (const std::size_t i : before)
        if ((pool.stat(i, path).st_mode & 07777) == 0600) changed_on.insert(i);
      compare(changed, chmod_error, changed_on);
      const Said removed = ask(pool, d, std::string("unlink/") + name);
      const int unlink_error = errno_of(pool.fs().unlink(pool.as(d), {pool.name(name)}));
      compare(removed, unlink_error, without(before, where(pool, count, path)));
    }
  }

 private:
  /// Each branch has as much room as chance gives it, and keeps that: the disk that they share in
  /// truth may fill up between a question and the call.
  void give_room(FaultyBacking& disks, PoolFixture& pool, std::size_t count) {
    std::map<std::filesystem::path, std::uint64_t> blocks;
    constexpr std::array<std::uint64_t, 5> kRoom{0, 1, 100, 1'000'000, 1'000'001};
    for (std::size_t i = 0; i < count; ++i)
      blocks[std::filesystem::canonical(pool.branch(i))] = kRoom[pick(kRoom.size())];
    disks.bend_statfs([blocks](ops::FsStat& stat, int path_fd) {
      const auto path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(path_fd));
      const auto own = blocks.find(path);
      stat.fragment_size = stat.block_size = 1U << 20U;
      stat.blocks_free = stat.blocks_available = own == blocks.end() ? 0 : own->second;
    });
  }
  std::uint64_t pick(std::uint64_t below) { return random_() % below; }
  const policy::Policy* any(std::span<const policy::Policy> policies) {
    return &policies[pick(policies.size())];
  }
  std::mt19937_64 random_;
};

}  // namespace

TEST_CASE("explain says of each branch why it is not taken") {
  PoolFixture pool({"RO", "NC", "RW,900000T", "RW", "RW"}, {}, [](ops::Settings& settings) {
    settings.create = policy::find(policy::create_policies(), "epff");
  });
  for (const std::size_t i : {0U, 1U, 2U, 4U}) pool.directory(i, "d");
  const Said said = ask(pool, pool.walk("d"), "create");
  CHECK(said.policy == "epff");
  CHECK(said.error == 0);
  CHECK_FALSE(said.by_chance);
  CHECK(said.verdicts() == "read-only no-create no-room missing chosen");
  CHECK(said.branches[2].least == std::to_string(std::uint64_t{900000} << 40U));
  CHECK_FALSE(said.branches[2].free.empty());
  CHECK(said.branches[0].free.empty());
  CHECK(said.branches[3].path == pool.branch(3));
  CHECK(ask(pool, kRootNode, "create").verdicts() ==
        "read-only no-create no-room chosen not-asked");
}

TEST_CASE("explain of what exists shows which copy users see") {
  PoolFixture pool({"RW", "RO", "RW"});
  pool.file(1, "f", "shown");
  pool.file(2, "f", "hidden");
  const Said opened = ask(pool, kRootNode, "open/f");
  CHECK(opened.verdicts() == "missing chosen not-asked");
  CHECK(opened.branches[1].shown);
  CHECK_FALSE(opened.branches[2].shown);
  CHECK(ask(pool, pool.walk("f"), "open").verdicts() == opened.verdicts());
  for (const char* question : {"open/f", "unlink/f", "rename/f", "truncate/f"})
    for (const auto& branch : ask(pool, kRootNode, question).branches) {
      CHECK(branch.free.empty());
      CHECK(branch.least.empty());
    }
  const Said removed = ask(pool, kRootNode, "unlink/f");
  CHECK(removed.error == EROFS);
  CHECK(removed.verdicts() == "missing read-only fits");
  CHECK(ask(pool, kRootNode, "chmod/f").error == EROFS);
}

TEST_CASE("explain of a branch that does not answer") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW"}, with_faults(faults));
  pool.file(1, "f");
  static_cast<void>(pool.walk("f"));
  faults->fail({Call::kStatAt, 1}, EIO);
  CHECK(ask(pool, kRootNode, "unlink/f").branches[0].verdict == "silent");
  // Nobody knows whether it has the name.
  pool.directory(0, "d");
  pool.directory(1, "d");
  const NodeId d = pool.walk("d");
  faults->fail({Call::kOpenDirectory, 1, FaultyBacking::kAlways, pool.branch(0)}, EIO);
  CHECK(ask(pool, d, "create").error == EIO);
  CHECK(create(pool, d, "new") == EIO);
}

TEST_CASE("explain tells an absent branch from others, and what it does to them") {
  using ops::BranchAbsent;
  const auto with = [](BranchAbsent how) {
    return [how](ops::Settings& settings) {
      settings.branch_absent = how;
      settings.create = policy::find(policy::create_policies(), "ff");
      const std::string last = settings.branches.substr(settings.branches.rfind(':') + 1);
      std::ofstream(last.substr(0, last.find('=')) + "/.boughfs.branch_mounts_here") << "";
    };
  };
  const auto modes = [](const Said& said) {
    std::string text;
    for (const auto& branch : said.branches) text += branch.mode + " ";
    return text;
  };
  SUBCASE("eio") {
    PoolFixture pool({"RW", "RO", "RW"}, {}, with(BranchAbsent::kEio));
    pool.file(0, "f");
    const Said made = ask(pool, kRootNode, "create");
    CHECK(made.error == EIO);
    CHECK(made.verdicts() == "fits not-asked absent");
    CHECK(create(pool, kRootNode, "new") == EIO);
    CHECK(ask(pool, kRootNode, "open/f").verdicts() == "chosen not-asked absent");
    const Said unknown = ask(pool, kRootNode, "open/new");
    CHECK(unknown.error == EIO);
    CHECK(unknown.verdicts() == "missing missing absent");
  }
  SUBCASE("hide") {
    PoolFixture pool({"RW", "RO", "RW"}, {}, with(BranchAbsent::kHide));
    const Said made = ask(pool, kRootNode, "create");
    CHECK(made.error == 0);
    CHECK(made.verdicts() == "chosen not-asked absent");
  }
  SUBCASE("readonly") {
    PoolFixture pool({"RW", "RO", "RW"}, {}, with(BranchAbsent::kReadonly));
    pool.file(0, "f");
    const Said made = ask(pool, kRootNode, "create");
    CHECK(made.error == EROFS);
    CHECK(made.verdicts() == "frozen read-only absent");
    CHECK(modes(made) == "RW RO RW ");
    CHECK(ask(pool, kRootNode, "chmod/f").verdicts() == "frozen read-only absent");
    CHECK(ask(pool, kRootNode, "open/f").verdicts() == "chosen not-asked absent");
  }
}

TEST_CASE("questions that explain has no answer to") {
  PoolFixture pool;
  pool.file(0, "f");
  pool.directory(0, "d");
  const NodeId f = pool.walk("f");
  for (const char* key : {"user.boughfs.explain.", "user.boughfs.explain.remove",
                          "user.boughfs.explain.open/..", "user.boughfs.explain.open/d/e"})
    CHECK(error_of(pool, kRootNode, key) == ENODATA);
  CHECK(error_of(pool, f, "user.boughfs.explain.create") == ENOTDIR);
  CHECK(error_of(pool, f, "user.mergerfs.explain.open/x") == ENOTDIR);
  CHECK(ask(pool, kRootNode, "open/missing").error == ENOENT);
}

TEST_CASE("what explain says of random pools is what the next call does") {
  const char* const wanted = std::getenv("BOUGH_EXPLAIN_POOLS");
  const std::uint64_t pools = wanted == nullptr ? 100 : std::strtoull(wanted, nullptr, 10);
  for (std::uint64_t seed = 1; seed <= pools; ++seed) {
    CAPTURE(seed);
    RandomPool(seed).run();
  }
}

}  // namespace bough::test
