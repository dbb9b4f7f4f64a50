#include <doctest/doctest.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "test/session/serving.hpp"

using namespace bough;
using namespace bough::test;
namespace abi = bough::proto::abi;
using session::StopReason;

TEST_CASE("the end of the connection ends the session and stops the file system") {
  Serving serving;
  serving.kernel.lookup("file");
  CHECK(serving.kernel.receive());
  serving.end();
  CHECK(serving.reason == StopReason::kUnmounted);
  CHECK(serving.fs.starts() == 1);
  CHECK(serving.fs.stops() == 1);
  CHECK_FALSE(serving.session->stuck());
}

TEST_CASE("a file system whose own thread is stuck at the end makes the session stuck") {
  Serving serving;
  serving.fs.stuck_at_stop = true;
  serving.kernel.hang_up();
  serving.join();
  CHECK(serving.fs.stops() == 1);
  CHECK(serving.session->stuck());
}

TEST_CASE("stop() ends an idle session") {
  Serving serving;
  serving.session->stop();
  serving.join();
  CHECK(serving.reason == StopReason::kStopRequested);
  CHECK(serving.fs.stops() == 1);
}

TEST_CASE("stop() before run() is not lost") {
  FakeKernel kernel;
  NullFilesystem fs;
  kernel.send_init();
  session::Settings settings;
  auto agreement = session::shake_hands(*kernel.device(), fs, settings, {}, nullptr);
  session::Session session({kernel.device(), agreement, false}, fs, {}, nullptr);
  session.stop();
  CHECK(session.run() == StopReason::kStopRequested);
}

TEST_CASE("stop() while busy lets the handler finish and answer") {
  Serving serving;
  const auto unique = serving.kernel.lookup("park");
  REQUIRE(serving.fs.wait_parked("park"));
  serving.session->stop();
  CHECK(serving.kernel.quiet());
  CHECK(serving.fs.stops() == 0);
  serving.fs.let_go("park");
  const auto reply = serving.kernel.receive();
  REQUIRE(reply);
  CHECK(reply->unique == unique);
  serving.join();
  CHECK(serving.reason == StopReason::kStopRequested);
  CHECK(serving.fs.stops() == 1);
}

TEST_CASE("stop() answers what waits in the backlog") {
  session::Settings settings;
  settings.threads = 1;
  Serving serving(settings);
  const auto first = serving.kernel.lookup("park");
  REQUIRE(serving.fs.wait_parked("park"));
  const auto second = serving.kernel.lookup("file");
  CHECK(serving.reaches("queued", 1));
  serving.session->stop();
  CHECK(serving.kernel.quiet());
  serving.fs.let_go("park");
  CHECK(serving.kernel.receive_for(first));
  CHECK(serving.kernel.receive_for(second));
  serving.join();
}

TEST_CASE("the mount is detached on a requested stop, while workers still serve") {
  FakeKernel kernel;
  NullFilesystem fs;
  kernel.send_init();
  session::Settings settings;
  auto agreement = session::shake_hands(*kernel.device(), fs, settings, {}, nullptr);
  CHECK(kernel.receive());
  session::Session session({kernel.device(), agreement, false}, fs, {}, nullptr);
  std::atomic<bool> ready{false};
  std::atomic<bool> served{false};
  session::SessionHooks hooks;
  hooks.ready = [&] { ready = true; };
  hooks.unmount = [&] {
    // As the kernel does when it writes dirty pages back.
    kernel.lookup("file");
    served = kernel.receive().has_value();
    kernel.hang_up();
  };
  std::thread stopper([&] {
    static_cast<void>(Serving::eventually([&] { return ready.load(); }));
    session.stop();
  });
  CHECK(session.run(hooks) == StopReason::kStopRequested);
  stopper.join();
  CHECK(served);
  CHECK_FALSE(session.stuck());
}

TEST_CASE("locks that are still waited for at the end are dropped") {
  Serving serving;
  serving.kernel.send(abi::Opcode::kSetlkw, 5, Body().add(abi::LkIn{}));
  REQUIRE(serving.fs.wait_locks(1));
  serving.session->stop();
  const auto reply = serving.kernel.receive();
  REQUIRE(reply);
  CHECK(reply->error == EIO);
  serving.join();
  CHECK(serving.figure("abandoned_replies") == 1);
}

TEST_CASE("a connection that ends while handlers run waits for them") {
  Serving serving;
  serving.kernel.lookup("park");
  REQUIRE(serving.fs.wait_parked("park"));
  serving.kernel.hang_up();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  CHECK(serving.fs.stops() == 0);
  serving.fs.let_go("park");
  serving.join();
  CHECK(serving.reason == StopReason::kUnmounted);
  CHECK(serving.fs.stops() == 1);
  CHECK(serving.fs.lookups() == 0);
}
