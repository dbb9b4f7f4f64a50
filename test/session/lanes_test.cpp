#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "session/backlog.hpp"
#include "session/lanes.hpp"
#include "test/session/serving.hpp"

using namespace bough;
using namespace bough::test;
using session::Backlog;
using session::Lanes;
namespace abi = bough::proto::abi;
using abi::Opcode;

namespace {

session::Settings with_threads(unsigned threads) {
  session::Settings settings;
  settings.threads = threads;
  return settings;
}

void put(Backlog& backlog, std::uint64_t unique, std::uint32_t lane) {
  backlog.put(std::array<std::byte, 8>{}, proto::Unique{unique}, nullptr, lane);
}

/// 0: nothing may be taken.
std::uint64_t take(Backlog& backlog) {
  const auto taken = backlog.take();
  return taken ? taken->unique.value : 0;
}

}  // namespace

TEST_CASE("two lanes together leave a worker over, if there are three or more") {
  CHECK(Lanes::limit_for(1) == 1);
  CHECK(Lanes::limit_for(2) == 1);
  for (unsigned threads = 3; threads <= 512; ++threads) {
    CHECK(Lanes::limit_for(threads) >= 1);
    CHECK(2 * Lanes::limit_for(threads) < threads);
    CHECK(2 * Lanes::limit_for(threads) >= threads - 2);
  }
}

TEST_CASE("a lane has so many places, and who waits comes before who has just come") {
  Lanes lanes(2);
  Backlog backlog(lanes);
  CHECK(lanes.enter(1));
  CHECK(lanes.enter(1));
  CHECK_FALSE(lanes.enter(1));
  CHECK_FALSE(lanes.enter(1 + Lanes::kLanes));
  CHECK(lanes.enter(2));
  put(backlog, 10, 1);
  put(backlog, 12, 1);
  CHECK_FALSE(backlog.ready());
  CHECK(take(backlog) == 0);
  lanes.leave(1);
  CHECK_FALSE(lanes.enter(1));
  CHECK(backlog.ready());
  CHECK(take(backlog) == 10);
  CHECK(take(backlog) == 0);
  lanes.leave(1);
  lanes.leave(1);
  CHECK(take(backlog) == 12);
  CHECK(lanes.enter(1));
  CHECK_FALSE(lanes.enter(1));
}

TEST_CASE("the oldest whose lane has room comes first") {
  Lanes lanes(1);
  Backlog backlog(lanes);
  REQUIRE(lanes.enter(1));
  put(backlog, 10, 1);
  put(backlog, 12, 3);
  put(backlog, 14, 2);
  put(backlog, 16, 3);
  CHECK(take(backlog) == 12);
  CHECK(take(backlog) == 14);
  CHECK(take(backlog) == 0);
  lanes.leave(3);
  lanes.leave(1);
  CHECK(take(backlog) == 10);
  CHECK(take(backlog) == 16);
  CHECK(backlog.empty());
}

