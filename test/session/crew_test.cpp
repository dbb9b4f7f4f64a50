#include <doctest/doctest.h>
#include <sched.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "session/backlog.hpp"
#include "test/session/belongings.hpp"
#include "test/session/serving.hpp"

using namespace bough;
using namespace bough::test;
namespace abi = bough::proto::abi;
using abi::Opcode;

namespace {

/// How often workers of this process gave up a processor of their own accord, all together.
std::uint64_t worker_wake_ups() {
  std::uint64_t sum = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(task.path() / "status");
    std::string name;
    bool worker = false;
    for (std::string key; status >> key; std::getline(status, name)) {
      if (key == "Name:") worker = (status >> name) && name == "boughfs-worker";
      std::uint64_t count = 0;
      if (worker && key == "voluntary_ctxt_switches:" && status >> count) sum += count;
    }
  }
  return sum;
}

/// Keeps every thread of this process on one core while it lives.
class OneCore {
 public:
  OneCore() {
    REQUIRE(::sched_getaffinity(0, sizeof before_, &before_) == 0);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(::sched_getcpu(), &one);
    set(one);
  }
  ~OneCore() { set(before_); }
  OneCore(const OneCore&) = delete;
  OneCore& operator=(const OneCore&) = delete;

 private:
  static void set(const cpu_set_t& cores) {
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task"))
      (void)::sched_setaffinity(std::stoi(task.path().filename()), sizeof cores, &cores);
  }
  cpu_set_t before_{};
};

}  // namespace

TEST_CASE("a worker that is caught in a branch is joined by another") {
  Serving serving;
  const auto stuck = serving.kernel.lookup("park");
  REQUIRE(serving.fs.wait_parked("park"));
  serving.kernel.lookup("file");
  const auto reply = serving.kernel.receive();
  REQUIRE(reply);
  CHECK(reply->unique != stuck);
  CHECK(serving.reaches("workers_started", 2));
  serving.fs.let_go("park");
  CHECK(serving.kernel.receive()->unique == stuck);
}

TEST_CASE(
    "with every worker caught, FORGET and INTERRUPT are served and requests wait their turn") {
  session::Settings settings;
  settings.threads = 3;
  Serving serving(settings);
  FakeKernel& kernel = serving.kernel;
  const auto first = kernel.lookup("park0");
  kernel.lookup("park1");
  kernel.lookup("park2");
  REQUIRE(serving.fs.wait_parked_count(3));

  const auto late = kernel.lookup("park3");
  const auto later = kernel.send(Opcode::kGetattr, 1, Body().add(abi::GetattrIn{}));
  CHECK(serving.reaches("queued", 2));
  kernel.forget(100, 3);
  CHECK(serving.reaches("forgets", 3));
  CHECK(serving.fs.calls("forget") == 1);
  kernel.interrupt(first);
  CHECK(Serving::eventually([&] { return serving.session->interrupted(proto::Unique{first}); }));
  // One whose request waits for a worker is not lost either.
  kernel.interrupt(late);
  CHECK(serving.reaches("interrupts", 2));
  abi::PollIn poll{};
  poll.events = 1;
  const auto polled = kernel.send(Opcode::kPoll, 1, Body().add(poll));
  CHECK(kernel.receive()->unique == polled);
  CHECK(serving.fs.calls("getattr") == 0);
  CHECK(serving.fs.calls("lookup") == 3);

  serving.fs.let_go("park0");
  REQUIRE(serving.fs.wait_parked("park3"));
  CHECK(serving.session->interrupted(proto::Unique{late}));
  CHECK(kernel.receive_for(first));
  serving.fs.let_go("park3");
  CHECK(kernel.receive_for(late));
  CHECK(kernel.receive_for(later));
  CHECK(serving.fs.saw_interrupt("park0"));
  CHECK(serving.fs.saw_interrupt("park3"));
  CHECK(serving.figure("interrupts_early") == 0);
}

