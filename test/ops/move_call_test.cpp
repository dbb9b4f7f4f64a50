#include "ops/move_call.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <thread>
#include <utility>

#include "ops/move_record.hpp"
#include "test/support/branch_tree.hpp"
#include "test/support/full_root.hpp"
#include "test/support/pool_fixture.hpp"
#include "test/support/served.hpp"

namespace bough::test {
namespace {

using ops::MoveCall;
using proto::HandleId;
using proto::kRootNode;
using proto::NodeId;

/// What the kernel hands over of an ioctl's bytes.
std::span<const std::byte> handed_over(std::uint32_t command, const ops::MoveBytes& bytes) {
  REQUIRE(ops::is_move_call(command));
  return std::span(bytes).first(_IOC_SIZE(command));
}

/// A pool whose files somebody has moved.
struct Ground {
  explicit Ground(std::vector<std::string> modes = {"RW", "RW"}, const PoolFixture::Tune& tune = {},
                  PoolFixture::Backings backings = PoolFixture::Backings::kRefused)
      : pool(std::move(modes), with_faults(faults), tune, backings) {
    auto opened = pool.fs().opendir(pool.as(kRootNode), {});
    REQUIRE(opened.has_value());
    root = pool.keep(*opened, true);
  }

  /// What the caller gets.
  int ask(const MoveCall& call, std::uint32_t uid = 0) {
    const auto bytes = std::make_unique<ops::MoveBytes>();
    proto::IoctlRequest request;
    request.handle = root;
    request.command = ops::write_move_call(call, *bytes);
    request.in = handed_over(request.command, *bytes);
    const auto done = served(pool, kRootNode, [&](proto::Context context) {
      context.uid = uid;
      return pool.fs().ioctl(context, request, {});
    });
    return done ? 0 : done.error().value();
  }
  int move(const std::string& path, std::size_t from = 0, std::optional<std::size_t> to = 1,
           bool verify = false) {
    return ask({path, pool.branch(from), to ? pool.branch(*to).string() : "", 0, verify});
  }

