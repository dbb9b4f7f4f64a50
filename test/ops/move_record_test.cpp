#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "ops/move_record.hpp"
#include "test/support/branch_tree.hpp"
#include "test/support/pool_fixture.hpp"

namespace bough::test {
namespace {

using ops::MoveRecord;

constexpr const char* kRecord = ".boughfs-1234abcd.move";

MoveRecord sample() {
  MoveRecord record;
  record.from = {1, 22, -33};
  record.size = 44;
  record.mtime = {-55, 66};
  record.to = {7, ~std::uint64_t{0}, 99};
  record.names = {{"", "a name"}, {"d\n/e", "end\n"}, {"d", std::string(255, 'x')}};
  return record;
}

bool same(const MoveRecord& one, const MoveRecord& other) {
  return one.from.ino == other.from.ino && one.from.birth_ns == other.from.birth_ns &&
         one.size == other.size && one.mtime.seconds == other.mtime.seconds &&
         one.mtime.nanoseconds == other.mtime.nanoseconds && one.to.ino == other.to.ino &&
         one.to.birth_ns == other.to.birth_ns && one.names == other.names;
}

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
    const ops::FileStat from = stat("a");
    record.from = from.id;
    record.size = from.size;
    record.mtime = from.mtime;
    record.to = stat("b").id;
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
  void start(const std::string& branches = "abc", const std::string& mode = "") {
    PoolFixture pool({}, {}, [&](ops::Settings& settings) {
      for (const char each : branches)
        settings.branches +=
            (settings.branches.empty() ? "" : ":") + path(std::string(1, each)).string() + mode;
    });
    complaints = pool.complaints;
  }
  [[nodiscard]] Tree tree(const std::string& branch) const { return tree_of(path(branch)); }
  std::vector<std::string> complaints;
};

const Tree kWhole{{"d", "d"}, {"d/f", "f:text"}, {"g", "f:text"}};
const Tree kEmpty{{"d", "d"}};

}  // namespace

TEST_CASE("a record of a move is read as it was written, and never in part") {
  const MoveRecord record = sample();
  const std::string text = ops::text_of(record);
  const auto read = ops::parse_move_record(text);
  REQUIRE(read.has_value());
  CHECK(same(*read, record));
  for (std::size_t size = 0; size < text.size(); ++size)
    CHECK_FALSE(ops::parse_move_record(text.substr(0, size)).has_value());
  CHECK_FALSE(ops::parse_move_record(text + "x").has_value());
  CHECK_FALSE(ops::parse_move_record("boughfs move 1\nfrom 1 2 3 4 5\nto 1 2\nend\n").has_value());
  CHECK_FALSE(
      ops::parse_move_record("boughfs move 1\nfrom 1 2 3 4 5\nto 1 2\nname -1 3\nabc\nend\n")
          .has_value());
}

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
    ground.start("abc", "=RO");
    CHECK(ground.tree("a") == kWhole);
    CHECK(ground.tree("b") == as_is);
  }
}

TEST_CASE("a start removes no file that is not the one of the record") {
  Ground ground;
  std::size_t told = 0;
  SUBCASE("the old one was written to since") {
    std::ofstream(ground.path("a") / "g", std::ios::app) << "+";
    told = 1;
  }
  SUBCASE("another file has its names") {
    ground.remove("a", "g");
    ground.remove("a", "d/f");
    ground.make("a");
  }
  const Tree before = ground.tree("a");
  ground.start();
  CHECK(ground.complaints.size() == told);
  CHECK(ground.tree("a") == before);
  CHECK(ground.tree("b") == kWhole);
}

TEST_CASE("a start believes no record that another user may have made") {
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
