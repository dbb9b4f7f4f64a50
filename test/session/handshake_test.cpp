#include "session/handshake.hpp"

#include <doctest/doctest.h>

#include <cerrno>

#include "test/support/fake_kernel.hpp"
#include "test/support/null_filesystem.hpp"

using namespace bough;
using namespace bough::test;
namespace abi = bough::proto::abi;

namespace {

proto::InitAgreement agree_with(FakeKernel& kernel,
                                std::chrono::milliseconds deadline = std::chrono::seconds(1)) {
  NullFilesystem fs;
  session::Settings settings;
  return session::shake_hands(*kernel.device(), fs, settings, {true, deadline}, nullptr);
}

std::string refusal(FakeKernel& kernel) {
  try {
    agree_with(kernel, std::chrono::milliseconds(50));
  } catch (const session::HandshakeError& error) {
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("after the handshake the settings are what was agreed") {
  NullFilesystem fs;
  session::Settings settings;
  FakeKernel willing;
  willing.send_init();
  static_cast<void>(session::shake_hands(*willing.device(), fs, settings, {}, nullptr));
  CHECK(settings.async_read);
  CHECK(settings.max_background == 128);
  CHECK(settings.congestion_threshold == 96);

  FakeKernel reluctant;
  auto offered = FakeKernel::kOffered;
  reluctant.send_init(45, offered.remove(proto::Feature::kAsyncRead));
  static_cast<void>(session::shake_hands(*reluctant.device(), fs, settings, {}, nullptr));
  CHECK_FALSE(settings.async_read);

  settings = {};
  settings.async_read = false;
  settings.max_background = 10;
  settings.congestion_threshold = 100;
  FakeKernel again;
  again.send_init();
  const auto agreement = session::shake_hands(*again.device(), fs, settings, {}, nullptr);
  CHECK_FALSE(agreement.features.has(proto::Feature::kAsyncRead));
  CHECK_FALSE(settings.async_read);
  CHECK(settings.congestion_threshold == 10);
}

TEST_CASE("the newest INIT is agreed on and answered") {
  FakeKernel kernel;
  const auto unique = kernel.send_init();
  const auto agreement = agree_with(kernel);
  CHECK(agreement.minor == 45);
  CHECK(agreement.features.has(proto::Feature::kBigWrites));
  CHECK(agreement.features.has(proto::Feature::kAbortError));
  CHECK(agreement.features.has(proto::Feature::kParallelDirops));
  CHECK(agreement.features.has(proto::Feature::kDoReaddirplus));
  CHECK(agreement.max_background == 128);
  CHECK(agreement.congestion_threshold == 96);
  const auto reply = kernel.receive();
  REQUIRE(reply);
  CHECK(reply->unique == unique);
  CHECK(reply->error == 0);
  REQUIRE(reply->payload.size() == sizeof(abi::InitOut));
  const auto out = reply->as<abi::InitOut>();
  CHECK(out.major == 7);
  CHECK(out.minor == 45);
  CHECK(out.max_write == agreement.max_write);
  CHECK(out.max_background == 128);
}

TEST_CASE("INIT of Linux 5.4 has a body of 16 bytes") {
  FakeKernel kernel;
  kernel.send_init(31, proto::FeatureSet(0x03fffffb));
  const auto agreement = agree_with(kernel);
  CHECK(agreement.minor == 31);
  CHECK(agreement.features.has(proto::Feature::kMaxPages));
  CHECK_FALSE(agreement.features.has(proto::Feature::kInitExt));
  CHECK(kernel.receive()->error == 0);
}

TEST_CASE("a first request that is not INIT is refused and answered") {
  FakeKernel kernel;
  kernel.lookup("name");
  CHECK(refusal(kernel).find("LOOKUP") != std::string::npos);
  CHECK(kernel.receive()->error == EIO);
}

TEST_CASE("a foreign major is refused") {
  FakeKernel kernel;
  kernel.send_init(8, 1);
  CHECK(refusal(kernel).find("8.1") != std::string::npos);
  CHECK(kernel.receive()->error != 0);
}

TEST_CASE("a minor before Linux 5.4 is refused") {
  FakeKernel kernel;
  kernel.send_init(7, 19);
  CHECK(refusal(kernel).find("7.19") != std::string::npos);
  CHECK(kernel.receive()->error != 0);
}

TEST_CASE("a short INIT is refused") {
  FakeKernel kernel;
  kernel.send(abi::Opcode::kInit, 0, Body().add(std::uint64_t{7}));
  CHECK(refusal(kernel).find("malformed") != std::string::npos);
  CHECK(kernel.receive()->error == EINVAL);
}

TEST_CASE("a message without a whole header is refused") {
  FakeKernel kernel;
  const std::vector<std::byte> stub(17);
  kernel.send_raw(stub);
  CHECK(refusal(kernel).find("too short") != std::string::npos);
}

TEST_CASE("no INIT and an end instead of INIT are told apart") {
  FakeKernel silent;
  CHECK(refusal(silent).find("in time") != std::string::npos);
  FakeKernel gone;
  gone.hang_up();
  CHECK(refusal(gone).find("ended") != std::string::npos);
}

TEST_CASE("an answer to INIT that is refused ends the handshake") {
  FakeKernel kernel;
  kernel.refuse(kernel.send_init(), ENOENT);
  CHECK(refusal(kernel).find("ENOENT") != std::string::npos);
}
