#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>

#include "test/session/serving.hpp"

using namespace bough;
using namespace bough::test;
namespace abi = bough::proto::abi;

TEST_CASE("notifications leave in order on a thread of their own") {
  Serving serving;
  CHECK(serving.session->notify(proto::InvalidateInode{proto::NodeId{77}, 0, 0}));
  CHECK(serving.session->notify(proto::InvalidateEntry{proto::NodeId{1}, "name", false}));
  const auto inode = serving.kernel.receive();
  REQUIRE(inode);
  CHECK(inode->unique == 0);
  CHECK(inode->error == static_cast<int>(abi::NotifyCode::kInvalInode));
  CHECK(inode->as<std::uint64_t>() == 77);
  const auto entry = serving.kernel.receive();
  REQUIRE(entry);
  CHECK(entry->error == static_cast<int>(abi::NotifyCode::kInvalEntry));
  CHECK(serving.reaches("notifications_sent", 2));
}

TEST_CASE("who asks waits until the kernel has got what is queued, for a while") {
  Serving serving;
  CHECK(serving.session->wait_told(std::chrono::milliseconds(0)));
  for (std::uint64_t node = 10; node < 20; ++node)
    CHECK(serving.session->notify(proto::InvalidateInode{proto::NodeId{node}}));
  CHECK(serving.session->wait_told(std::chrono::seconds(20)));
  CHECK(serving.figure("notifications_sent") == 10);
  serving.end();
  CHECK_FALSE(serving.session->wait_told(std::chrono::seconds(20)));
}

TEST_CASE("what the kernel does not know is no failure, and what it refuses is counted") {
  Serving serving;
  serving.kernel.refuse(0, ENOENT);
  CHECK(serving.session->notify(proto::InvalidateInode{proto::NodeId{77}}));
  CHECK(serving.reaches("notifications_absent", 1));
  serving.kernel.refuse(0, EINVAL);
  CHECK(serving.session->notify(proto::NotifyIncrementEpoch{}));
  CHECK(serving.reaches("notifications_refused", 1));
  CHECK(serving.kernel.quiet());
}

TEST_CASE("the queue is bounded and nothing is taken after the end") {
  Serving serving;
  std::vector<std::byte> data((16 << 20) + 1);
  CHECK_FALSE(serving.session->notify(proto::NotifyStore{proto::NodeId{5}, 0, std::move(data)}));
  CHECK(serving.figure("notifications_dropped") == 1);
  serving.end();
  CHECK_FALSE(serving.session->notify(proto::NotifyResend{}));
}

TEST_CASE("a resumed session asks for what is unanswered") {
  FakeKernel kernel;
  NullFilesystem fs;
  kernel.send_init();
  session::Settings settings;
  auto agreement = session::shake_hands(*kernel.device(), fs, settings, {}, nullptr);
  CHECK(kernel.receive());
  session::Session session({kernel.device(), agreement, true}, fs, {}, nullptr);
  std::thread thread([&] { session.run(); });
  const auto resend = kernel.receive();
  REQUIRE(resend);
  CHECK(resend->unique == 0);
  CHECK(resend->error == static_cast<int>(abi::NotifyCode::kResend));
  kernel.hang_up();
  thread.join();
}

TEST_CASE("backing files need passthrough") {
  Serving serving;
  const auto opened = serving.session->open_backing(0);
  REQUIRE_FALSE(opened);
  CHECK(opened.error() == proto::Errno{EPERM});
}
