#include <doctest/doctest.h>
#include <fcntl.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <thread>

#include "session/device.hpp"
#include "session/inflight.hpp"
#include "test/session/serving.hpp"

using namespace bough;
using namespace bough::test;
namespace abi = bough::proto::abi;
using abi::Opcode;

namespace {

std::uint64_t lock_wait(FakeKernel& kernel) {
  abi::LkIn lock{};
  lock.lk.type = 1;
  lock.lk.end = 100;
  return kernel.send(Opcode::kSetlkw, 5, Body().add(lock));
}

}  // namespace

TEST_CASE("an INTERRUPT reaches the request that is being served") {
  Serving serving;
  const auto unique = serving.kernel.lookup("park");
  REQUIRE(serving.fs.wait_parked("park"));
  CHECK_FALSE(serving.session->interrupted(proto::Unique{unique}));
  serving.kernel.interrupt(unique);
  CHECK(Serving::eventually([&] { return serving.session->interrupted(proto::Unique{unique}); }));
  serving.fs.let_go("park");
  CHECK(serving.kernel.receive()->error == 0);
  CHECK(serving.fs.saw_interrupt("park"));
  CHECK(serving.figure("interrupts_early") == 0);
  CHECK(serving.kernel.quiet());
}

TEST_CASE("an INTERRUPT that comes first waits for its request") {
  Serving serving;
  serving.kernel.interrupt(5000);
  CHECK(serving.reaches("interrupts_early", 1));
  serving.kernel.send_as(5000, Opcode::kLookup, 1, Body().name("park"));
  REQUIRE(serving.fs.wait_parked("park"));
  CHECK(serving.session->interrupted(proto::Unique{5000}));
  serving.fs.let_go("park");
  CHECK(serving.kernel.receive()->unique == 5000);
}

TEST_CASE("an INTERRUPT that comes last changes nothing") {
  Serving serving;
  const auto unique = serving.kernel.lookup("file");
  CHECK(serving.kernel.receive()->error == 0);
  serving.kernel.interrupt(unique);
  CHECK(serving.reaches("interrupts_early", 1));
  CHECK(serving.kernel.quiet());
  serving.kernel.lookup("park");
  REQUIRE(serving.fs.wait_parked("park"));
  serving.fs.let_go("park");
  CHECK(serving.kernel.receive()->error == 0);
  CHECK_FALSE(serving.fs.saw_interrupt("park"));
}

TEST_CASE("a lock that is waited for is answered from elsewhere") {
  Serving serving;
  const auto unique = lock_wait(serving.kernel);
  REQUIRE(serving.fs.wait_locks(1));
  serving.kernel.lookup("file");
  CHECK(serving.kernel.receive()->error == 0);
  serving.fs.take_lock().answer({});
  const auto reply = serving.kernel.receive();
  REQUIRE(reply);
  CHECK(reply->unique == unique);
  CHECK(reply->error == 0);
}

TEST_CASE("a lock that is waited for ends by an INTERRUPT") {
  Serving serving;
  const auto unique = lock_wait(serving.kernel);
  REQUIRE(serving.fs.wait_locks(1));
  auto lock = std::make_shared<proto::Reply<void>>(serving.fs.take_lock());
  SUBCASE("that comes while it waits") {
    lock->on_interrupt([lock] { lock->answer(proto::Errno{EINTR}); });
    serving.kernel.interrupt(unique);
  }
  SUBCASE("that came before anybody listened") {
    serving.kernel.interrupt(unique);
    CHECK(Serving::eventually([&] { return serving.session->interrupted(proto::Unique{unique}); }));
    lock->on_interrupt([lock] { lock->answer(proto::Errno{EINTR}); });
  }
  const auto reply = serving.kernel.receive();
  REQUIRE(reply);
  CHECK(reply->unique == unique);
  CHECK(reply->error == EINTR);
}

TEST_CASE("an INTERRUPT before its SETLKW cancels it at once") {
  Serving serving;
  serving.kernel.interrupt(5000);
  CHECK(serving.reaches("interrupts_early", 1));
  abi::LkIn lock{};
  serving.kernel.send_as(5000, Opcode::kSetlkw, 5, Body().add(lock));
  REQUIRE(serving.fs.wait_locks(1));
  auto reply = std::make_shared<proto::Reply<void>>(serving.fs.take_lock());
  reply->on_interrupt([reply] { reply->answer(proto::Errno{EINTR}); });
  CHECK(serving.kernel.receive()->error == EINTR);
}

TEST_CASE("a deferred reply that is dropped sends EIO and is counted") {
  Serving serving;
  const auto unique = lock_wait(serving.kernel);
  REQUIRE(serving.fs.wait_locks(1));
  { const auto dropped = serving.fs.take_lock(); }
  const auto reply = serving.kernel.receive();
  REQUIRE(reply);
  CHECK(reply->unique == unique);
  CHECK(reply->error == EIO);
  CHECK(serving.figure("abandoned_replies") == 1);
}

