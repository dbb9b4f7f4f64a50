#include "ops/passthrough.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "ops/open_mode.hpp"
#include "test/support/full_root.hpp"
#include "test/support/pool_fixture.hpp"

namespace bough::test {
namespace {

using ops::CacheFiles;
using ops::PassthroughIo;
using proto::HandleId;
using proto::kRootNode;
using proto::NodeId;
namespace reply = proto::abi::open_reply;

PoolFixture::Tune with(PassthroughIo option, CacheFiles cache = CacheFiles::kAuto) {
  return [=](ops::Settings& settings) {
    settings.files.passthrough = option;
    settings.files.cache = cache;
  };
}

/// A pool on a kernel that takes backing files, and the kernel's rules for what it answers.
struct Passing : PoolFixture {
  explicit Passing(const Tune& tune = with(PassthroughIo::kAuto),
                   std::vector<std::string> modes = {"RW"})
      : PoolFixture(std::move(modes), {}, tune, Backings::kTaken) {}

  /// As large as is worth it to auto.
  void file(std::size_t index, const std::string& path, std::string_view text = "",
            mode_t mode = 0644) {
    PoolFixture::file(index, path, text, mode);
    std::filesystem::resize_file(branch(index) / path, ops::kSmallFile);
  }

  struct Opened {
    NodeId node;
    HandleId handle;
    IoModes::Mode mode;
    std::uint32_t flags;
    std::int32_t id;
  };
  [[nodiscard]] Opened opened(NodeId node, proto::OpenReply& answer, bool maps = false) {
    const IoModes::Mode mode = kernel.open(node, answer.flags, answer.backing_id, maps);
    CHECK(mode != IoModes::Mode::kRefused);
    const std::uint32_t flags = answer.flags;
    const std::int32_t id = answer.backing_id;
    return {node, keep(answer), mode, flags, id};
  }
  [[nodiscard]] Opened open_file(NodeId node, std::uint32_t flags, bool maps = false) {
    auto answer = fs().open(as(node), {flags, false});
    REQUIRE(answer.has_value());
    return opened(node, *answer, maps);
  }
  void close_file(const Opened& file) {
    kernel.close(file.node, file.mode);
    release(file.handle);
  }