TEST_CASE("more requests than workers, each of which blocks") {
  session::Settings settings;
  settings.threads = 4;
  Serving serving(settings);
  std::vector<std::uint64_t> sent;
  for (int i = 0; i < 40; ++i) sent.push_back(serving.kernel.lookup("park" + std::to_string(i)));
  REQUIRE(serving.fs.wait_parked_count(4));
  CHECK(serving.reaches("workers_started", 4));
  serving.fs.let_go("*");
  for (const auto unique : sent) CHECK(serving.kernel.receive_for(unique));
  CHECK(serving.fs.calls("lookup") == 40);
}

TEST_CASE("threads is at least one") {
  session::Settings settings;
  settings.threads = 1;
  Serving serving(settings);
  const auto parked = serving.kernel.lookup("park");
  REQUIRE(serving.fs.wait_parked("park"));
  serving.kernel.forget(100, 1);
  CHECK(serving.reaches("forgets", 1));
  serving.fs.let_go("park");
  CHECK(serving.kernel.receive()->unique == parked);
}

TEST_CASE("idle is told once after a quiet while, and again after the next") {
  Serving serving;
  serving.kernel.lookup("file");
  CHECK(serving.kernel.receive());
  CHECK(serving.fs.idles() == 0);
  CHECK(Serving::eventually([&] { return serving.fs.idles() == 1; }));
  const auto waits = serving.figure("waits");
  std::this_thread::sleep_for(std::chrono::milliseconds(2500));
  CHECK(serving.fs.idles() == 1);
  // Nobody woke: a wake-up ends one wait and begins another.
  CHECK(serving.figure("waits") <= waits + 1);
  serving.kernel.lookup("file");
  CHECK(serving.kernel.receive()->error == 0);
  CHECK(Serving::eventually([&] { return serving.fs.idles() == 2; }));
}

TEST_CASE("workers that a burst needed are parked again") {
  session::Settings settings;
  settings.threads = 8;
  Serving serving(settings);
  for (int i = 0; i < 8; ++i) serving.kernel.lookup("park" + std::to_string(i));
  REQUIRE(serving.fs.wait_parked_count(8));
  CHECK(serving.reaches("workers_armed", 8));
  serving.fs.let_go("*");
  for (int i = 0; i < 8; ++i) CHECK(serving.kernel.receive());
  CHECK(Serving::eventually([&] { return serving.figure("workers_armed") == 1; }));
  serving.kernel.lookup("file");
  CHECK(serving.kernel.receive()->error == 0);
}

TEST_CASE("in the quiet, workers that a burst needed have neither thread nor descriptor") {
  session::Settings settings;
  settings.threads = 6;
  Serving serving(settings);
  serving.kernel.lookup("file");
  CHECK(serving.kernel.receive());
  REQUIRE(Serving::eventually([&] { return serving.fs.idles() == 1; }));
  const auto before = Belongings::now();
  for (const unsigned round : {1U, 2U}) {
    const auto name = [round](int i) {
      return "park" + std::to_string(round) + "." + std::to_string(i);
    };
    for (int i = 0; i < 6; ++i) serving.kernel.lookup(name(i));
    REQUIRE(serving.fs.wait_parked_count(6));
    // A seventh is read by the control worker.
    serving.kernel.lookup("file");
    REQUIRE(serving.reaches("queued", round));
    CHECK(Belongings::now().threads == before.threads + 6);
    for (int i = 0; i < 6; ++i) serving.fs.let_go(name(i));
    for (int i = 0; i < 7; ++i) CHECK(serving.kernel.receive());
    CHECK(Serving::eventually([&] { return Belongings::now() == before; }));
    CHECK(serving.figure("requests_lookup") == 1 + 7 * round);
  }
}

TEST_CASE("a worker that descriptors were missing for is started when there are some again") {
  Serving serving;
  serving.kernel.lookup("file");
  CHECK(serving.kernel.receive());
  {
    const NoDescriptors none;
    serving.kernel.lookup("park");
    REQUIRE(serving.fs.wait_parked("park"));
    // Longer than the supervisor looks by itself.
    std::this_thread::sleep_for(std::chrono::milliseconds(2500));
  }
  serving.kernel.lookup("file");
  const auto reply = serving.kernel.receive();
  REQUIRE(reply);
  CHECK(reply->error == 0);
  serving.fs.let_go("park");
  CHECK(serving.kernel.receive());
}

