#include <doctest/doctest.h>

#include <optional>
#include <thread>

#include "test/ops/fault_outsider.hpp"
#include "test/ops/fault_verdict.hpp"
#include "test/ops/second_thread.hpp"

namespace bough::test {
namespace {

using Act = std::function<Outcome()>;
using Layout = Ground::Layout;

constexpr std::array kLayouts{Layout::kSingle, Layout::kOne, Layout::kSeveral};
constexpr std::array kErrors{EIO, ENOSPC, EROFS, EDQUOT, EMFILE, EINTR, ESTALE};

#ifdef __SANITIZE_THREAD__
// Threads meet in the delays only; the rest would just take long.
constexpr std::uint64_t kShare = 12;
#elif defined(__SANITIZE_ADDRESS__)
// The build without it has the others.
constexpr std::uint64_t kShare = 9;
#else
constexpr std::uint64_t kShare = 3;
#endif

/// Some in turn, so that the usual run takes seconds; with BOUGH_FAULTS=all in the environment,
/// every one.
bool in_turn(std::uint64_t number) {
  static const char* const wanted = std::getenv("BOUGH_FAULTS");
  static const bool all = wanted != nullptr && std::string_view(wanted) == "all";
  return all || number % kShare == 0;
}

/// A pool over a ground, made afresh for each run; at its end PoolFixture checks that every count,
/// handle and descriptor was given back. What is new goes to the first branch with room.
struct Run {
  Run(const Ground& ground, const Scenario& scenario)
      : fixture({"RW"}, with_faults(faults),
                [&ground](ops::Settings& settings) {
                  settings.branches = ground.list();
                  settings.create = policy::find(policy::create_policies(), "ff");
                  // Each error is to be the caller's, who is not to be served elsewhere.
                  settings.move_when_full = nullptr;
                }),
        act(scenario.prepare(fixture)) {
    faults->reset();
  }
  FaultyBacking* faults = nullptr;
  PoolFixture fixture;
  Act act;
};

enum class Start : std::uint8_t {
  kCold,  ///< no descriptor is kept: the branches' roots are opened and verified on the way
  kWarm,
};

void cool(Run& run, Start start) {
  if (start == Start::kWarm) return;
  run.fixture.fs().idle();
  run.faults->reset();
}

GoodRun run_well(const Ground& ground, const Scenario& scenario, Start start) {
  Run run(ground, scenario);
  GoodRun good;
  good.before = ground.look();
  cool(run, start);
  good.outcome = run.act();
  good.calls = run.faults->calls(Call::kAny);
  good.after = ground.look();
  return good;
}

/// One scenario on one ground.
struct Case {
  const Ground& ground;
  const Layout layout;
  const Scenario& scenario;
  const GoodRun good;

