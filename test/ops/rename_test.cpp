#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "test/support/branch_tree.hpp"
#include "test/support/faulty_backing.hpp"
#include "test/support/pool_fixture.hpp"

namespace bough::test {
namespace {

using proto::Context;
using proto::Errno;
using proto::kRootNode;
using proto::NodeId;

constexpr std::uint32_t kNoReplace = 1;
constexpr std::uint32_t kExchange = 2;
constexpr std::uint32_t kWhiteout = 4;

/// 0 or the errno.
int rename(PoolFixture& pool, Context context, NodeId old_parent, std::string_view old_name,
           NodeId new_parent, std::string_view new_name, std::uint32_t flags = 0) {
  context.node = old_parent;
  return pool.fs()
      .rename(context, {new_parent, pool.name(old_name), pool.name(new_name), flags})
      .error()
      .value();
}
int rename(PoolFixture& pool, NodeId old_parent, std::string_view old_name, NodeId new_parent,
           std::string_view new_name, std::uint32_t flags = 0) {
  return rename(pool, pool.as(old_parent), old_parent, old_name, new_parent, new_name, flags);
}

/// What lies under a name on one branch.
enum class Kind { kNone, kFile, kEmpty, kFull };

void put(PoolFixture& pool, std::size_t branch, const std::string& path, Kind kind,
         const std::string& mark) {
  if (kind == Kind::kFile) pool.file(branch, path, mark);
  if (kind == Kind::kEmpty || kind == Kind::kFull) pool.directory(branch, path);
  if (kind == Kind::kFull) pool.file(branch, path + "/" + mark, mark);
}

/// Moves a name and what is below it in a tree.
void move_in(Tree& tree, const std::string& from, const std::string& to) {
  Tree moved;
  for (auto at = tree.begin(); at != tree.end();) {
    const bool below = at->first.compare(0, from.size() + 1, from + "/") == 0;
    if (at->first != from && !below) {
      ++at;
      continue;
    }
    moved[to + at->first.substr(from.size())] = at->second;
    at = tree.erase(at);
  }
  tree.merge(moved);
}

/// One situation of the matrix: what each of two branches has under either name.
struct Situation {
  std::array<Kind, 2> old_kinds;
  std::array<Kind, 2> new_kinds;
  std::uint32_t flags = 0;

