#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "test/support/pool_fixture.hpp"

using namespace bough;
using proto::Feature;
using proto::kRootNode;
using test::PoolFixture;

namespace {

std::string why_not(const std::string& branches) {
  const auto backing = ops::make_posix_backing();
  ops::Settings settings;
  settings.branches = branches;
  try {
    const auto made = ops::make_union_fs(*backing, settings);
  } catch (const ops::PoolError& error) {
    return error.what();
  }
  return {};
}

class Answer final : public proto::ReplySink<void> {
 public:
  void answer(proto::Result<void> result, bool was_abandoned) noexcept override {
    error = result ? 0 : result.error().value();
    abandoned = was_abandoned;
  }
  void on_interrupt(std::function<void()>) override {}
  int error = -1;
  bool abandoned = true;
};

}  // namespace

TEST_CASE("make_union_fs: what cannot be a branch is named") {
  test::TempDir temp;
  const std::string missing = temp.path() / "missing";
  const std::string file = temp.path() / "file";
  std::ofstream(file) << "x";
  CHECK(why_not(missing).find(missing) != std::string::npos);
  CHECK(why_not(file).find(file) != std::string::npos);
  CHECK(why_not(temp.path().string() + "=XX").find("XX") != std::string::npos);
  CHECK_FALSE(why_not("").empty());
  CHECK(why_not(temp.path().string()).empty());
}

TEST_CASE("a branch that is named twice takes part once") {
  PoolFixture pool({"RW", "RW"}, {}, [](ops::Settings& settings) {
    const std::string first = settings.branches.substr(0, settings.branches.find('='));
    settings.branches = first + ":" + first + "/.:" + settings.branches;
  });
  pool.file(0, "a", "text");
  CHECK(pool.list(proto::kRootNode).size() == 1);
  proto::RenameRequest move{proto::kRootNode, *proto::Name::check("a"), *proto::Name::check("b"),
                            0};
  CHECK(pool.fs().rename(pool.as(proto::kRootNode), move).has_value());
  CHECK(std::filesystem::exists(pool.branch(0) / "b"));
}

TEST_CASE("want: what the operations rely on, and nothing they do not serve") {
  PoolFixture pool;
  proto::InitWants wants;
  pool.fs().want(wants);
  for (const Feature each :
       {Feature::kAtomicOTrunc, Feature::kExportSupport, Feature::kDontMask,
        Feature::kAutoInvalData, Feature::kDoReaddirplus, Feature::kReaddirplusAuto,
        Feature::kHandleKillprivV2, Feature::kSetxattrExt, Feature::kCreateSuppGroup,
        Feature::kHasExpireOnly})
    CHECK(wants.features.has(each));
  for (const Feature each : {Feature::kPosixLocks, Feature::kFlockLocks, Feature::kWritebackCache,
                             Feature::kNoOpenSupport, Feature::kNoOpendirSupport})
    CHECK_FALSE(wants.features.has(each));
}

TEST_CASE("pool_path: as people write it") {
  PoolFixture pool;
  pool.file(0, "d/e/f");
  pool.file(0, "g");
  const auto e = pool.walk("d/e");
  const auto f = pool.walk("d/e/f");
  const auto g = pool.walk("g");
  CHECK(pool.fs().pool_path(kRootNode) == "/");
  CHECK(pool.fs().pool_path(e) == "/d/e");
  CHECK(pool.fs().pool_path(f) == "/d/e/f");
  CHECK(pool.fs().pool_path(g) == "/g");
  CHECK(pool.fs().pool_path(proto::NodeId{123456}) == "(unknown)");
}

TEST_CASE("lane: a file handle's is its branch's; names and directories share the first") {
  PoolFixture pool({"RW", "RW"});
  pool.file(0, "f", "x");
  pool.file(1, "g", "x");
  pool.file(1, "h", "x");
  const auto f = pool.open(pool.walk("f"), O_RDWR);
  const auto g = pool.open(pool.walk("g"), O_RDWR);
  const auto h = pool.open(pool.walk("h"), O_RDONLY);
  const auto lane = [&](const proto::Request& request) {
    return pool.fs().lane(proto::RequestHeader{}, request);
  };
  const auto with = [](auto request, proto::HandleId handle) {
    request.handle = handle;
    return request;
  };
  const auto on_f = lane(with(proto::ReadRequest{}, f));
  const auto on_g = lane(with(proto::ReadRequest{}, g));
  CHECK(on_f != 0);
  CHECK(on_g != 0);
  CHECK(on_f != on_g);
  CHECK(lane(with(proto::WriteRequest{}, f)) == on_f);
  CHECK(lane(with(proto::ReadRequest{}, h)) == on_g);
  CHECK(lane(with(proto::FsyncRequest{}, g)) == on_g);
  CHECK(lane(with(proto::ReleaseRequest{}, g)) == on_g);
  CHECK(lane(with(proto::GetattrRequest{}, g)) == on_g);
  CHECK(lane(with(proto::SetattrRequest{}, f)) == on_f);

  CHECK(lane(proto::GetattrRequest{}) == 0);
  CHECK(lane(proto::SetattrRequest{}) == 0);
  CHECK(lane(proto::LookupRequest{}) == 0);
  CHECK(lane(proto::OpenRequest{}) == 0);
  const auto opened = pool.fs().opendir(pool.as(kRootNode), {});
  REQUIRE(opened.has_value());
  CHECK(lane(with(proto::ReaddirRequest{}, opened->claim.handle())) == 0);

  proto::CopyFileRangeRequest copy;
  copy.handle_in = g;
  copy.handle_out = h;
  CHECK(lane(copy) == on_g);
  copy.handle_out = f;
  CHECK(lane(copy) == 0);
}

