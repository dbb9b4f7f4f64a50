#include <doctest/doctest.h>

#include <cerrno>
#include <vector>

#include "test/session/serving.hpp"

using namespace bough;
using namespace bough::test;
namespace abi = bough::proto::abi;
using abi::Opcode;

namespace {

std::uint64_t send_write(FakeKernel& kernel, std::uint32_t size = 4096) {
  abi::WriteIn write{};
  write.fh = 3;
  write.size = size;
  return kernel.send(Opcode::kWrite, 5, Body().add(write).data(size, 'w'));
}

std::uint32_t written(const FakeKernel::Reply& reply) {
  return reply.as<abi::WriteOut>().size;
}

void resume(Serving& serving) {
  serving.fs.puts_writes_off = false;
  serving.fs.port()->resume(NullFilesystem::kLater);
}

}  // namespace

TEST_CASE("what is put off keeps no thread, and is served anew when it is resumed") {
  Serving serving;
  serving.fs.puts_writes_off = true;
  // More than there are threads.
  constexpr int kMany = 40;
  for (int i = 0; i < kMany; ++i) send_write(serving.kernel);
  CHECK(Serving::eventually([&] { return serving.fs.calls("write") == kMany; }));
  serving.kernel.lookup("file");
  CHECK(serving.kernel.receive()->error == 0);
  CHECK(serving.kernel.quiet());
  resume(serving);
  for (int i = 0; i < kMany; ++i) {
    const auto reply = serving.kernel.receive();
    REQUIRE(reply);
    CHECK(reply->error == 0);
    CHECK(written(*reply) == 1);
  }
  CHECK(serving.kernel.quiet());
}

TEST_CASE("a request remembers what it had done each time that it was put off") {
  Serving serving;
  serving.fs.puts_writes_off = true;
  const auto unique = send_write(serving.kernel);
  constexpr int kTimes = 3;
  CHECK(Serving::eventually([&] {
    // Until it is laid aside, resuming finds nothing.
    if (serving.fs.calls("write") > 0) serving.fs.port()->resume(NullFilesystem::kLater);
    return serving.fs.calls("write") >= kTimes;
  }));
  resume(serving);
  const auto reply = serving.kernel.receive();
  REQUIRE(reply);
  CHECK(reply->unique == unique);
  CHECK(written(*reply) + 1 == static_cast<std::uint32_t>(serving.fs.calls("write")));
}

TEST_CASE("what was resumed before the request was laid aside is not missed") {
  Serving serving;
  serving.fs.puts_writes_off = true;
  serving.fs.before_put_off = [&] { resume(serving); };
  send_write(serving.kernel);
  const auto reply = serving.kernel.receive();
  REQUIRE(reply);
  CHECK(written(*reply) == 1);
}

TEST_CASE("an INTERRUPT has a request that is put off served at once") {
  Serving serving;
  serving.fs.puts_writes_off = true;
  const auto unique = send_write(serving.kernel);
  send_write(serving.kernel);
  CHECK(Serving::eventually([&] { return serving.fs.calls("write") == 2; }));
  serving.kernel.interrupt(unique);
  const auto reply = serving.kernel.receive();
  REQUIRE(reply);
  CHECK(reply->unique == unique);
  CHECK(reply->error == EINTR);
  CHECK(serving.kernel.quiet());
  resume(serving);
  CHECK(serving.kernel.receive()->error == 0);
}

TEST_CASE("an INTERRUPT that comes while a request is put off is not missed") {
  Serving serving;
  serving.fs.puts_writes_off = true;
  constexpr std::uint64_t unique = 5000;
  serving.fs.before_put_off = [&] {
    serving.kernel.interrupt(unique);
    CHECK(Serving::eventually([&] { return serving.session->interrupted(proto::Unique{unique}); }));
  };
  abi::WriteIn write{};
  write.size = 1;
  serving.kernel.send_as(unique, Opcode::kWrite, 5, Body().add(write).data(1, 'w'));
  const auto reply = serving.kernel.receive();
  REQUIRE(reply);
  CHECK(reply->unique == unique);
  CHECK(reply->error == EINTR);
}