TEST_CASE("whatever the order of things, nothing is left lying and no lane is overfull") {
  constexpr unsigned kThreads = 4;
  constexpr unsigned kEach = 20'000;
  constexpr unsigned kLimit = 2;
  constexpr std::uint32_t kUsed = 3;
  Lanes lanes(kLimit);
  Backlog backlog(lanes);
  std::array<std::atomic<unsigned>, kUsed> running{};
  std::atomic<unsigned> served{0};
  std::atomic<unsigned> overfull{0};
  const auto serve = [&](std::uint32_t lane) {
    if (++running[lane] > kLimit) ++overfull;
    if (served.fetch_add(1) % 16 == 0) std::this_thread::yield();
    --running[lane];
    lanes.leave(lane);
  };
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (unsigned i = 0; i < kEach; ++i) {
        const std::uint32_t lane = (i + t) % kUsed == 1 ? 1 : (i / 7) % kUsed;
        if (lanes.enter(lane))
          serve(lane);
        else
          put(backlog, 2 * (t * kEach + i + 1), lane);
        while (auto waited = backlog.take()) serve(waited->lane);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(backlog.empty());
  CHECK(served == kThreads * kEach);
  CHECK(overfull == 0);
}

TEST_CASE("a lane that is full keeps nobody else waiting, and its own come in order later") {
  Serving serving(with_threads(5));
  FakeKernel& kernel = serving.kernel;
  kernel.lookup("park0@1");
  kernel.lookup("park1@1");
  REQUIRE(serving.fs.wait_parked_count(2));
  std::vector<std::uint64_t> waiting;
  for (int i = 2; i < 6; ++i) waiting.push_back(kernel.lookup("park" + std::to_string(i) + "@1"));
  CHECK(serving.reaches("queued", 4));

  // Another lane, which fills up in turn.
  const auto other = kernel.lookup("file@2");
  CHECK(kernel.receive()->unique == other);
  kernel.lookup("park6@2");
  kernel.lookup("park7@2");
  REQUIRE(serving.fs.wait_parked_count(4));
  const auto third = kernel.lookup("file@3");
  CHECK(kernel.receive()->unique == third);
  kernel.forget(100, 3);
  CHECK(serving.reaches("forgets", 3));
  kernel.interrupt(waiting[1]);
  CHECK(serving.reaches("interrupts", 1));
  CHECK(serving.figure("interrupts_early") == 0);
  CHECK(serving.figure("queued") == 4);
  CHECK(serving.fs.calls("lookup") == 6);

  serving.fs.let_go("park0@1");
  REQUIRE(serving.fs.wait_parked("park2@1"));
  CHECK(serving.fs.calls("lookup") == 7);
  serving.fs.let_go("park1@1");
  REQUIRE(serving.fs.wait_parked("park3@1"));
  CHECK(serving.session->interrupted(proto::Unique{waiting[1]}));
  CHECK_FALSE(serving.session->interrupted(proto::Unique{waiting[0]}));
  CHECK(serving.fs.calls("lookup") == 8);
  serving.fs.let_go("*");
  for (const auto unique : waiting) CHECK(kernel.receive_for(unique));
  CHECK(serving.fs.saw_interrupt("park3@1"));
  CHECK_FALSE(serving.fs.saw_interrupt("park2@1"));
  CHECK(serving.figure("queued") == 4);
}

TEST_CASE("what waits for a lane is served in the order it came, and before what comes later") {
  Serving serving(with_threads(3));
  FakeKernel& kernel = serving.kernel;
  std::vector<std::uint64_t> sent{kernel.lookup("park@1")};
  REQUIRE(serving.fs.wait_parked("park@1"));
  for (std::uint64_t i = 1; i <= 100; ++i) {
    sent.push_back(kernel.lookup("file@1"));
    const auto other = kernel.lookup("file@2");
    REQUIRE(kernel.receive()->unique == other);
    REQUIRE(serving.reaches("queued", i));
  }
  serving.fs.let_go("*");
  // Two workers may read these at the same time: which of them comes first is nobody's order.
  constexpr int kLater = 100;
  for (int i = 0; i < kLater; ++i) kernel.lookup("file@1");
  for (const auto unique : sent) {
    const auto reply = kernel.receive();
    REQUIRE(reply);
    CHECK(reply->unique == unique);
  }
  for (int i = 0; i < kLater; ++i) REQUIRE(kernel.receive());
}

TEST_CASE("many requests of few lanes, answered each once") {
  Serving serving(with_threads(8));
  constexpr int kCount = 10'000;
  int answered = 0;
  int sent = 0;
  serving.kernel.lookup("park0@9");
  serving.kernel.lookup("park1@9");
  serving.kernel.lookup("park2@9");
  REQUIRE(serving.fs.wait_parked_count(3));
  while (answered < kCount) {
    for (; sent < kCount && sent - answered < 64; ++sent)
      serving.kernel.lookup("file@" + std::to_string(sent % 7 == 0 ? 1 : 2));
    REQUIRE(serving.kernel.receive());
    ++answered;
  }
  CHECK(serving.kernel.quiet());
}

TEST_CASE("nothing more is read while the backlog is full, and everything is answered in the end") {
  Serving serving(with_threads(3));
  FakeKernel& kernel = serving.kernel;
  kernel.lookup("park@1");
  REQUIRE(serving.fs.wait_parked("park@1"));
  kernel.lookup("park2@1");
  REQUIRE(serving.reaches("queued", 1));
  for (std::size_t i = 1; i < Backlog::kMessages; ++i) kernel.lookup("file@1");
  CHECK(serving.reaches("queued", Backlog::kMessages));
  const auto other = kernel.lookup("file@2");
  CHECK(kernel.quiet());
  // The worker that makes room is caught at once: it is for the others to read on.
  serving.fs.let_go("park@1");
  REQUIRE(serving.fs.wait_parked("park2@1"));
  CHECK(kernel.receive_for(other));
  serving.fs.let_go("*");
  for (std::size_t i = 0; i < Backlog::kMessages + 1; ++i) REQUIRE(kernel.receive());
  CHECK(serving.fs.calls("lookup") == static_cast<int>(Backlog::kMessages) + 2);
}

TEST_CASE("stop() answers what waits for room in its lane") {
  Serving serving(with_threads(3));
  const auto first = serving.kernel.lookup("park@1");
  REQUIRE(serving.fs.wait_parked("park@1"));
  const auto second = serving.kernel.lookup("file@1");
  CHECK(serving.reaches("queued", 1));
  const auto third = serving.kernel.lookup("file@1");
  CHECK(serving.reaches("queued", 2));
  serving.session->stop();
  CHECK(serving.kernel.quiet());
  serving.fs.let_go("*");
  CHECK(serving.kernel.receive()->unique == first);
  CHECK(serving.kernel.receive()->unique == second);
  CHECK(serving.kernel.receive()->unique == third);
  serving.join();
  CHECK(serving.reason == session::StopReason::kStopRequested);
  CHECK_FALSE(serving.session->stuck());
}

TEST_CASE("a connection that ends while requests wait for room in their lane") {
  Serving serving(with_threads(3));
  serving.kernel.lookup("park@1");
  REQUIRE(serving.fs.wait_parked("park@1"));
  for (int i = 0; i < 20; ++i) serving.kernel.lookup("file@1");
  CHECK(serving.reaches("queued", 20));
  serving.kernel.hang_up();
  serving.fs.let_go("park@1");
  serving.join();
  CHECK(serving.reason == session::StopReason::kUnmounted);
  CHECK(serving.fs.stops() == 1);
  CHECK(serving.fs.lookups() == 0);
}