  [[nodiscard]] std::string name(std::uint64_t call) const {
    return scenario.name + ", layout " + std::to_string(static_cast<int>(layout)) + ", call " +
           std::to_string(call);
  }
};

/// Calls `each` (void(const Case&)) for every scenario on every layout, and leaves out what the
/// file system of the tests' files does not know.
template <class Each>
void for_all(Start start, Each each) {
  for (const Layout layout : kLayouts) {
    const Ground ground(layout);
    for (const Scenario& scenario : fault_scenarios()) {
      const Case now{ground, layout, scenario, run_well(ground, scenario, start)};
      ground.restore(now.good.after);
      if (now.good.outcome.error == EOPNOTSUPP || now.good.outcome.error == ENOTTY)
        MESSAGE("left out, not known to this file system: " << scenario.name);
      else
        each(now);
    }
  }
}

/// Another operation of the pool's users. Only such that the kernel does send beside the first:
/// changes of names in one directory it sends one after the other.
struct Rival {
  std::string name;
  bool changes;
  std::function<std::function<int()>(PoolFixture&)> prepare;
};

const std::vector<Rival>& rivals() {
  using proto::NodeId;
  static const std::vector<Rival> all{
      {"one that asks", false,
       [](PoolFixture& pool) -> std::function<int()> {
         const NodeId d = pool.walk("d");
         proto::LookupRequest lookup;
         lookup.name = pool.name("f");
         return [&fs = pool.fs(), context = pool.as(d), lookup] {
           (void)fs.lookup(context, lookup);
           (void)fs.getattr(context, {});
           auto opened = fs.opendir(context, {});
           if (!opened) return 0;
           alignas(8) std::array<std::byte, 1024> buffer;
           proto::DirentPlusPacker packer(buffer, fs);
           (void)fs.readdirplus(context, {opened->claim.handle(), 0, buffer.size()}, packer);
           return 0;
         };
       }},
      {"mkdir", true,
       [](PoolFixture& pool) -> std::function<int()> {
         const auto name = pool.name("sub");
         return [&fs = pool.fs(), context = pool.as(pool.walk("d")), name] {
           const auto made = fs.mkdir(context, {name, 0755, 022, {}});
           return made ? 0 : made.error().value();
         };
       }},
      {"chmod", true,
       [](PoolFixture& pool) -> std::function<int()> {
         proto::SetattrRequest request;
         request.mode = 0711;
         return [&fs = pool.fs(), context = pool.as(pool.walk("d/k")), request] {
           const auto done = fs.setattr(context, request);
           return done ? 0 : done.error().value();
         };
       }},
      {"rename of the directory", true,
       [](PoolFixture& pool) -> std::function<int()> {
         (void)pool.walk("d");
         const proto::RenameRequest request{proto::kRootNode, pool.name("d"), pool.name("q"), 0};
         return [&fs = pool.fs(), context = pool.as(proto::kRootNode), request] {
           return fs.rename(context, request).error().value();
         };
       }},
  };
  return all;
}

/// How two operations came out together.
struct Both {
  int error = 0;
  int rival = 0;
  Trees trees;
  friend bool operator==(const Both&, const Both&) = default;
};

enum class Order : std::uint8_t { kRivalLast, kRivalFirst };

Both run_both(const Case& now, const Rival& rival, Order order) {
  Both both;
  {
    Run run(now.ground, now.scenario);
    const auto act = rival.prepare(run.fixture);
    if (order == Order::kRivalFirst) both.rival = act();
    both.error = run.act().error;
    if (order == Order::kRivalLast) both.rival = act();
    both.trees = now.ground.look();
  }
  now.ground.restore(both.trees);
  return both;
}

/// The k-th call fails. Returns what was seen of the branches last.
Trees fail_call(const Case& now, std::uint64_t k, int error) {
  const GoodRun& good = now.good;
  Run run(now.ground, now.scenario);
  cool(run, Start::kCold);
  run.faults->fail({Call::kAny, k}, error);
  const Outcome outcome = run.act();
  const auto call = run.faults->last_failed();
  run.faults->reset();
  const std::string where = now.name(k) + ", errno " + std::to_string(error);
  // What only asks is looked at once for all errnos.
  const bool looks = now.scenario.kind != Scenario::Kind::kAsks || error == kErrors.front();
  Trees seen = looks ? now.ground.look() : good.before;
  if (!call) {
    FAIL_CHECK(where << ": no such call was made");
    return seen;
  }
  const Fault fault{now.scenario, now.layout, *call, error};
  const std::string wrong = complaint(fault, good, outcome, seen);
  if (!wrong.empty()) FAIL_CHECK(where << ", Call " << static_cast<int>(*call) << wrong);
  // Whether it works again is a matter of what the pool remembers of a fault: these three.
  const bool tells = error == EIO || error == EROFS || error == ESTALE;
  if (outcome.error == good.outcome.error || !tells || !can_be_repeated(fault)) return seen;
  const Outcome again = run.act();
  seen = now.ground.look();
  if (again != good.outcome)
    FAIL_CHECK(where << ", once more: errno " << again.error << " " << again.answer);
  if (seen != good.after) FAIL_CHECK(where << ", once more:" << difference(good.after, seen));
  return seen;
}

/// Somebody else's change comes in just before the k-th call. `changed`: there was one to make.
Trees change_before(const Case& now, std::uint64_t k, Change what, SecondThread& other,
                    bool& changed) {
  Run run(now.ground, now.scenario);
  run.faults->before({Call::kAny, k}, [&] {
    other.start([&] { changed = change(now.ground, now.scenario, what); });
    other.finish();
  });
  const Outcome outcome = run.act();
  run.faults->reset();
  Trees seen = now.ground.look();
  if (!changed) return seen;
  const std::string wrong = complaint_after(what, now.scenario, now.good, outcome, seen);
  if (!wrong.empty()) FAIL_CHECK(now.name(k) << ", change " << static_cast<int>(what) << wrong);
  return seen;
}

/// The k-th call is delayed until the rival is done, or waits for the operation in its turn.
/// Nothing: there were not so many calls (on a slow machine a branch's root is looked at anew now
/// and then).
std::optional<Both> delay_call(const Case& now, std::uint64_t k, const Rival& rival,
                               SecondThread& other) {
  Both both;
  bool came = false;
  Run run(now.ground, now.scenario);
  const auto act = rival.prepare(run.fixture);
  run.faults->reset();
  run.faults->before({Call::kAny, k}, [&] {
    came = true;
    other.start([&] {
      run.fixture.fs().thread_started();
      both.rival = act();
    });
    (void)other.wait_for(std::chrono::milliseconds(1));
  });
  both.error = run.act().error;
  if (!came) return std::nullopt;
  other.finish();
  both.trees = now.ground.look();
  return both;
}

}  // namespace

TEST_CASE("fault matrix: each call of each operation fails with each errno") {
  std::uint64_t injected = 0;
  for_all(Start::kCold, [&](const Case& now) {
    for (std::uint64_t k = 1; k <= now.good.calls; ++k)
      for (std::size_t i = 0; i < kErrors.size(); ++i) {
        // EIO is what any call of a real disk may say.
        if ((i != 0 || kShare > 3) && !in_turn(k + i)) continue;
        now.ground.restore(fail_call(now, k, kErrors[i]));
        ++injected;
      }
  });
  MESSAGE("faults injected: " << injected);
}

TEST_CASE("fault matrix: somebody else's change comes in just before each call") {
  std::uint64_t changes = 0;
  SecondThread other;
  for_all(Start::kWarm, [&](const Case& now) {
    for (std::uint64_t k = 1; k <= now.good.calls; ++k)
      for (const Change what : kChanges) {
        if (!in_turn(k + static_cast<std::uint64_t>(what))) continue;
        bool changed = false;
        now.ground.restore(change_before(now, k, what, other, changed));
        if (changed) ++changes;
      }
  });
  MESSAGE("changes of others: " << changes);
}

TEST_CASE("fault matrix: another operation comes while each call is delayed") {
  std::uint64_t delays = 0;
  SecondThread other;
  for_all(Start::kWarm, [&](const Case& now) {
    std::uint64_t turn = 0;
    for (const Rival& rival : rivals()) {
      ++turn;
      if (now.scenario.kind == Scenario::Kind::kAsks && !rival.changes) continue;
      const Both last = run_both(now, rival, Order::kRivalLast);
      const Both first = run_both(now, rival, Order::kRivalFirst);
      for (std::uint64_t k = 1; k <= now.good.calls; ++k) {
        if (!in_turn(k + turn)) continue;
        const auto both = delay_call(now, k, rival, other);
        if (!both) {
          now.ground.restore(now.ground.look());
          continue;
        }
        now.ground.restore(both->trees);
        ++delays;
        if (*both == last || *both == first) continue;
        FAIL_CHECK(now.name(k) << ", beside " << rival.name << ": errno " << both->error
                               << ", the other's " << both->rival
                               << difference(last.trees, both->trees));
      }
    }
  });
  MESSAGE("calls delayed: " << delays);
}

TEST_CASE("fault matrix: short counts") {
  std::uint64_t shortened = 0;
  for_all(Start::kWarm, [&](const Case& now) {
    const std::string& name = now.scenario.name;
    if (name != "read" && name != "write" && name != "write from the cache") return;
    for (const std::size_t most : {1U, 2U, 5U})
      for (std::uint64_t k = 1; k <= now.good.calls; ++k)
        for (const std::uint64_t times : {std::uint64_t{1}, FaultyBacking::kAlways}) {
          Trees seen;
          {
            Run run(now.ground, now.scenario);
            run.faults->shorten({Call::kAny, k, times}, most);
            INFO(now.name(k));
            CHECK(run.act() == now.good.outcome);
            seen = now.ground.look();
            CHECK(difference(now.good.after, seen).empty());
          }
          now.ground.restore(seen);
          ++shortened;
        }
  });
  MESSAGE("calls cut short: " << shortened);
}

}  // namespace bough::test