  IoModes kernel{port()};
};

bool passes_all(const Passing::Opened& file) {
  return (file.flags & (reply::kPassthrough | reply::kDirectIo)) == reply::kPassthrough;
}
bool is_served(const Passing::Opened& file) {
  return (file.flags & reply::kPassthrough) == 0;
}
bool is_bound_but_served(const Passing::Opened& file) {
  constexpr std::uint32_t kBoth = reply::kPassthrough | reply::kDirectIo;
  return (file.flags & kBoth) == kBoth;
}

}  // namespace

TEST_CASE("passthrough: one id from a node's first open to its last RELEASE") {
  Passing pool;
  pool.file(0, "f", "text");
  pool.file(0, "g", "more");
  const NodeId f = pool.walk("f");
  const auto first = pool.open_file(f, O_RDONLY);
  CHECK(passes_all(first));
  CHECK(pool.port().registered(first.id).ino == pool.stat(0, "f").st_ino);
  CHECK(pool.count("backing_files") == 1);
  const auto second = pool.open_file(f, O_RDWR | O_DIRECT);
  CHECK(second.id == first.id);
  CHECK(is_bound_but_served(second));
  const auto other = pool.open_file(pool.walk("g"), O_WRONLY);
  CHECK(other.id != first.id);
  pool.close_file(first);
  CHECK(pool.port().registered(second.id).ino != 0);
  const auto third = pool.open_file(f, O_RDONLY);
  CHECK(third.id == first.id);
  pool.close_file(second);
  pool.close_file(third);
  CHECK(pool.port().registered(first.id).ino == 0);
  CHECK(pool.port().registered(other.id).ino != 0);
  const auto again = pool.open_file(f, O_RDONLY);
  CHECK(again.id != first.id);
  CHECK(pool.port().last_id() == 3);
}

TEST_CASE("passthrough: an open between the kernel's release and ours has the old id") {
  Passing pool;
  pool.file(0, "f");
  const NodeId f = pool.walk("f");
  const auto first = pool.open_file(f, O_RDWR);
  pool.kernel.close(f, first.mode);
  const auto second = pool.open_file(f, O_RDWR);
  pool.release(first.handle);
  CHECK(second.id == first.id);
  CHECK(pool.port().registered(second.id).ino != 0);
  const auto third = pool.open_file(f, O_RDONLY);
  CHECK(passes_all(third));
}

TEST_CASE("passthrough: not beside a file that is served, whatever closes first") {
  Passing pool(with(PassthroughIo::kReadOnly));
  pool.file(0, "f");
  const NodeId f = pool.walk("f");
  const auto writer = pool.open_file(f, O_RDWR);
  CHECK(is_served(writer));
  const auto reader = pool.open_file(f, O_RDONLY);
  CHECK(is_served(reader));
  pool.close_file(writer);
  const auto second = pool.open_file(f, O_RDONLY);
  CHECK(is_served(second));
  pool.close_file(reader);
  pool.close_file(second);
  const auto alone = pool.open_file(f, O_RDONLY);
  CHECK(passes_all(alone));
  const auto joining = pool.open_file(f, O_RDWR);
  CHECK(is_bound_but_served(joining));
  CHECK(joining.id == alone.id);
  CHECK(pool.port().last_id() == 1);
}

TEST_CASE("passthrough: where files may move, who comes first decides") {
  Passing pool(with(PassthroughIo::kAuto), {"RW", "RW"});
  const auto pinned = [&] {
    std::array<char, 16> value{};
    auto control = pool.lookup(kRootNode, ".boughfs");
    REQUIRE(control.has_value());
    const auto got = pool.fs().getxattr(pool.as(control->entry.node),
                                        {"user.boughfs.pinned-files", value.size()},
                                        std::as_writable_bytes(std::span(value)));
    REQUIRE(got.has_value());
    return std::string(value.data(), *got);
  };
  pool.file(0, "f");
  const NodeId f = pool.walk("f");
  for (const int access : {O_WRONLY, O_RDWR}) {
    const auto writer = pool.open_file(f, static_cast<std::uint32_t>(access));
    CHECK(is_served(writer));
    const auto reader = pool.open_file(f, O_RDONLY);
    CHECK(is_served(reader));
    CHECK(pinned() == "0");
    pool.close_file(writer);
    pool.close_file(reader);
    const auto first = pool.open_file(f, O_RDONLY);
    CHECK(passes_all(first));
    const auto joining = pool.open_file(f, static_cast<std::uint32_t>(access));
    CHECK(passes_all(joining));
    CHECK(pinned() == "1");
    pool.close_file(joining);
    pool.close_file(first);
  }
  // What the user asked for he gets.
  pool.settings().files.passthrough = PassthroughIo::kReadWrite;
  CHECK(passes_all(pool.open_file(f, O_RDWR)));
}

TEST_CASE("passthrough: where nothing can move, writers go past us as well") {
  Passing alone;
  alone.file(0, "f");
  CHECK(passes_all(alone.open_file(alone.walk("f"), O_WRONLY)));
  Passing two(
      [](ops::Settings& settings) {
        settings.files.passthrough = PassthroughIo::kAuto;
        settings.move_when_full = nullptr;
      },
      {"RW", "RW"});
  two.file(0, "f");
  CHECK(passes_all(two.open_file(two.walk("f"), O_WRONLY)));
}

TEST_CASE("passthrough: what is opened so goes past us, and only that") {
  struct Kind {
    PassthroughIo option;
    CacheFiles cache;
    bool reader, writer, appender;
  };
  for (const Kind& kind : {Kind{PassthroughIo::kOff, CacheFiles::kAuto, false, false, false},
                           Kind{PassthroughIo::kReadOnly, CacheFiles::kAuto, true, false, false},
                           Kind{PassthroughIo::kReadOnly, CacheFiles::kOff, true, false, false},
                           Kind{PassthroughIo::kWriteOnly, CacheFiles::kFull, false, true, false},
                           Kind{PassthroughIo::kReadWrite, CacheFiles::kPartial, true, true, true},
                           Kind{PassthroughIo::kAuto, CacheFiles::kAuto, true, true, false},
                           Kind{PassthroughIo::kAuto, CacheFiles::kOff, false, false, false}}) {
    Passing pool(with(kind.option, kind.cache));
    pool.file(0, "f");
    const NodeId f = pool.walk("f");
    const auto alone = [&](std::uint32_t flags) {
      const auto file = pool.open_file(f, flags);
      pool.close_file(file);
      return passes_all(file);
    };
    CHECK(alone(O_RDONLY) == kind.reader);
    CHECK(alone(O_WRONLY) == kind.writer);
    CHECK(alone(O_RDWR | O_APPEND) == kind.appender);
  }
}

TEST_CASE("passthrough: CREATE and TMPFILE as OPEN") {
  if (!may_act_as_root()) return;
  Passing pool;
  auto made = pool.fs().create(pool.as(kRootNode), {pool.name("f"), O_RDWR, 0600, 0, false, {}});
  REQUIRE(made.has_value());
  const NodeId f = pool.keep(made->entry);
  const auto created = pool.opened(f, made->open);
  CHECK(passes_all(created));
  CHECK(pool.open_file(f, O_RDONLY).id == created.id);
  auto resent =
      pool.fs().create(pool.resent(kRootNode), {pool.name("f"), O_RDWR, 0600, 0, false, {}});
  REQUIRE(resent.has_value());
  pool.keep(resent->entry);
  CHECK(pool.opened(f, resent->open).id == created.id);
  auto nameless = pool.fs().tmpfile(pool.as(kRootNode), {O_RDWR | O_TMPFILE, 0600, 0, {}});
  REQUIRE(nameless.has_value());
  const NodeId n = pool.keep(nameless->entry);
  CHECK(passes_all(pool.opened(n, nameless->open)));
}

TEST_CASE("passthrough: an answer that the kernel did not take is undone") {
  Passing pool;
  pool.file(0, "f");
  const NodeId f = pool.walk("f");
  { auto dropped = pool.fs().open(pool.as(f), {O_RDONLY, false}); }
  CHECK(pool.port().registered_count() == 0);
  const auto file = pool.open_file(f, O_RDONLY);
  { auto dropped = pool.fs().open(pool.as(f), {O_RDONLY, false}); }
  CHECK(pool.port().registered(file.id).ino != 0);
  {
    auto made = pool.fs().create(pool.as(kRootNode), {pool.name("n"), O_RDWR, 0600, 0, false, {}});
  }
  CHECK(pool.port().registered_count() == 1);
}

TEST_CASE("passthrough: a file that the kernel does not take is served, and that is told once") {
  for (std::uint64_t k = 1; k <= 4; ++k) {
    Passing pool;
    pool.port().fail_at = k;
    std::vector<Passing::Opened> files;
    for (const char* const name : {"a", "b", "c", "d"}) {
      pool.file(0, name);
      for (int i = 0; i < 2; ++i) files.push_back(pool.open_file(pool.walk(name), O_RDWR));
      const bool failed = std::string_view("abcd")[k - 1] == *name;
      CHECK(is_served(files.back()) == failed);
      CHECK(is_served(files[files.size() - 2]) == failed);
    }
    CHECK(pool.count("backing_files") == 3);
    CHECK(pool.count("backing_refusals") == 1);
    REQUIRE(pool.complaints.size() == 1);
    CHECK(pool.complaints[0].find("passthrough.max-stack-depth") != std::string::npos);
    for (const auto& file : files) pool.close_file(file);
    CHECK(passes_all(pool.open_file(pool.walk("a"), O_RDONLY)));
  }
}

TEST_CASE("passthrough: refused for each file, the log has one line") {
  Passing pool;
  pool.port().fail_all = true;
  pool.port().backing_error = ENFILE;
  for (int i = 0; i < 20; ++i) {
    pool.file(0, "f" + std::to_string(i));
    CHECK(is_served(pool.open_file(pool.walk("f" + std::to_string(i)), O_RDWR)));
  }
  CHECK(pool.count("backing_refusals") == 20);
  CHECK(pool.complaints.size() == 1);
}

TEST_CASE("passthrough: the kernel acts as the owner of the file") {
  if (!may_act_as_root()) return;
  Passing pool;
  pool.file(0, "f");
  pool.file(0, "root");
  REQUIRE(::chown((pool.branch(0) / "f").c_str(), 1234, 4321) == 0);
  const auto registered = [&](const char* name) {
    const auto file = pool.open_file(pool.walk(name), O_RDWR);
    const auto is = pool.port().registered(file.id);
    pool.close_file(file);
    return is;
  };
  for (int i = 0; i < 2; ++i) {
    CHECK(registered("f").fsuid == 1234);
    CHECK(registered("root").fsuid == 0);
    // Without it the branch's own kernel clears them, whoever writes.
    CHECK_FALSE(registered("f").keeps_set_ids);
    CHECK_FALSE(registered("root").keeps_set_ids);
  }
  CHECK(static_cast<uid_t>(::setfsuid(~uid_t{0})) == 0);
  const auto now = pool.port().open_backing(0);
  REQUIRE(now.has_value());
  CHECK(pool.port().registered(*now).keeps_set_ids);
  pool.port().close_backing(*now);
}

TEST_CASE("passthrough: a file with set-ids: writes come to us, and no attributes are kept") {
  for (const mode_t mode : {mode_t{0644}, mode_t{02644}, mode_t{02674}, mode_t{04644}}) {
    const bool runs_as_other = mode == 02674 || mode == 04644;
    for (const auto backings : {PoolFixture::Backings::kTaken, PoolFixture::Backings::kRefused}) {
      const bool careful = runs_as_other && backings == PoolFixture::Backings::kTaken;
      PoolFixture pool({"RW"}, {}, {}, backings);
      pool.file(0, "f", "", mode);
      auto found = pool.lookup(kRootNode, "f");
      REQUIRE(found.has_value());
      CHECK((found->entry.attr_valid.count() == 0) == careful);
      const NodeId f = pool.keep(*found);
      const auto attr = pool.fs().getattr(pool.as(f), {});
      REQUIRE(attr.has_value());
      CHECK((attr->attr_valid.count() == 0) == careful);
      if (backings == PoolFixture::Backings::kRefused) continue;
      auto writer = pool.fs().open(pool.as(f), {O_WRONLY, false});
      REQUIRE(writer.has_value());
      CHECK((writer->flags & reply::kPassthrough) != 0);
      CHECK(((writer->flags & reply::kDirectIo) != 0) == runs_as_other);
      auto reader = pool.fs().open(pool.as(f), {O_RDONLY, false});
      REQUIRE(reader.has_value());
      CHECK((reader->flags & reply::kDirectIo) == 0);
    }
  }
}

TEST_CASE("passthrough: where room is being freed that a write may need, it comes to us") {
  struct Case {
    std::uint64_t mebibytes;
    bool removed, for_writing, comes;
  };
  for (const Case& each :
       {Case{100, true, true, true}, Case{100, true, false, false}, Case{100, false, true, false},
        Case{2000, true, true, false}, Case{1023, true, true, true}}) {
    PoolFixture pool(
        {"RW"},
        [&](ops::Backing& real) {
          auto small = std::make_unique<FaultyBacking>(real);
          small->bend_statfs([&](ops::FsStat& stat, int) {
            stat.blocks_available = each.mebibytes << 8U;
            stat.fragment_size = 4096;
          });
          return small;
        },
        {}, PoolFixture::Backings::kTaken);
    pool.file(0, "f", std::string(ops::kSmallFile, 'x'));
    pool.file(0, "big");
    const NodeId f = pool.walk("f");
    pool.walk("big");
    if (each.removed) CHECK(pool.fs().unlink(pool.as(kRootNode), {pool.name("big")}).has_value());
    auto answer = pool.fs().open(
        pool.as(f), {static_cast<std::uint32_t>(each.for_writing ? O_WRONLY : O_RDONLY), false});
    REQUIRE(answer.has_value());
    CHECK(((answer->flags & reply::kPassthrough) != 0) == !each.comes);
    CHECK(((answer->flags & reply::kDirectIo) != 0) == each.comes);
  }
}

TEST_CASE("passthrough: a branch that asks a server sees the daemon") {
  if (!may_act_as_root()) return;
  constexpr std::uint64_t kNfs = 0x6969;
  PoolFixture pool(
      {"RW"},
      [](ops::Backing& real) {
        auto disguised = std::make_unique<FaultyBacking>(real);
        disguised->bend_statfs([](ops::FsStat& stat, int) { stat.type = kNfs; });
        return disguised;
      },
      {}, PoolFixture::Backings::kTaken);
  pool.file(0, "f");
  REQUIRE(::chown((pool.branch(0) / "f").c_str(), 1234, 4321) == 0);
  auto answer = pool.fs().open(pool.as(pool.walk("f")), {O_RDWR, false});
  REQUIRE(answer.has_value());
  CHECK(pool.port().registered(answer->backing_id).fsuid == 0);
}

TEST_CASE("passthrough: where the kernel does not allow it the option is off, and says why") {
  const auto check = [](PoolFixture& pool, std::string_view word) {
    const auto& files = pool.settings().files;
    CHECK(files.passthrough == PassthroughIo::kOff);
    CHECK_MESSAGE(files.no_passthrough.find(word) != std::string::npos, files.no_passthrough);
    for (const proto::Setting& row : ops::settings_table(pool.settings())) {
      if (row.name != "passthrough.io") continue;
      CHECK(row.get() == "off");
      CHECK(row.set("rw").find(word) != std::string::npos);
      CHECK(row.set("off").empty());
      CHECK(row.get() == "off");
    }
    pool.file(0, "f");
    auto answer = pool.fs().open(pool.as(pool.walk("f")), {O_RDWR, false});
    REQUIRE(answer.has_value());
    CHECK((answer->flags & reply::kPassthrough) == 0);
  };
  using Backings = PoolFixture::Backings;
  PoolFixture silent({"RW"}, {}, with(PassthroughIo::kAuto));
  check(silent, "root");
  CHECK(silent.complaints.empty());
  PoolFixture asked({"RW"}, {}, with(PassthroughIo::kReadWrite));
  check(asked, "root");
  REQUIRE(asked.complaints.size() == 1);
  CHECK(asked.complaints[0].starts_with("passthrough.io is off: "));
  PoolFixture nowhere(
      {"RW"}, {}, [](ops::Settings& s) { s.files.null_rw = true; }, Backings::kTaken);
  check(nowhere, "nullrw");
  PoolFixture gathering(
      {"RW"}, {}, [](ops::Settings& s) { s.files.writeback = true; }, Backings::kTaken);
  check(gathering, "writeback");
}

TEST_CASE("passthrough: what a bound file was like is not remembered") {
  Passing pool;
  pool.file(0, "f", "text");
  const NodeId f = pool.walk("f");
  const auto keeps = [&] {
    const auto file = pool.open_file(f, O_RDONLY);
    pool.close_file(file);
    return (file.flags & reply::kKeepCache) != 0;
  };
  ::usleep(100'000);
  pool.settings().files.passthrough = PassthroughIo::kOff;
  CHECK_FALSE(keeps());
  CHECK(keeps());
  pool.settings().files.passthrough = PassthroughIo::kAuto;
  CHECK_FALSE(keeps());
  // A store into a mapping may leave the times as they were.
  pool.settings().files.passthrough = PassthroughIo::kOff;
  CHECK_FALSE(keeps());
}

TEST_CASE("passthrough: a node stays with the file that it is bound to") {
  ops::NodeTable nodes{proto::Generation{1}};
  FakePort port;
  port.takes_backing_files = true;
  ops::Passthrough passthrough(nodes);
  passthrough.start(port);
  const ops::FileId file{1, 2, 3};
  const NodeId node = nodes.count_file(kRootNode, "f", {0, file}, 5)->node;
  const auto enter = [&](const ops::FileId& which) {
    return passthrough.enter(node, which, true, [&] { return port.open_backing(0); });
  };
  {
    const auto first = enter(file);
    REQUIRE(first.has_value());
    CHECK(first->backing_id() != 0);
    const auto other = enter({1, 9, 3});
    CHECK(other.error() == proto::Errno{ESTALE});
    CHECK(enter(file)->backing_id() == first->backing_id());
    CHECK(nodes.figures().holds == 1);
  }
  CHECK(enter({1, 9, 3})->backing_id() != 0);
  CHECK(nodes.figures().holds == 0);
  CHECK(port.registered_count() == 0);
  CHECK(passthrough.enter(NodeId{77}, file, true, [&] { return port.open_backing(0); })
            ->backing_id() == 0);
  CHECK(nodes.figures().overdrawn == 0);
}

TEST_CASE("passthrough: what bound nodes took is given back") {
  constexpr std::size_t kNodes = 20'000;
  const auto in_use = [] { return ::mallinfo2().uordblks; };
  ops::NodeTable nodes{proto::Generation{1}};
  FakePort port;
  port.takes_backing_files = true;
  ops::Passthrough passthrough(nodes);
  passthrough.start(port);
  std::vector<NodeId> made;
  made.reserve(kNodes);
  for (std::size_t i = 0; i < kNodes; ++i)
    made.push_back(nodes.count_file(kRootNode, std::to_string(i), {0, {1, i, 3}}, i)->node);
  const auto share = [&](std::size_t i, bool wants) {
    auto entered =
        passthrough.enter(made[i], {1, i, 3}, wants, [&] { return port.open_backing(0); });
    return std::make_unique<ops::Passthrough::Share>(*std::move(entered));
  };
  std::vector<std::unique_ptr<ops::Passthrough::Share>> shares(kNodes);
  const std::size_t before = in_use();
  for (std::size_t i = 0; i < kNodes; ++i) shares[i] = share(i, false);
  const std::size_t served = in_use() - before;
  for (auto& each : shares) each.reset();
  for (std::size_t i = 0; i < kNodes; ++i) shares[i] = share(i, true);
  CHECK(port.registered_count() == kNodes);
  for (auto& each : shares) each.reset();
  CHECK(port.registered_count() == 0);
  CHECK(served <= kNodes * 64);
  // Less than a byte each: the allocator keeps some of what it is given.
  CHECK(in_use() <= before + kNodes);
}

namespace {

/// How a file is opened, and what the options are then.
struct Kind {
  PassthroughIo option;
  CacheFiles cache;
  std::uint32_t flags;
  bool maps;
};

void set_for(PoolFixture& pool, const Kind& kind) {
  pool.settings().files.passthrough = kind.option;
  pool.settings().files.cache = kind.cache;
}

}  // namespace

TEST_CASE("passthrough: every three opens in every order: the kernel refuses none") {
  std::vector<Kind> kinds;
  for (const PassthroughIo option : {PassthroughIo::kOff, PassthroughIo::kReadOnly,
                                     PassthroughIo::kWriteOnly, PassthroughIo::kReadWrite})
    for (const CacheFiles cache : {CacheFiles::kOff, CacheFiles::kFull})
      for (const int flags : {O_RDONLY, O_WRONLY, O_RDWR})
        kinds.push_back({option, cache, static_cast<std::uint32_t>(flags),
                         flags == O_RDWR && cache == CacheFiles::kOff});
  Passing pool;
  pool.file(0, "f");
  const NodeId f = pool.walk("f");
  unsigned turn = 0;
  for (const Kind& first : kinds) {
    for (const Kind& second : kinds) {
      for (const Kind& third : kinds) {
        std::vector<Passing::Opened> files;
        for (const Kind* const kind : {&first, &second, &third}) {
          set_for(pool, *kind);
          files.push_back(pool.open_file(f, kind->flags, kind->maps));
          // Once in a while one goes before the next one comes.
          if (++turn % 5 != 0) continue;
          pool.close_file(files.front());
          files.erase(files.begin());
        }
        for (std::size_t left = files.size(); left != 0; --left) {
          const std::size_t at = turn % left;
          pool.close_file(files[at]);
          files.erase(files.begin() + static_cast<std::ptrdiff_t>(at));
        }
      }
    }
  }
  CHECK(pool.kernel.refused() == 0);
  CHECK(pool.port().registered_count() == 0);
}

TEST_CASE("passthrough: opens and closes of the same files at once: the kernel refuses none") {
  PoolFixture pool({"RW"}, {}, {}, PoolFixture::Backings::kTaken);
  IoModes kernel(pool.port());
  std::array<NodeId, 3> nodes;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    pool.file(0, std::to_string(i), "text");
    nodes[i] = pool.walk(std::to_string(i));
  }
  constexpr std::array kOptions{PassthroughIo::kOff, PassthroughIo::kReadOnly,
                                PassthroughIo::kReadWrite, PassthroughIo::kAuto};
  std::atomic<int> failures{0};
  const auto caller = [&](unsigned seed) {
    std::mt19937 random(seed);
    pool.fs().thread_started();
    struct Open {
      NodeId node;
      HandleId handle;
      IoModes::Mode mode;
    };
    std::vector<Open> files;
    const auto close = [&](std::size_t at) {
      const Open file = files[at];
      files.erase(files.begin() + static_cast<std::ptrdiff_t>(at));
      kernel.close(file.node, file.mode);
      proto::ReleaseRequest request;
      request.handle = file.handle;
      (void)pool.fs().release({}, request);
    };
    for (int i = 0; i < 1500; ++i) {
      if (files.size() > random() % 4) {
        close(random() % files.size());
        continue;
      }
      pool.settings().files.passthrough = kOptions[random() % kOptions.size()];
      proto::Context context;
      context.node = nodes[random() % nodes.size()];
      const auto flags = static_cast<std::uint32_t>(random() % 3);
      auto answer = pool.fs().open(context, {flags, false});
      if (!answer) {
        ++failures;
        continue;
      }
      // Now and then nobody waits for the answer any more.
      if (random() % 16 == 0) continue;
      const auto mode =
          kernel.open(context.node, answer->flags, answer->backing_id, random() % 4 == 0);
      files.push_back({context.node, answer->claim.handle(), mode});
      answer->keep();
    }
    while (!files.empty()) close(files.size() - 1);
  };
  std::vector<std::thread> threads;
  for (unsigned seed = 1; seed <= 6; ++seed) threads.emplace_back(caller, seed);
  for (std::thread& thread : threads) thread.join();
  CHECK(failures == 0);
  CHECK(kernel.refused() == 0);
  CHECK(pool.port().last_id() > 10);
}

}  // namespace bough::test