  /// What POSIX and the rules for several branches want: an errno, or 0 and the trees changed.
  int expect(std::vector<Tree>& trees, const std::string& from, const std::string& to) const {
    const auto shown = [](const std::array<Kind, 2>& kinds) {
      return kinds[0] != Kind::kNone ? kinds[0] : kinds[1];
    };
    const Kind what = shown(old_kinds);
    const Kind there = shown(new_kinds);
    const bool moves_directory = what != Kind::kFile;
    if (flags == kNoReplace && there != Kind::kNone) return EEXIST;
    if (flags == kExchange) {
      if (there == Kind::kNone) return ENOENT;
      for (std::size_t i = 0; i < 2; ++i)
        if ((old_kinds[i] == Kind::kNone) != (new_kinds[i] == Kind::kNone)) return EXDEV;
      for (Tree& tree : trees) {
        move_in(tree, from, "aside");
        move_in(tree, to, from);
        move_in(tree, "aside", to);
      }
      return 0;
    }
    if (there != Kind::kNone && moves_directory && there == Kind::kFile) return ENOTDIR;
    if (there != Kind::kNone && !moves_directory && there != Kind::kFile) return EISDIR;
    for (const Kind each : new_kinds)
      if (there != Kind::kNone && each == Kind::kFull) return ENOTEMPTY;
    const std::string parent = std::filesystem::path(to).parent_path();
    for (std::size_t i = 0; i < 2; ++i) {
      if (new_kinds[i] != Kind::kNone) trees[i].erase(to);
      if (old_kinds[i] == Kind::kNone) continue;
      move_in(trees[i], from, to);
      if (!parent.empty()) trees[i][parent] = "d";
    }
    return 0;
  }
};

std::vector<Situation> situations() {
  std::vector<Situation> all;
  const std::array<std::array<bool, 2>, 3> holders{{{true, false}, {false, true}, {true, true}}};
  const auto spread = [](Kind kind, const std::array<bool, 2>& on) {
    return std::array<Kind, 2>{on[0] ? kind : Kind::kNone, on[1] ? kind : Kind::kNone};
  };
  for (const Kind old_kind : {Kind::kFile, Kind::kEmpty, Kind::kFull})
    for (const auto& old_on : holders)
      for (const std::uint32_t flags : {0U, kNoReplace, kExchange}) {
        all.push_back({spread(old_kind, old_on), {Kind::kNone, Kind::kNone}, flags});
        for (const Kind new_kind : {Kind::kFile, Kind::kEmpty, Kind::kFull})
          for (const auto& new_on : holders)
            all.push_back({spread(old_kind, old_on), spread(new_kind, new_on), flags});
        // One copy full, one empty.
        all.push_back({spread(old_kind, old_on), {Kind::kEmpty, Kind::kFull}, flags});
        all.push_back({spread(old_kind, old_on), {Kind::kFull, Kind::kEmpty}, flags});
      }
  return all;
}

}  // namespace

TEST_CASE("a rename is refused as between file systems where no directory can be on its branch") {
  for (const bool symlink : {false, true}) {
    CAPTURE(symlink);
    PoolFixture pool({"RW", "RW"});
    pool.directory(0, "d/e");
    pool.file(1, "f", "text");
    if (symlink)
      std::filesystem::create_symlink("/", pool.branch(1) / "d");
    else
      pool.file(1, "d", "in the way");
    const Tree before = tree_of(pool.branch(1));
    CHECK(rename(pool, kRootNode, "f", pool.walk("d"), "g") == EXDEV);
    CHECK(rename(pool, kRootNode, "f", pool.walk("d/e"), "g") == EXDEV);
    CHECK(tree_of(pool.branch(1)) == before);
  }
}

TEST_CASE("rename: every situation on two branches comes out as expected") {
  for (const bool same_parent : {true, false})
    for (const Situation& now : situations()) {
      CAPTURE(same_parent);
      CAPTURE(now.flags);
      for (std::size_t i = 0; i < 2; ++i) {
        CAPTURE(static_cast<int>(now.old_kinds[i]));
        CAPTURE(static_cast<int>(now.new_kinds[i]));
      }
      PoolFixture pool({"RW", "RW"});
      const std::string to = same_parent ? "new" : "p/q/new";
      for (std::size_t i = 0; i < 2; ++i) {
        put(pool, i, "old", now.old_kinds[i], "o" + std::to_string(i));
        put(pool, i, to, now.new_kinds[i], "n" + std::to_string(i));
      }
      // At least one branch has the new parent.
      if (!same_parent) pool.directory(1, "p/q");
      const NodeId parent = same_parent ? kRootNode : pool.walk("p/q");
      const NodeId moved = pool.walk("old");
      const bool replaces = now.new_kinds[0] != Kind::kNone || now.new_kinds[1] != Kind::kNone;
      const NodeId replaced = replaces ? pool.walk(to) : proto::kNoNode;
      auto expected = trees_of(pool, 2);
      const int error = now.expect(expected, "old", to);
      for (Tree& tree : expected)
        if (tree.count("p/q") != 0) tree["p"] = "d";

      CHECK(rename(pool, kRootNode, "old", parent, "new", now.flags) == error);
      CHECK(trees_of(pool, 2) == expected);

      // The kernel's dentries moved with it: so do our edges.
      if (error == 0 && now.flags == kExchange) {
        CHECK(pool.walk(to) == moved);
        CHECK(pool.walk("old") == replaced);
      } else if (error == 0) {
        CHECK(pool.walk(to) == moved);
        CHECK(pool.lookup(kRootNode, "old").error() == Errno{ENOENT});
        if (replaces && now.new_kinds[0] == Kind::kFile)
          CHECK(pool.fs().getattr(pool.as(replaced), {})->attr.nlink == 0);
      } else {
        CHECK(pool.walk("old") == moved);
        if (replaces) CHECK(pool.walk(to) == replaced);
      }
      CHECK(pool.fs().getattr(pool.as(moved), {}).has_value());
      CHECK(pool.count("unpinned_victims") == 0);
    }
}

TEST_CASE("rename: a directory keeps its node, and what is below it") {
  PoolFixture pool({"RW", "RW"});
  pool.file(0, "a/b/f", "0");
  pool.file(1, "a/b/g", "1");
  pool.directory(1, "t");
  const NodeId f = pool.walk("a/b/f");
  const NodeId b = pool.walk("a/b");
  CHECK(rename(pool, pool.walk("a"), "b", pool.walk("t"), "c") == 0);
  CHECK(pool.walk("t/c/f") == f);
  CHECK(pool.fs().getattr(pool.as(f), {}).has_value());
  CHECK(pool.list(b) == std::vector<std::string>{"f", "g"});
  CHECK(tree_of(pool.branch(0)) == Tree{{"a", "d"}, {"t", "d"}, {"t/c", "d"}, {"t/c/f", "f:0"}});
  CHECK(tree_of(pool.branch(1)) == Tree{{"a", "d"}, {"t", "d"}, {"t/c", "d"}, {"t/c/g", "f:1"}});
}

TEST_CASE("rename between two names of one file does nothing") {
  PoolFixture pool({"RW", "RW"});
  pool.file(0, "f", "text");
  std::filesystem::create_hard_link(pool.branch(0) / "f", pool.branch(0) / "g");
  const auto before = trees_of(pool, 2);
  CHECK(rename(pool, kRootNode, "f", kRootNode, "g") == 0);
  CHECK(trees_of(pool, 2) == before);
  CHECK(pool.walk("f") == pool.walk("g"));
}

TEST_CASE("rename and read-only branches") {
  SUBCASE("what users see is on a read-only branch") {
    PoolFixture pool({"RO", "RW"});
    pool.file(0, "f", "shown");
    pool.file(1, "f", "hidden");
    const auto before = trees_of(pool, 2);
    CHECK(rename(pool, kRootNode, "f", kRootNode, "g") == EROFS);
    CHECK(rename(pool, kRootNode, "f", kRootNode, "g", kExchange) == ENOENT);
    CHECK(trees_of(pool, 2) == before);
  }
  SUBCASE("a hidden read-only copy of the old name stays") {
    PoolFixture pool({"RW", "RO"});
    pool.file(0, "f", "shown");
    pool.file(1, "f", "hidden");
    CHECK(rename(pool, kRootNode, "f", kRootNode, "g") == 0);
    CHECK(trees_of(pool, 2) == std::vector<Tree>{{{"g", "f:shown"}}, {{"f", "f:hidden"}}});
    CHECK(pool.list(kRootNode) == std::vector<std::string>{"f", "g"});
  }
  SUBCASE("a read-only copy of the new name would hide what moved") {
    PoolFixture pool({"RO", "RW"});
    pool.file(0, "g", "stays");
    pool.file(1, "f", "moves");
    const auto before = trees_of(pool, 2);
    CHECK(rename(pool, kRootNode, "f", kRootNode, "g") == EROFS);
    CHECK(trees_of(pool, 2) == before);
  }
  SUBCASE("behind what moved it does not") {
    PoolFixture pool({"NC", "RO"});
    pool.file(1, "g", "stays");
    pool.file(0, "f", "moves");
    CHECK(rename(pool, kRootNode, "f", kRootNode, "g") == 0);
    CHECK(pool.text(0, "g") == "moves");
    CHECK(pool.text(1, "g") == "stays");
  }
  SUBCASE("no exchange with one") {
    PoolFixture pool({"RW", "RO"});
    for (const std::size_t i : {0U, 1U})
      for (const std::string name : {"f", "g"}) pool.file(i, name, name);
    CHECK(rename(pool, kRootNode, "f", kRootNode, "g", kExchange) == EROFS);
    CHECK(pool.text(0, "f") == "f");
  }
}

TEST_CASE("rename's flags") {
  PoolFixture one;
  one.file(0, "f", "f");
  CHECK(rename(one, kRootNode, "f", kRootNode, "g", 8) == EINVAL);
  CHECK(rename(one, kRootNode, "f", kRootNode, "g", kNoReplace | kExchange) == EINVAL);
  CHECK(rename(one, kRootNode, "f", kRootNode, "g", kWhiteout | kExchange) == EINVAL);
  const NodeId node = one.walk("f");
  const int error = rename(one, kRootNode, "f", kRootNode, "g", kWhiteout);
  if (error == 0) {
    CHECK(one.walk("g") == node);
    CHECK(S_ISCHR(one.stat(0, "f").st_mode));
  } else {
    // A file system without whiteouts, or a caller without the right to make them.
    CHECK((error == EINVAL || error == EPERM));
  }
  PoolFixture two({"RW", "RW"});
  two.file(0, "f");
  CHECK(rename(two, kRootNode, "f", kRootNode, "g", kWhiteout) == EINVAL);
  CHECK(rename(two, kRootNode, "nothing", kRootNode, "g") == ENOENT);
  CHECK(rename(two, NodeId{0x123456}, "f", kRootNode, "g") == ESTALE);
  CHECK(rename(two, two.walk("f"), "x", kRootNode, "g") == ENOTDIR);
  CHECK(rename(two, kRootNode, "f", kRootNode, std::string(256, 'n')) == ENAMETOOLONG);
}

TEST_CASE("a resent RENAME that was done before succeeds") {
  PoolFixture pool({"RW", "RW"});
  pool.file(0, "f");
  (void)pool.walk("f");
  CHECK(rename(pool, kRootNode, "f", kRootNode, "g") == 0);
  CHECK(rename(pool, pool.resent(kRootNode), kRootNode, "f", kRootNode, "g") == 0);
  CHECK(rename(pool, pool.resent(kRootNode), kRootNode, "f", kRootNode, "g", kNoReplace) == 0);
  CHECK(pool.count("replays") == 2);
  CHECK(rename(pool, pool.resent(kRootNode), kRootNode, "f", kRootNode, "h") == ENOENT);
}

TEST_CASE("rename: a failure on one branch is taken back on the others") {
  for (const std::uint32_t flags : {0U, kNoReplace, kExchange}) {
    CAPTURE(flags);
    FaultyBacking* faulty = nullptr;
    PoolFixture pool({"RW", "RW", "RW"}, [&](ops::Backing& real) {
      auto made = std::make_unique<FaultyBacking>(real);
      faulty = made.get();
      return made;
    });
    for (const std::size_t i : {0U, 1U, 2U}) {
      pool.file(i, "d/f", std::to_string(i));
      if (flags == kExchange) pool.file(i, "e/f", "e");
    }
    // Replaced where it cannot be taken back: done last.
    if (flags == 0) pool.file(0, "e", "replaced");
    if (flags == 0) {
      const NodeId d = pool.walk("d");
      faulty->fail({Call::kRenameAt, 1, 1, pool.branch(2)}, EDQUOT);
      const auto before = trees_of(pool, 3);
      CHECK(rename(pool, d, "f", kRootNode, "e") == EDQUOT);
      CHECK(trees_of(pool, 3) == before);
      continue;
    }
    const auto before = trees_of(pool, 3);
    faulty->fail({Call::kRenameAt, 1, 1, pool.branch(2)}, EDQUOT);
    CHECK(rename(pool, kRootNode, "d", kRootNode, "e", flags) == EDQUOT);
    CHECK(trees_of(pool, 3) == before);
    CHECK(rename(pool, kRootNode, "d", kRootNode, "e", flags) == 0);
  }
}

TEST_CASE("whichever call of rename fails, everything is as it was or done") {
  struct Case {
    std::array<Kind, 2> old_kinds;
    std::array<Kind, 2> new_kinds;
    std::uint32_t flags;
  };
  const std::array<Case, 6> cases{{
      {{Kind::kFile, Kind::kFile}, {Kind::kNone, Kind::kNone}, 0},
      {{Kind::kFile, Kind::kFile}, {Kind::kFile, Kind::kNone}, 0},
      {{Kind::kNone, Kind::kFile}, {Kind::kFile, Kind::kNone}, 0},
      {{Kind::kFull, Kind::kFull}, {Kind::kNone, Kind::kEmpty}, 0},
      {{Kind::kFull, Kind::kFull}, {Kind::kNone, Kind::kNone}, kNoReplace},
      {{Kind::kFile, Kind::kFull}, {Kind::kFull, Kind::kFile}, kExchange},
  }};
  for (const Case& now : cases) {
    bool failed = true;
    for (std::uint64_t k = 1; failed; ++k) {
      CAPTURE(&now - cases.data());
      CAPTURE(k);
      REQUIRE(k < 200);
      FaultyBacking* faulty = nullptr;
      PoolFixture pool({"RW", "RW"}, [&](ops::Backing& real) {
        auto made = std::make_unique<FaultyBacking>(real);
        faulty = made.get();
        return made;
      });
      pool.directory(1, "p");
      for (std::size_t i = 0; i < 2; ++i) {
        put(pool, i, "old", now.old_kinds[i], "o" + std::to_string(i));
        put(pool, i, "p/new", now.new_kinds[i], "n" + std::to_string(i));
      }
      (void)pool.walk("old");
      const NodeId p = pool.walk("p");
      if (now.new_kinds[0] != Kind::kNone || now.new_kinds[1] != Kind::kNone)
        (void)pool.walk("p/new");
      auto before = trees_of(pool, 2);
      for (Tree& tree : before) tree["p"] = "d";
      auto done = before;
      REQUIRE(Situation{now.old_kinds, now.new_kinds, now.flags}.expect(done, "old", "p/new") == 0);
      faulty->reset();
      faulty->fail({Call::kAny, k}, EIO);
      const int error = rename(pool, kRootNode, "old", p, "new", now.flags);
      failed = faulty->failures() > 0;
      auto after = trees_of(pool, 2);
      // The clone of a parent may stay: the pool has that directory anyway.
      for (Tree& tree : after) tree["p"] = "d";
      if (error == 0) {
        CHECK(after == done);
      } else if (faulty->calls(Call::kUnlinkAt) == 0) {
        CHECK(after == before);
      } else {
        // It moved, and a copy that hides it could not be removed.
        CHECK(after[1] == done[1]);
        CHECK(after[0] == before[0]);
      }
      if (!failed) CHECK(error == 0);
    }
  }
}

TEST_CASE("rename: nothing is done while a branch cannot be asked") {
  FaultyBacking* faulty = nullptr;
  PoolFixture pool({"RW", "RW"}, [&](ops::Backing& real) {
    auto made = std::make_unique<FaultyBacking>(real);
    faulty = made.get();
    return made;
  });
  pool.file(0, "f");
  faulty->fail({Call::kStatAt, 1, FaultyBacking::kAlways, pool.branch(1)}, EIO);
  const auto before = trees_of(pool, 2);
  CHECK(rename(pool, kRootNode, "f", kRootNode, "g") == EIO);
  CHECK(trees_of(pool, 2) == before);
}

}  // namespace bough::test