TEST_CASE("generation: not the same in two pools") {
  PoolFixture first;
  PoolFixture second;
  first.file(0, "f");
  second.file(0, "f");
  CHECK(first.lookup(kRootNode, "f")->entry.generation.value !=
        second.lookup(kRootNode, "f")->entry.generation.value);
}

TEST_CASE("idle: roots are let go of, and come back by themselves") {
  PoolFixture pool({"RW", "RW"});
  pool.file(1, "d/f", "x");
  const auto f = pool.walk("d/f");
  const auto busy = test::open_descriptors();
  pool.fs().idle();
  // Two roots, and the directory that was looked in.
  CHECK(test::open_descriptors() == busy - 3);
  CHECK(pool.fs().getattr(pool.as(f), {}).has_value());
}

TEST_CASE("idle: a branch whose directory is another one is gone, not empty") {
  PoolFixture pool({"RW", "RW"}, {}, [](ops::Settings& settings) {
    settings.branch_absent = ops::BranchAbsent::kHide;
  });
  pool.file(0, "f", "x");
  const auto f = pool.walk("f");
  pool.fs().idle();
  std::filesystem::rename(pool.branch(0), pool.branch(0).string() + "-away");
  std::filesystem::create_directory(pool.branch(0));
  pool.file(0, "f", "stranger");
  CHECK(pool.fs().getattr(pool.as(f), {}).error() == proto::Errno{ESTALE});
  CHECK(pool.lookup(kRootNode, "f").error() == proto::Errno{ENOENT});
  CHECK(pool.fs().getattr(pool.as(kRootNode), {}).has_value());
}

TEST_CASE("stop: nothing stays, whatever the kernel still knew") {
  PoolFixture pool;
  pool.file(0, "d/f");
  auto entry = pool.lookup(kRootNode, "d");
  REQUIRE(entry.has_value());
  const auto d = entry->entry.node;
  entry->keep();
  auto file = pool.lookup(d, "f");
  REQUIRE(file.has_value());
  file->keep();
  auto opened = pool.fs().open(pool.as(file->entry.node), {O_RDONLY, false});
  REQUIRE(opened.has_value());
  opened->keep();
  CHECK(pool.fs().stop(std::chrono::seconds(1)));
  CHECK(pool.count("nodes") == 1);
  CHECK(pool.count("handles") == 0);
  CHECK(pool.count("holds") == 0);
}

TEST_CASE("locks that stay in the kernel are refused, not unknown") {
  PoolFixture pool;
  CHECK(pool.fs().getlk(pool.as(kRootNode), {}).error() == proto::Errno{EOPNOTSUPP});
  CHECK(pool.fs().setlk(pool.as(kRootNode), {}).error() == proto::Errno{EOPNOTSUPP});
  const auto sink = std::make_shared<Answer>();
  pool.fs().setlkw(pool.as(kRootNode), {}, proto::Reply<void>(sink));
  CHECK(sink->error == EOPNOTSUPP);
  CHECK_FALSE(sink->abandoned);
  CHECK(pool.fs().syncfs(pool.as(kRootNode), {}).has_value());
}

TEST_CASE("trace: the branch is noted only where somebody listens") {
  PoolFixture pool({"RW", "RW"});
  pool.file(1, "f", "x");
  const auto f = pool.walk("f");
  const auto handle = pool.open(f, O_RDONLY);
  proto::TraceNote note;
  auto context = pool.as(f);
  context.note = &note;
  REQUIRE(pool.fs().getattr(context, {}).has_value());
  CHECK(note.branch == pool.branch(1));
  note.branch.clear();
  REQUIRE(pool.fs().fsync(context, {handle, false}).has_value());
  CHECK(note.branch == pool.branch(1));
}

TEST_CASE("many threads: lookups, opens, reads and forgets at once leave nothing behind") {
  PoolFixture pool({"RW", "RW"});
  constexpr int kThreads = 4;
  constexpr int kRounds = 300;
  for (int i = 0; i < 8; ++i)
    pool.file(static_cast<std::size_t>(i % 2), "d/f" + std::to_string(i), "content");
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      auto& fs = pool.fs();
      fs.thread_started();
      proto::Context context;
      context.uid = context.gid = static_cast<std::uint32_t>(t) * 1000;
      std::array<std::byte, 64> out;
      for (int round = 0; round < kRounds; ++round) {
        context.node = kRootNode;
        proto::LookupRequest lookup;
        lookup.name = proto::Name::check("d");
        auto directory = fs.lookup(context, lookup);
        const std::string text = "f" + std::to_string((round + t) % 8);
        lookup.name = proto::Name::check(text);
        if (!directory) {
          ++wrong;
          continue;
        }
        context.node = directory->entry.node;
        auto entry = fs.lookup(context, lookup);
        if (!entry) {
          ++wrong;
          continue;
        }
        context.node = entry->entry.node;
        if (round % 3 == 0) {
          entry->keep();
          fs.forget(context.node, 1);
          continue;
        }
        auto opened = fs.open(context, {O_RDWR, false});
        if (!opened) {
          ++wrong;
          continue;
        }
        proto::ReadRequest read;
        read.handle = opened->claim.handle();
        read.size = 64;
        const auto got = fs.read(context, read, out);
        if (!got || *got != 7) ++wrong;
        proto::WriteRequest write;
        write.handle = read.handle;
        write.data = std::as_bytes(std::span("content", 7));
        write.flags = O_RDWR;
        const auto written = fs.write(context, write);
        if (!written || *written != 7) ++wrong;
        if (!fs.getattr(context, {read.handle})) ++wrong;
        if (round % 50 == 0) fs.idle();
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
}
