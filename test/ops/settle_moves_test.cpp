#include "ops/settle_moves.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "ops/move_record.hpp"
#include "test/support/branch_tree.hpp"
#include "test/support/full_root.hpp"
#include "test/support/pool_fixture.hpp"

namespace bough::test {
namespace {

using ops::MoveRecord;
using proto::HandleId;
using proto::kRootNode;
using proto::NodeId;

constexpr const char* kRecord = ".boughfs-1234abcd.move";

/// Branches as a crash leaves them in the middle of the move of the file "d/f", which has the
/// further name "g", from the first to the second.
struct Ground {
  TempDir top;
  std::unique_ptr<ops::Backing> backing = ops::make_posix_backing();
  MoveRecord record;

  Ground() {
    for (const char* branch : {"a", "b", "c"})
      std::filesystem::create_directories(path(branch) / "d");
    make("a");
    make("b");
    struct timespec times[2] = {};
    times[0].tv_sec = times[1].tv_sec = 1000000;
    for (const char* branch : {"a", "b"})
      REQUIRE(::utimensat(AT_FDCWD, (path(branch) / "g").c_str(), times, 0) == 0);
    record.origin_path = path("a");
    const ops::Fd root(::open(record.origin_path.c_str(), O_PATH | O_CLOEXEC));
    record.origin = backing->stat(root.get())->id;
    record.from = stat("a").id;
    record.from_looks = looks_of(stat("a"));
    record.to = stat("b").id;
    record.to_looks = looks_of(stat("b"));
    record.names = {{"d", "f"}, {"", "g"}};
    write(ops::text_of(record));
  }
  [[nodiscard]] std::filesystem::path path(const std::string& branch) const {
    return top.path() / branch;
  }
  void make(const std::string& branch) const {
    std::ofstream(path(branch) / "d/f") << "text";
    std::filesystem::create_hard_link(path(branch) / "d/f", path(branch) / "g");
  }
  void remove(const std::string& branch, const std::string& name) const {
    REQUIRE(std::filesystem::remove(path(branch) / name));
  }
  [[nodiscard]] ops::FileStat stat(const std::string& branch) const {
    const ops::Fd fd(::open((path(branch) / "g").c_str(), O_PATH | O_CLOEXEC));
    const auto stat = backing->stat(fd.get());
    REQUIRE(stat.has_value());
    return *stat;
  }
  void write(const std::string& text) const { std::ofstream(path("b") / kRecord) << text; }
  /// Of branches by their letters; those that are capital are read-only.
  [[nodiscard]] PoolFixture::Tune of(const std::string& branches) const {
    return [this, branches](ops::Settings& settings) {
      for (const char each : branches) {
        const bool read_only = each < 'a';
        const std::string letter(1, static_cast<char>(read_only ? each + 'a' - 'A' : each));
        settings.branches += (settings.branches.empty() ? "" : ":") + path(letter).string() +
                             (read_only ? "=RO" : "");
      }
    };
  }
  void start(const std::string& branches = "abc") {
    PoolFixture pool({}, {}, of(branches));
    complaints = pool.complaints;
  }
  /// To text that shows in size and times, whatever the clock.
  void append(const std::string& branch, const std::string& text) const {
    std::ofstream(path(branch) / "g", std::ios::app) << text;
  }
  [[nodiscard]] std::size_t records() const {
    std::size_t count = 0;
    for (const auto& [name, content] : tree("b")) count += name.starts_with(".boughfs-") ? 1 : 0;
    return count;
  }
  [[nodiscard]] Tree tree(const std::string& branch) const { return tree_of(path(branch)); }
  std::vector<std::string> complaints;
};

const Tree kWhole{{"d", "d"}, {"d/f", "f:text"}, {"g", "f:text"}};
const Tree kEmpty{{"d", "d"}};

int set_branches(PoolFixture& pool, const std::string& value) {
  auto control = pool.lookup(kRootNode, ".boughfs");
  REQUIRE(control.has_value());
  proto::SetxattrRequest request;
  request.name = "user.boughfs.branches";
  request.value = std::as_bytes(std::span(value.data(), value.size()));
  const auto done = pool.fs().setxattr(pool.as(control->entry.node), request);
  return done ? 0 : done.error().value();
}

}  // namespace

TEST_CASE("a start ends a move that has come to all names: the old ones go") {
  Ground ground;
  SUBCASE("all are there") {}
  SUBCASE("one has gone") {
    ground.remove("a", "d/f");
  }
  ground.start();
  CHECK(ground.tree("a") == kEmpty);
  CHECK(ground.tree("b") == kWhole);
  CHECK(ground.complaints.size() == 1);
  // There is nothing left to do.
  ground.start();
  CHECK(ground.tree("b") == kWhole);
  CHECK(ground.complaints.empty());
}

TEST_CASE("a start takes back a move that has not come to all names") {
  Ground ground;
  SUBCASE("it has some") {
    ground.remove("b", "g");
  }
  SUBCASE("it has none") {
    ground.remove("b", "g");
    ground.remove("b", "d/f");
  }
  ground.start();
  CHECK(ground.tree("a") == kWhole);
  CHECK(ground.tree("b") == kEmpty);
}

TEST_CASE("a start removes what has no bearing: half records, copies that are not whole") {
  Ground ground;
  const std::string text = ops::text_of(ground.record);
  ground.write(text.substr(0, text.size() / 2));
  std::ofstream(ground.path("c") / ".boughfs-77.part") << "half";
  std::ofstream(ground.path("c") / ".boughfs-77") << "something else's";
  std::ofstream(ground.path("c") / ".boughfs-holiday.part") << "a user's";
  std::filesystem::create_directory(ground.path("c") / ".boughfs-78.part");
  ground.start();
  CHECK(ground.tree("a") == kWhole);
  CHECK(ground.tree("b") == kWhole);
  CHECK(ground.tree("c") == Tree{{"d", "d"},
                                 {".boughfs-77", "f:something else's"},
                                 {".boughfs-holiday.part", "f:a user's"},
                                 {".boughfs-78.part", "d"}});
}

TEST_CASE(
    "a start leaves alone what another pool works with, and branches that it must not change") {
  Ground ground;
  Tree as_is = kWhole;
  as_is[kRecord] = "f:" + ops::text_of(ground.record);
  SUBCASE("locked") {
    const ops::Fd fd(::open((ground.path("b") / kRecord).c_str(), O_RDONLY | O_CLOEXEC));
    REQUIRE(::flock(fd.get(), LOCK_EX | LOCK_NB) == 0);
    ground.start();
    CHECK(ground.tree("a") == kWhole);
    CHECK(ground.tree("b") == as_is);
    return;
  }
  SUBCASE("read-only") {
    ground.start("ABC");
    CHECK(ground.tree("a") == kWhole);
    CHECK(ground.tree("b") == as_is);
  }
}

TEST_CASE("a start removes no file that is not the one of the record") {
  Ground ground;
  ground.remove("a", "g");
  ground.remove("a", "d/f");
  ground.make("a");
  const Tree before = ground.tree("a");
  ground.start();
  CHECK(ground.complaints.empty());
  CHECK(ground.tree("a") == before);
  CHECK(ground.tree("b") == kWhole);
}

TEST_CASE("a start keeps the copy that was changed since") {
  Ground g;
  const auto a = g.path("a") / "g";
  const auto b = g.path("b") / "g";
  SUBCASE("the old one") {
    SUBCASE("was written to") {
      g.append("a", "+");
    }
    SUBCASE("has another mode") {
      REQUIRE(::chmod(a.c_str(), 0600) == 0);
    }
    SUBCASE("has another owner") {
      if (!may_act_as_root()) return;
      REQUIRE(::chown(a.c_str(), 7, 8) == 0);
    }
    SUBCASE("has another attribute, which shows in nothing but its ctime") {
      REQUIRE(::setxattr(a.c_str(), "user.boughfs", "x", 1, 0) == 0);
    }
    const Tree before = g.tree("a");
    g.start();
    CHECK(g.tree("a") == before);
    CHECK(g.tree("b") == kEmpty);
  }
  SUBCASE("the new one") {
    SUBCASE("was written to") {
      g.append("b", "+");
    }
    SUBCASE("has another mode") {
      REQUIRE(::chmod(b.c_str(), 0600) == 0);
    }
    g.start();
    CHECK(g.tree("a") == kEmpty);
    CHECK(g.tree("b").contains("g"));
  }
  SUBCASE("both") {
    g.append("a", "+");
    g.append("b", "-");
    const Tree old = g.tree("a");
    g.start();
    CHECK(g.complaints.size() == 1);
    CHECK(g.tree("a") == old);
    CHECK(g.tree("b").at("g") == "f:text-");
  }
  CHECK(g.records() == 0);
}

TEST_CASE("a record stays until the branch is there that the old file is on") {
  Ground g;
  g.start("cb");
  CHECK(g.records() == 1);
  REQUIRE(g.complaints.size() == 1);
  CHECK(g.complaints[0].find(g.path("a").string()) != std::string::npos);
  // What a pool without that branch did counts.
  g.append("b", "+");
  g.start("ab");
  CHECK(g.tree("a") == kEmpty);
  CHECK(g.tree("b").at("g") == "f:text+");
  CHECK(g.records() == 0);
}

TEST_CASE("an old copy that cannot be removed is hidden, and goes when it can") {
  Ground g;
  g.append("b", "+");
  {
    PoolFixture pool({}, {}, g.of("Ab"));
    CHECK(g.tree("a") == kWhole);
    CHECK(pool.read(pool.open(pool.walk("g"), O_RDONLY)) == "text+");
    CHECK(pool.read(pool.open(pool.walk("d/f"), O_RDONLY)) == "text+");
    // Each name is gone when it is removed, and a record of both would bring it back.
    const NodeId d = pool.walk("d");
    CHECK(pool.fs().unlink(pool.as(d), {pool.name("f")}).has_value());
    CHECK_FALSE(pool.lookup(d, "f").has_value());
    CHECK(pool.list(d).empty());
    CHECK(g.tree("a") == kWhole);
  }
  g.start("ab");
  CHECK(g.tree("a") == kEmpty);
  CHECK(g.tree("b") == Tree{{"d", "d"}, {"g", "f:text+"}});
}

TEST_CASE("a branch that comes in later has its records settled, and no file that is open goes") {
  Ground g;
  FaultyBacking* faults = nullptr;
  SUBCASE("none is open") {
    PoolFixture pool({}, with_faults(faults), g.of("a"));
    REQUIRE(set_branches(pool, "+" + g.path("b").string()) == 0);
    CHECK(g.tree("a") == kEmpty);
    CHECK(g.tree("b") == kWhole);
  }
  SUBCASE("the old one is open") {
    PoolFixture pool({}, with_faults(faults), g.of("a"));
    const HandleId handle = pool.open(pool.walk("g"), O_RDWR);
    REQUIRE(set_branches(pool, "+" + g.path("b").string()) == 0);
    CHECK(pool.write(handle, "T").has_value());
    CHECK(g.tree("a").at("g") == "f:Text");
    CHECK(g.tree("b") == kEmpty);
  }
  SUBCASE("the old one is open, and the new one was changed") {
    PoolFixture pool({}, with_faults(faults), g.of("a"));
    const HandleId handle = pool.open(pool.walk("g"), O_RDWR);
    g.append("b", "+");
    REQUIRE(set_branches(pool, "+" + g.path("b").string()) == 0);
    CHECK(pool.heard().size() == 1);
    REQUIRE(set_branches(pool, "+" + g.path("c").string()) == 0);
    CHECK(pool.heard().size() == 1);
    CHECK(g.tree("a") == kWhole);
    CHECK(g.records() == 1);
    pool.release(handle);
    REQUIRE(set_branches(pool, "-" + g.path("c").string()) == 0);
    REQUIRE(set_branches(pool, "+" + g.path("c").string()) == 0);
    CHECK(g.tree("a") == kEmpty);
    CHECK(g.tree("b").at("g") == "f:text+");
    CHECK(g.records() == 0);
  }
}

TEST_CASE("a start believes no record that another user may have made") {
  if (!may_act_as_root()) return;
  Ground g;
  SUBCASE("his own") {
    REQUIRE(::chown((g.path("b") / kRecord).c_str(), 1000, 1000) == 0);
  }
  SUBCASE("one that he may write to") {
    REQUIRE(::chmod((g.path("b") / kRecord).c_str(), 0666) == 0);
  }
  g.start();
  CHECK(g.tree("a") == kWhole);
}

TEST_CASE("a start removes no new file that was written to since") {
  Ground g;
  g.remove("b", "g");
  std::ofstream(g.path("b") / "d/f", std::ios::app) << " and more";
  g.start();
  CHECK(g.tree("a") == kWhole);
  CHECK(g.tree("b").at("d/f") == "f:text and more");
}

TEST_CASE("a move whose old branch is not there is ended when it is") {
  Ground ground;
  // A branch that cannot be asked: a directory on its way cannot be opened.
  FaultyBacking* faults = nullptr;
  {
    PoolFixture pool(
        {},
        [&](ops::Backing& real) {
          auto wrapped = std::make_unique<FaultyBacking>(real);
          faults = wrapped.get();
          faults->fail({Call::kOpenDirectory, 1, FaultyBacking::kAlways, ground.path("a")}, EIO);
          return wrapped;
        },
        [&](ops::Settings& settings) {
          settings.branches = ground.path("a").string() + ":" + ground.path("b").string();
        });
  }
  CHECK(std::filesystem::exists(ground.path("a") / "d/f"));
  CHECK(std::filesystem::exists(ground.path("b") / kRecord));
  ground.start("ab");
  CHECK(ground.tree("a") == kEmpty);
  CHECK(ground.tree("b") == kWhole);
}

}  // namespace bough::test