TEST_CASE("a deferred reply may outlive its session") {
  auto serving = std::make_unique<Serving>();
  lock_wait(serving->kernel);
  REQUIRE(serving->fs.wait_locks(1));
  auto reply = serving->fs.take_lock();
  serving->end();
  serving->session.reset();
  reply.answer({});
}

TEST_CASE("a stuck call is answered in its handler's place, and its late return is undone") {
  Serving serving;
  const auto unique = serving.kernel.lookup("park");
  REQUIRE(serving.fs.wait_parked("park"));
  CHECK_FALSE(serving.session->answer_for(proto::Unique{unique + 2}, proto::Errno{EIO}));
  CHECK(serving.session->answer_for(proto::Unique{unique}, proto::Errno{ETIMEDOUT}));
  const auto reply = serving.kernel.receive();
  REQUIRE(reply);
  CHECK(reply->unique == unique);
  CHECK(reply->error == ETIMEDOUT);
  CHECK_FALSE(serving.session->answer_for(proto::Unique{unique}, proto::Errno{ETIMEDOUT}));

  serving.fs.let_go("park");
  CHECK(serving.reaches("late_answers", 1));
  CHECK(serving.kernel.quiet());
  CHECK(Serving::eventually([&] { return serving.fs.lookups() == 0; }));
  CHECK(serving.figure("answered_for") == 1);
  serving.kernel.lookup("file");
  CHECK(serving.kernel.receive()->error == 0);
}

TEST_CASE("a deferred request is answered in its handler's place too") {
  Serving serving;
  const auto unique = lock_wait(serving.kernel);
  REQUIRE(serving.fs.wait_locks(1));
  CHECK(serving.session->answer_for(proto::Unique{unique}, proto::Errno{ETIMEDOUT}));
  CHECK(serving.kernel.receive()->error == ETIMEDOUT);
  serving.fs.take_lock().answer({});
  CHECK(serving.kernel.quiet());
  CHECK(serving.figure("late_answers") == 1);
}

TEST_CASE("answers in place carry the resend bit of their request") {
  Serving serving;
  const std::uint64_t resent = proto::Unique::kResendBit | 700;
  serving.kernel.send_as(resent, Opcode::kLookup, 1, Body().name("park"));
  REQUIRE(serving.fs.wait_parked("park"));
  CHECK(serving.session->answer_for(proto::Unique{700}, proto::Errno{EIO}));
  CHECK(serving.kernel.receive()->unique == resent);
  serving.fs.let_go("park");
}

namespace {

/// Takes its time to write, and says when it has begun and when it is done.
class SlowDevice : public session::Device {
 public:
  SlowDevice() : Device(session::Fd(::open("/dev/null", O_WRONLY | O_CLOEXEC))) {}
  proto::Result<void> write(std::span<const iovec>) noexcept override {
    begun.store(true);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    done.store(true);
    return {};
  }
  std::atomic<bool> begun{false};
  std::atomic<bool> done{false};
};

}  // namespace

TEST_CASE("who is answered in his place may close the device at once") {
  session::Inflight inflight(1);
  SlowDevice device;
  inflight.begin(inflight.slot(0), proto::Unique{700}, device, false);
  std::thread other([&] { CHECK(inflight.answer_for(proto::Unique{700}, proto::Errno{EIO})); });
  while (!device.begun.load()) std::this_thread::yield();
  CHECK_FALSE(inflight.claim(inflight.slot(0)));
  CHECK(device.done.load());
  inflight.end(inflight.slot(0));
  other.join();
}

TEST_CASE("5000 lookups, each chased by an INTERRUPT") {
  Serving serving;
  constexpr int kCount = 5000;
  int answered = 0;
  int sent = 0;
  while (answered < kCount) {
    while (sent < kCount && sent - answered < 32) {
      serving.kernel.interrupt(serving.kernel.lookup("file"));
      ++sent;
    }
    const auto reply = serving.kernel.receive();
    REQUIRE(reply);
    REQUIRE(reply->error == 0);
    ++answered;
  }
  CHECK(serving.kernel.quiet());
  CHECK(serving.reaches("interrupts", kCount));
  CHECK(serving.fs.lookups() == kCount);
}

TEST_CASE("the set of early interrupts is bounded") {
  session::Inflight inflight(1);
  for (std::uint64_t i = 1; i <= 10'000; ++i) inflight.interrupt(proto::Unique{2 * i});
  CHECK_FALSE(inflight.take_early(proto::Unique{2}));
  CHECK(inflight.take_early(proto::Unique{20'000}));
  CHECK_FALSE(inflight.take_early(proto::Unique{20'000}));
}