TEST_CASE("messages do not wake workers that are parked") {
  session::Settings settings;
  settings.threads = 8;
  Serving serving(settings);
  for (int i = 0; i < 8; ++i) serving.kernel.lookup("park" + std::to_string(i));
  REQUIRE(serving.fs.wait_parked_count(8));
  serving.fs.let_go("*");
  for (int i = 0; i < 8; ++i) CHECK(serving.kernel.receive());
  // A message now and then keeps the pool from becoming idle, in which case they end.
  const auto one = [&] {
    serving.kernel.lookup("file");
    CHECK(serving.kernel.receive());
  };
  REQUIRE(Serving::eventually([&] {
    one();
    return serving.figure("workers_armed") == 1;
  }));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const auto before = worker_wake_ups();
  for (int i = 0; i < 500; ++i) one();
  // Each of the seven would wake as often as the one who serves.
  CHECK(worker_wake_ups() - before < 1500);
}

TEST_CASE("one client that waits for each answer is one worker's, on whichever core") {
  Serving serving;
  // On one core the client, woken by the answer, asks again before the worker looks.
  const OneCore all_threads;
  for (int i = 0; i < 10'000; ++i) {
    serving.kernel.lookup("file");
    REQUIRE(serving.kernel.receive());
  }
  CHECK(serving.figure("workers_started") == 1);
}

TEST_CASE("requests that wait are company to each other where threads have no number") {
  if (std::thread::hardware_concurrency() < 2) return;
  Serving serving;
  serving.kernel.pid = 0;
  const auto some = [&] {
    for (int i = 0; i < 64; ++i) serving.kernel.lookup("file");
    for (int i = 0; i < 64; ++i) REQUIRE(serving.kernel.receive());
  };
  CHECK(Serving::eventually([&] {
    for (int i = 0; i < 100; ++i) some();
    return serving.figure("workers_started") > 1;
  }));
}

TEST_CASE("many requests at once, answered each once") {
  Serving serving;
  constexpr int kCount = 20'000;
  int answered = 0;
  int sent = 0;
  while (answered < kCount) {
    for (; sent < kCount && sent - answered < 64; ++sent) {
      if (sent % 3 == 0)
        serving.kernel.lookup("file");
      else
        serving.kernel.send(Opcode::kGetattr, 1, Body().add(abi::GetattrIn{}));
    }
    REQUIRE(serving.kernel.receive());
    ++answered;
  }
  CHECK(serving.kernel.quiet());
  CHECK(serving.figure("requests_lookup") + serving.figure("requests_getattr") == kCount);
  CHECK(serving.fs.lookups() == (kCount + 2) / 3);
}

TEST_CASE("the backlog is bounded in number and in bytes, and keeps the order") {
  session::Lanes lanes(2 * session::Backlog::kMessages);
  session::Backlog backlog(lanes);
  const std::vector<std::byte> message(100);
  for (std::size_t i = 0; i < session::Backlog::kMessages; ++i) {
    REQUIRE(backlog.has_room());
    backlog.put(message, proto::Unique{2 * i + 2}, nullptr, 0);
  }
  CHECK_FALSE(backlog.has_room());
  CHECK(backlog.interrupt(proto::Unique{2}));
  CHECK_FALSE(backlog.interrupt(proto::Unique{1'000'000}));
  const auto first = backlog.take();
  REQUIRE(first);
  CHECK(first->unique == proto::Unique{2});
  CHECK(first->interrupted);
  CHECK(backlog.has_room());
  while (backlog.take()) {
  }
  CHECK(backlog.empty());

  const std::vector<std::byte> large(session::Backlog::kBytes);
  backlog.put(large, proto::Unique{2}, nullptr, 0);
  CHECK_FALSE(backlog.has_room());
}