  FaultyBacking* faults = nullptr;
  PoolFixture pool;
  HandleId root;
};

}  // namespace

TEST_CASE("move call: what is written is read") {
  const auto bytes = std::make_unique<ops::MoveBytes>();
  const std::string longest(8000, 'x');
  for (const MoveCall& call :
       {MoveCall{"a/b", "/one", "/two", 0, false}, MoveCall{"f", "/one", "", 1 << 20, true},
        MoveCall{longest, "/one", "/two", ~std::uint64_t{0}, true},
        MoveCall{"", "", "", 0, false}}) {
    const std::uint32_t command = ops::write_move_call(call, *bytes);
    const auto read = ops::parse_move_call(handed_over(command, *bytes));
    REQUIRE(read.has_value());
    CHECK(read->path == call.path);
    CHECK(read->from == call.from);
    CHECK(read->to == call.to);
    CHECK(read->rate == call.rate);
    CHECK(read->verify == call.verify);
  }
  CHECK(ops::write_move_call({std::string(ops::kMoveCallSize, 'x'), "/a", "/b"}, *bytes) == 0);
}

TEST_CASE("move call: what is malformed is refused") {
  using namespace std::string_view_literals;
  for (const std::string_view text :
       {""sv, "a"sv, "a\0/b\0/c\0"sv, "a\0/b\0/c\0x\0\0"sv, "a\0/b\0/c\0\0\0"sv,
        "a\0/b\0/c\0"
        "1\0often\0"sv,
        "a\0/b\0/c\0"
        "99999999999999999999999\0\0"sv,
        "a\0/b\0/c\0"
        "1\0verify"sv})
    CHECK_FALSE(ops::parse_move_call(std::as_bytes(std::span(text))).has_value());
}

TEST_CASE("move call: a file goes where it is told, or where the create policy says") {
  Ground ground({"RW", "RW", "RW"}, [](ops::Settings& settings) {
    settings.create = policy::find(policy::create_policies(), "epff");
  });
  PoolFixture& pool = ground.pool;
  pool.file(0, "d/f", "text");
  pool.file(0, "d/g", "more");
  std::filesystem::create_hard_link(pool.branch(0) / "d/f", pool.branch(0) / "h");
  const NodeId f = pool.walk("d/f");
  CHECK(pool.walk("h") == f);
  CHECK(ground.move("d/f", 0, 2, true) == 0);
  CHECK(tree_of(pool.branch(2)) == Tree{{"d", "d"}, {"d/f", "f:text"}, {"h", "f:text"}});
  CHECK(pool.walk("d/f") == f);
  CHECK(pool.walk("d/g") != f);
  // Its directory is on no branch that the policy may choose.
  CHECK(ground.move("d/g", 0, {}) == 0);
  CHECK(tree_of(pool.branch(0)) == Tree{{"d", "d"}});
  CHECK(pool.count("moved_files") == 2);
}

TEST_CASE("move call: open files go along, and are what they were") {
  Ground ground;
  PoolFixture& pool = ground.pool;
  pool.file(0, "f", "0123456789");
  const NodeId f = pool.walk("f");
  const HandleId reader = pool.open(f, O_RDONLY);
  const HandleId writer = pool.open(f, O_RDWR);
  for (const std::size_t from : {0U, 1U, 0U}) {
    CHECK(ground.move("f", from, 1 - from) == 0);
    CHECK(pool.read(reader) == "0123456789");
    CHECK(pool.write(writer, "01").has_value());
    CHECK_FALSE(pool.exists(from, "f"));
    CHECK(pool.text(1 - from, "f") == "0123456789");
  }
}

TEST_CASE("move call: what cannot be is refused, and nothing changes") {
  Ground ground({"RW", "RW", "RO"});
  PoolFixture& pool = ground.pool;
  pool.file(0, "f", "text");
  pool.file(0, "linked", "text");
  std::filesystem::create_hard_link(pool.branch(0) / "linked", pool.branch(0) / "unknown");
  pool.file(0, "twice", "one");
  pool.file(1, "twice", "other");
  pool.file(2, "fixed", "text");
  for (const char* name : {"f", "linked", "twice", "fixed"}) static_cast<void>(pool.walk(name));
  const auto before = trees_of(pool, 3);
  CHECK(ground.move("none") == ENOENT);
  CHECK(ground.move("") == ENOENT);
  CHECK(ground.move("f", 1, 0) == EXDEV);
  CHECK(ground.move("f", 0, 0) == ENODEV);
  CHECK(ground.move("f", 0, 2) == EROFS);
  CHECK(ground.move("fixed", 2, 1) == EROFS);
  CHECK(ground.ask({"f", "/nowhere", pool.branch(1)}) == ENODEV);
  CHECK(ground.ask({"f", pool.branch(0), "/nowhere"}) == ENODEV);
  CHECK(ground.ask({"f", pool.branch(0), pool.branch(1)}, 1000) == EPERM);
  CHECK(ground.move("linked") == EBUSY);
  CHECK(ground.move("twice") == EEXIST);
  proto::IoctlRequest request;
  request.handle = ground.root;
  request.command = _IOC(_IOC_WRITE, 'b', 0x6d, 0);
  CHECK(ops::is_move_call(request.command));
  CHECK(served(pool, kRootNode, [&](const proto::Context& context) {
          return pool.fs().ioctl(context, request, {});
        }).error() == proto::Errno{EINVAL});
  CHECK(trees_of(pool, 3) == before);
}

TEST_CASE("move call: an interrupt leaves the file where it was") {
  Ground ground;
  PoolFixture& pool = ground.pool;
  pool.file(0, "f", std::string(1 << 20, 'x'));
  static_cast<void>(pool.walk("f"));
  const auto before = trees_of(pool, 2);
  const auto bytes = std::make_unique<ops::MoveBytes>();
  proto::IoctlRequest request;
  request.handle = ground.root;
  request.command =
      ops::write_move_call({"f", pool.branch(0), pool.branch(1), 64 << 10, false}, *bytes);
  request.in = handed_over(request.command, *bytes);
  proto::PutOff how;
  proto::Context context = pool.as(kRootNode);
  context.put_off = &how;
  static_cast<void>(pool.fs().ioctl(context, request, {}));
  REQUIRE(how.until != 0);
  CHECK(pool.fs().still_waits(how.until));
  const std::uint64_t move = std::exchange(how.until, 0);
  how.after = move;
  CHECK(pool.fs().ioctl(context, request, {}).error() == proto::Errno{EINTR});
  CHECK(how.until == 0);
  CHECK(pool.port().wait_resumed(move));
  CHECK(trees_of(pool, 2) == before);
}

TEST_CASE("move call: what another branch shows is told of, while it moves too") {
  Ground ground({"RW", "RW", "RW"});
  PoolFixture& pool = ground.pool;
  pool.file(0, "f", "shown");
  pool.file(1, "f", "hidden");
  static_cast<void>(pool.walk("f"));
  const auto bytes = std::make_unique<ops::MoveBytes>();
  proto::IoctlRequest request;
  request.handle = ground.root;
  request.command = ops::write_move_call({"f", pool.branch(0), pool.branch(2)}, *bytes);
  request.in = handed_over(request.command, *bytes);
  proto::PutOff how;
  proto::Context context = pool.as(kRootNode);
  context.put_off = &how;
  static_cast<void>(pool.fs().ioctl(context, request, {}));
  REQUIRE(how.until != 0);
  CHECK(ground.move("f", 1, 2) == EXDEV);
  REQUIRE(pool.port().wait_resumed(how.until));
}

TEST_CASE("move call: a copy that does not read back as it was written is not taken") {
  Ground ground;
  PoolFixture& pool = ground.pool;
  pool.file(0, "f", std::string(8192, 'x'));
  static_cast<void>(pool.walk("f"));
  const auto before = trees_of(pool, 2);
  // Behind the last sync of the copy, in front of the comparison.
  ground.faults->fail({Call::kRead, 1, 1, pool.branch(1)}, EIO);
  CHECK(ground.move("f", 0, 1, true) == EIO);
  CHECK(trees_of(pool, 2) == before);
  CHECK(ground.move("f", 0, 1, true) == 0);
}

TEST_CASE("move call: what has no content is made anew") {
  Ground ground;
  PoolFixture& pool = ground.pool;
  pool.directory(0, "d");
  std::filesystem::create_symlink("to/nothing", pool.branch(0) / "d/link");
  REQUIRE(::mkfifo((pool.branch(0) / "d/pipe").c_str(), 0640) == 0);
  std::filesystem::create_hard_link(pool.branch(0) / "d/pipe", pool.branch(0) / "pipe");
  const struct stat old = pool.stat(0, "d/link");
  const NodeId link = pool.walk("d/link");
  const NodeId pipe = pool.walk("d/pipe");
  CHECK(pool.walk("pipe") == pipe);
  SUBCASE("") {}
  SUBCASE("also where a crash left the new one") {
    ground.faults->fail({Call::kUnlinkAt, 1, 2, pool.branch(0)}, EIO);
    CHECK(ground.move("d/link") == EIO);
    CHECK(ground.move("d/pipe") == EIO);
    CHECK(pool.exists(1, "d/link"));
    CHECK(pool.exists(0, "d/link"));
  }
  CHECK(ground.move("d/link") == 0);
  CHECK(ground.move("d/pipe") == 0);
  CHECK(tree_of(pool.branch(0)) == Tree{{"d", "d"}});
  CHECK(std::filesystem::read_symlink(pool.branch(1) / "d/link") == "to/nothing");
  CHECK(pool.stat(1, "d/link").st_mtim.tv_nsec == old.st_mtim.tv_nsec);
  CHECK(pool.stat(1, "pipe").st_nlink == 2);
  CHECK(pool.stat(1, "pipe").st_mode == (S_IFIFO | 0640));
  CHECK(pool.walk("d/link") == link);
  CHECK(pool.walk("d/pipe") == pipe);
}

TEST_CASE("move call: something else of the same name is not taken for what a crash left") {
  Ground ground;
  PoolFixture& pool = ground.pool;
  std::filesystem::create_symlink("one", pool.branch(0) / "link");
  std::filesystem::create_symlink("two", pool.branch(1) / "link");
  static_cast<void>(pool.walk("link"));
  const auto before = trees_of(pool, 2);
  CHECK(ground.move("link") == EEXIST);
  CHECK(trees_of(pool, 2) == before);
}

TEST_CASE("move call: an empty directory goes, and stays in the pool") {
  Ground ground;
  PoolFixture& pool = ground.pool;
  pool.directory(0, "d/e", 0750);
  pool.file(0, "d/f", "text");
  const NodeId e = pool.walk("d/e");
  CHECK(ground.move("d") == ENOTEMPTY);
  CHECK(ground.move("d/e", 0, {}) == 0);
  CHECK_FALSE(pool.exists(0, "d/e"));
  CHECK((pool.stat(1, "d/e").st_mode & 07777) == 0750);
  CHECK(pool.walk("d/e") == e);
  CHECK(ground.move("d/e") == ENOENT);
  static_cast<void>(pool.walk("d/f"));
  CHECK(ground.move("d/f") == 0);
  CHECK(ground.move("d") == 0);
  CHECK(tree_of(pool.branch(0)).empty());
  CHECK(pool.list(pool.walk("d")) == std::vector<std::string>{"e", "f"});
}

TEST_CASE("move call: a file that the kernel reads by itself stays while it is open") {
  Ground ground(
      {"RW", "RW"},
      [](ops::Settings& settings) { settings.files.passthrough = ops::PassthroughIo::kReadWrite; },
      PoolFixture::Backings::kTaken);
  ground.pool.file(0, "f", "text");
  const HandleId handle = ground.pool.open(ground.pool.walk("f"), O_RDONLY);
  REQUIRE(ground.pool.count("backing_files") == 1);
  CHECK(ground.move("f") == EBUSY);
  ground.pool.release(handle);
  CHECK(ground.move("f") == 0);
  CHECK(ground.pool.text(1, "f") == "text");
}

namespace {

/// Has all of them moved at once, so that most go together. What each got.
std::map<std::string, int> move_all(Ground& ground, const std::vector<std::string>& paths) {
  struct Asked {
    std::unique_ptr<ops::MoveBytes> bytes = std::make_unique<ops::MoveBytes>();
    proto::IoctlRequest request;
    proto::PutOff how;
    proto::Context context;
  };
  PoolFixture& pool = ground.pool;
  std::map<std::string, int> results;
  std::map<std::string, Asked> all;
  const auto ask = [&](const std::string& path, Asked& one) {
    const auto done = pool.fs().ioctl(one.context, one.request, {});
    if (one.how.until == 0) results[path] = done ? 0 : done.error().value();
  };
  for (const std::string& path : paths) {
    Asked& one = all[path];
    one.request.handle = ground.root;
    one.request.command = ops::write_move_call({path, pool.branch(0), pool.branch(1)}, *one.bytes);
    one.request.in = handed_over(one.request.command, *one.bytes);
    one.context = pool.as(kRootNode);
    one.context.put_off = &one.how;
    ask(path, one);
  }
  for (auto& [path, one] : all) {
    if (one.how.until == 0) continue;
    REQUIRE(pool.port().wait_resumed(one.how.until));
    one.how.after = std::exchange(one.how.until, 0);
    ask(path, one);
  }
  return results;
}

/// Some of them with a second name; each holds its own name.
std::vector<std::string> many_files(PoolFixture& pool) {
  constexpr int kFiles = 100;
  std::vector<std::string> paths;
  for (int number = 0; number < kFiles; ++number) {
    const std::string path = "d" + std::to_string(number % 7) + "/f" + std::to_string(number);
    pool.file(0, path, path);
    static_cast<void>(pool.walk(path));
    paths.push_back(path);
    if (number % 10 != 0) continue;
    const std::string link = "link" + std::to_string(number);
    std::filesystem::create_hard_link(pool.branch(0) / path, pool.branch(0) / link);
    static_cast<void>(pool.walk(link));
  }
  return paths;
}

Tree files_of(const Tree& tree) {
  Tree files = tree;
  std::erase_if(files, [](const auto& each) { return each.second == "d"; });
  return files;
}

}  // namespace

TEST_CASE("move call: many small files share their syncs") {
  Ground ground;
  PoolFixture& pool = ground.pool;
  const auto paths = many_files(pool);
  const Tree before = tree_of(pool.branch(0));
  const struct stat directory = pool.stat(0, "d0");
  std::atomic<int> syncs{0};
  ground.faults->before({Call::kSync, 1, FaultyBacking::kAlways, {}}, [&] { ++syncs; });
  for (const auto& each : move_all(ground, paths)) CHECK_MESSAGE(each.second == 0, each.first);
  CHECK(tree_of(pool.branch(1)) == before);
  CHECK(files_of(tree_of(pool.branch(0))).empty());
  for (const std::size_t branch : {0U, 1U})
    CHECK(pool.stat(branch, "d0").st_mtim.tv_nsec == directory.st_mtim.tv_nsec);
  CHECK(syncs < static_cast<int>(paths.size()) * 4);
  CHECK(pool.count("moved_files") == paths.size());
}

TEST_CASE("move call: of many files those that are open or cannot go do not hold up the others") {
  Ground ground;
  PoolFixture& pool = ground.pool;
  auto paths = many_files(pool);
  pool.file(1, "d1/f1", "another");
  pool.file(0, "large", std::string(2 << 20, 'x'));
  static_cast<void>(pool.walk("large"));
  paths.emplace_back("large");
  const HandleId reader = pool.open(pool.walk("d2/f2"), O_RDONLY);
  const HandleId writer = pool.open(pool.walk("d3/f3"), O_RDWR);
  for (const auto& each : move_all(ground, paths))
    CHECK_MESSAGE(each.second == (each.first == "d1/f1" ? EEXIST : 0), each.first);
  CHECK(pool.read(reader) == "d2/f2");
  CHECK(pool.write(writer, "D").has_value());
  CHECK(pool.text(1, "d3/f3") == "D3/f3");
  CHECK(pool.text(1, "d1/f1") == "another");
  CHECK(files_of(tree_of(pool.branch(0))) == Tree{{"d1/f1", "f:d1/f1"}});
}

TEST_CASE("move call: whatever fails once while many files move, each is whole in one place") {
  for (const Call call : {Call::kSync, Call::kLinkFd, Call::kUnlinkAt, Call::kOpenAt, Call::kWrite,
                          Call::kCopyRange, Call::kLock, Call::kStatAt, Call::kOpenUnnamed}) {
    for (const unsigned nth : {1U, 3U, 30U}) {
      CAPTURE(static_cast<int>(call));
      CAPTURE(nth);
      Ground ground;
      PoolFixture& pool = ground.pool;
      const auto paths = many_files(pool);
      const Tree before = files_of(tree_of(pool.branch(0)));
      ground.faults->fail({call, nth, 1, {}}, EIO);
      static_cast<void>(move_all(ground, paths));
      ground.faults->reset();
      Tree left = files_of(tree_of(pool.branch(0)));
      const Tree right = files_of(tree_of(pool.branch(1)));
      for (const auto& each : right) {
        CHECK_MESSAGE(!left.contains(each.first), each.first);
        left[each.first] = each.second;
      }
      // A record stays where a source could not be synced, or it could not be removed.
      std::erase_if(left, [](const auto& each) { return ops::is_of_a_move(each.first); });
      CHECK(left == before);
      for (const std::string& path : paths)
        CHECK(pool.text(pool.exists(0, path) ? 0 : 1, path) == path);
    }
  }
}

}  // namespace bough::test
