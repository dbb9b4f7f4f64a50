#include <doctest/doctest.h>

#include <cerrno>

#include "test/session/serving.hpp"

using namespace bough;
using namespace bough::test;
namespace abi = bough::proto::abi;
using abi::Opcode;

TEST_CASE("a lookup is answered with an entry and counted until it is forgotten") {
  Serving serving;
  const auto unique = serving.kernel.lookup("file");
  const auto reply = serving.kernel.receive();
  REQUIRE(reply);
  CHECK(reply->unique == unique);
  CHECK(reply->error == 0);
  REQUIRE(reply->payload.size() == sizeof(abi::EntryOut));
  const auto entry = reply->as<abi::EntryOut>();
  CHECK(entry.nodeid >= 100);
  CHECK(entry.generation == 7);
  CHECK(Serving::eventually([&] { return serving.fs.lookups() == 1; }));
  serving.kernel.forget(entry.nodeid, 1);
  CHECK(Serving::eventually([&] { return serving.fs.lookups() == 0; }));
  CHECK(serving.kernel.quiet());
}

TEST_CASE("a FORGET gives back as many counts as it says") {
  Serving serving;
  std::uint64_t node = 0;
  for (int i = 0; i < 3; ++i) {
    serving.kernel.lookup("file");
    node = serving.kernel.receive()->as<abi::EntryOut>().nodeid;
  }
  CHECK(Serving::eventually([&] { return serving.fs.lookups() == 3; }));
  serving.kernel.forget(node, 3);
  CHECK(Serving::eventually([&] { return serving.fs.lookups() == 0; }));
  CHECK(serving.fs.calls("forget") == 1);
}

TEST_CASE("an error goes out as a header with the negative errno") {
  Serving serving;
  serving.kernel.lookup("missing");
  const auto reply = serving.kernel.receive();
  REQUIRE(reply);
  CHECK(reply->error == ENOENT);
  CHECK(reply->payload.empty());
}

TEST_CASE("BATCH_FORGET gives back each count and is not answered") {
  Serving serving;
  serving.kernel.lookup("a");
  serving.kernel.lookup("b");
  const auto a = serving.kernel.receive()->as<abi::EntryOut>().nodeid;
  const auto b = serving.kernel.receive()->as<abi::EntryOut>().nodeid;
  Body body;
  body.add(abi::BatchForgetIn{2, 0}).add(abi::ForgetOne{a, 1}).add(abi::ForgetOne{b, 1});
  serving.kernel.send(Opcode::kBatchForget, 0, body);
  CHECK(Serving::eventually([&] { return serving.fs.lookups() == 0; }));
  CHECK(serving.fs.calls("forget") == 2);
  CHECK(serving.figure("forgets") == 2);
  CHECK(serving.kernel.quiet());
}

TEST_CASE("malformed requests are answered EINVAL and the session goes on") {
  Serving serving;
  FakeKernel& kernel = serving.kernel;

  SUBCASE("a body that is cut short") {
    kernel.send(Opcode::kRead, 5, Body().add(std::uint64_t{1}));
    CHECK(kernel.receive()->error == EINVAL);
  }
  SUBCASE("a name without its end") {
    kernel.send(Opcode::kLookup, 1, Body().data(3, 'x'));
    CHECK(kernel.receive()->error == EINVAL);
  }
  SUBCASE("a header whose length is another than the message's") {
    abi::InHeader header{};
    header.len = 4000;
    header.opcode = static_cast<std::uint32_t>(Opcode::kGetattr);
    header.unique = 4000;
    header.nodeid = 1;
    kernel.send_raw(std::as_bytes(std::span(&header, 1)));
    const auto reply = kernel.receive();
    REQUIRE(reply);
    CHECK(reply->error == EINVAL);
    CHECK(reply->unique == 4000);
  }
  SUBCASE("a message shorter than a header has nobody to answer to") {
    const std::vector<std::byte> stub(39);
    kernel.send_raw(stub);
    CHECK(kernel.quiet());
  }
  SUBCASE("a malformed FORGET is not answered") {
    kernel.send(Opcode::kForget, 5);
    CHECK(kernel.quiet());
  }
  CHECK(serving.reaches("malformed", 1));
  kernel.lookup("file");
  CHECK(kernel.receive()->error == 0);
}

TEST_CASE("opcodes that nobody serves are answered ENOSYS") {
  Serving serving;
  for (const std::uint32_t opcode : {48U, 49U, 77U, 4096U, 0x7fffffffU}) {
    serving.kernel.send(static_cast<Opcode>(opcode), 1, Body().add(std::uint64_t{0}));
    CHECK(serving.kernel.receive()->error == ENOSYS);
  }
  serving.kernel.send(Opcode::kBmap, 1, Body().add(abi::BmapIn{}));
  CHECK(serving.kernel.receive()->error == ENOSYS);
  CHECK(serving.figure("unserved") == 6);
}

TEST_CASE("the session's own requests") {
  Serving serving;
  FakeKernel& kernel = serving.kernel;
  abi::PollIn poll{};
  poll.events = 0x19;
  kernel.send(Opcode::kPoll, 5, Body().add(poll));
  CHECK(kernel.receive()->as<abi::PollOut>().revents == 0x1);
  kernel.send(Opcode::kDestroy, 0);
  const auto destroyed = kernel.receive();
  CHECK(destroyed->error == 0);
  CHECK(destroyed->payload.empty());
  kernel.send_init();
  CHECK(kernel.receive()->error != 0);
  kernel.send(Opcode::kNotifyReply, 5, Body().add(abi::NotifyRetrieveIn{}));
  CHECK(kernel.quiet());
}

TEST_CASE("READ fills the reply itself, page-aligned, and never more than asked") {
  Serving serving;
  abi::ReadIn read{};
  read.size = 128 * 1024;
  serving.kernel.send(Opcode::kRead, 5, Body().add(read));
  const auto reply = serving.kernel.receive();
  REQUIRE(reply);
  CHECK(reply->error == 0);
  REQUIRE(reply->payload.size() == read.size);
  CHECK(reply->payload.back() == std::byte{'r'});
  CHECK(serving.fs.read_misalignment() == 0);

  read.offset = 1;
  serving.kernel.send(Opcode::kRead, 5, Body().add(read));
  CHECK(serving.kernel.receive()->error == EIO);
  read.size = 0x40000000;
  serving.kernel.send(Opcode::kRead, 5, Body().add(read));
  CHECK(serving.kernel.receive()->error == EINVAL);
}

TEST_CASE("the data of a WRITE lies on a page boundary") {
  Serving serving;
  abi::WriteIn write{};
  write.size = 8192;
  serving.kernel.send(Opcode::kWrite, 5, Body().add(write).data(8192, 'w'));
  const auto reply = serving.kernel.receive();
  REQUIRE(reply);
  CHECK(reply->as<abi::WriteOut>().size == 8192);
  CHECK(serving.fs.calls("write") == 1);
  CHECK(serving.fs.write_misalignment() == 0);
}

TEST_CASE("xattr lengths, values and buffers that are too small") {
  Serving serving;
  FakeKernel& kernel = serving.kernel;
  kernel.send(Opcode::kGetxattr, 5, Body().add(abi::GetxattrIn{0, 0}).name("user.x"));
  CHECK(kernel.receive()->as<abi::GetxattrOut>().size == 5);
  kernel.send(Opcode::kGetxattr, 5, Body().add(abi::GetxattrIn{100, 0}).name("user.x"));
  CHECK(kernel.receive()->payload.size() == 5);
  kernel.send(Opcode::kGetxattr, 5, Body().add(abi::GetxattrIn{4, 0}).name("user.x"));
  CHECK(kernel.receive()->error == ERANGE);
}

TEST_CASE("what a refused reply would have handed over is undone") {
  Serving serving;
  FakeKernel& kernel = serving.kernel;
  SUBCASE("lookup") {
    kernel.refuse(kernel.lookup("park"), ENOENT);
    REQUIRE(serving.fs.wait_parked("park"));
    serving.fs.let_go("park");
    CHECK(Serving::eventually([&] { return kernel.refused() == 1; }));
    CHECK(Serving::eventually([&] { return serving.fs.lookups() == 0; }));
    CHECK(serving.fs.calls("lookup") == 1);
  }
  SUBCASE("create") {
    const auto unique = kernel.send(Opcode::kCreate, 1, Body().add(abi::CreateIn{}).name("park2"));
    REQUIRE(serving.fs.wait_parked("park2"));
    kernel.refuse(unique, ENOENT);
    serving.fs.let_go("park2");
    CHECK(Serving::eventually([&] { return kernel.refused() == 1; }));
    CHECK(Serving::eventually(
        [&] { return serving.fs.lookups() == 0 && serving.fs.handles() == 0; }));
    CHECK(serving.fs.calls("create") == 1);
  }
  SUBCASE("open") {
    kernel.refuse(1000, EINVAL);
    kernel.send_as(1000, Opcode::kOpen, 5, Body().add(abi::OpenIn{}));
    CHECK(Serving::eventually([&] { return kernel.refused() == 1; }));
    CHECK(Serving::eventually([&] { return serving.fs.handles() == 0; }));
  }
  SUBCASE("readdirplus") {
    abi::ReadIn read{};
    read.size = 4096;
    kernel.refuse(1000, ENOENT);
    kernel.send_as(1000, Opcode::kReaddirplus, 1, Body().add(read));
    CHECK(Serving::eventually([&] { return kernel.refused() == 1; }));
    CHECK(Serving::eventually([&] { return serving.fs.lookups() == 0; }));
    kernel.send(Opcode::kReaddirplus, 1, Body().add(read));
    CHECK(kernel.receive()->payload.size() > 3 * sizeof(abi::EntryOut));
    CHECK(Serving::eventually([&] { return serving.fs.lookups() == 3; }));
  }
  CHECK(serving.reaches("refused_replies", 1));
}

TEST_CASE("accepted replies are kept") {
  Serving serving;
  serving.kernel.send(Opcode::kCreate, 1, Body().add(abi::CreateIn{}).name("file"));
  const auto reply = serving.kernel.receive();
  REQUIRE(reply);
  REQUIRE(reply->payload.size() == sizeof(abi::EntryOut) + sizeof(abi::OpenOut));
  CHECK(reply->as<abi::OpenOut>(sizeof(abi::EntryOut)).fh != 0);
  serving.end();
  CHECK(serving.fs.lookups() == 1);
  CHECK(serving.fs.handles() == 1);
}

TEST_CASE("a handler that throws costs its own request only") {
  Serving serving;
  serving.kernel.lookup("throw");
  CHECK(serving.kernel.receive()->error == EIO);
  serving.kernel.lookup("nomem");
  CHECK(serving.kernel.receive()->error == ENOMEM);
  serving.kernel.lookup("file");
  CHECK(serving.kernel.receive()->error == 0);
  CHECK(serving.figure("handler_exceptions") == 1);
  CHECK(serving.figure("out_of_memory") == 1);
}

TEST_CASE("a resent request is answered under the number that it came with") {
  Serving serving;
  const std::uint64_t resent = proto::Unique::kResendBit | 500;
  serving.kernel.send_as(resent, Opcode::kLookup, 1, Body().name("file"));
  CHECK(serving.kernel.receive()->unique == resent);
}

TEST_CASE("every operation is answered once") {
  Serving serving;
  FakeKernel& kernel = serving.kernel;
  const auto ok = [&](Opcode opcode, const Body& body, std::size_t payload) {
    const auto unique = kernel.send(opcode, 1, body);
    const auto reply = kernel.receive();
    REQUIRE(reply);
    CAPTURE(static_cast<std::uint32_t>(opcode));
    CHECK(reply->unique == unique);
    CHECK(reply->error == 0);
    CHECK(reply->payload.size() == payload);
  };
  ok(Opcode::kGetattr, Body().add(abi::GetattrIn{}), sizeof(abi::AttrOut));
  ok(Opcode::kSetattr, Body().add(abi::SetattrIn{}), sizeof(abi::AttrOut));
  ok(Opcode::kStatx, Body().add(abi::StatxIn{}), sizeof(abi::StatxOut));
  ok(Opcode::kReadlink, {}, 6);
  ok(Opcode::kSymlink, Body().name("name").name("target"), sizeof(abi::EntryOut));
  abi::MknodIn mknod{};
  mknod.mode = 0100644;
  ok(Opcode::kMknod, Body().add(mknod).name("name"), sizeof(abi::EntryOut));
  ok(Opcode::kMkdir, Body().add(abi::MkdirIn{}).name("name"), sizeof(abi::EntryOut));
  ok(Opcode::kUnlink, Body().name("name"), 0);
  ok(Opcode::kRmdir, Body().name("name"), 0);
  ok(Opcode::kRename, Body().add(abi::RenameIn{1}).name("a").name("b"), 0);
  ok(Opcode::kRename2, Body().add(abi::Rename2In{1, 1, 0}).name("a").name("b"), 0);
  ok(Opcode::kLink, Body().add(abi::LinkIn{5}).name("name"), sizeof(abi::EntryOut));
  ok(Opcode::kOpen, Body().add(abi::OpenIn{}), sizeof(abi::OpenOut));
  ok(Opcode::kStatfs, {}, sizeof(abi::StatfsOut));
  ok(Opcode::kRelease, Body().add(abi::ReleaseIn{}), 0);
  ok(Opcode::kFsync, Body().add(abi::FsyncIn{}), 0);
  ok(Opcode::kFlush, Body().add(abi::FlushIn{}), 0);
  ok(Opcode::kRemovexattr, Body().name("user.x"), 0);
  ok(Opcode::kListxattr, Body().add(abi::GetxattrIn{100, 0}), 0);
  ok(Opcode::kOpendir, Body().add(abi::OpenIn{}), sizeof(abi::OpenOut));
  ok(Opcode::kReleasedir, Body().add(abi::ReleaseIn{}), 0);
  ok(Opcode::kFsyncdir, Body().add(abi::FsyncIn{}), 0);
  ok(Opcode::kAccess, Body().add(abi::AccessIn{}), 0);
  ok(Opcode::kGetlk, Body().add(abi::LkIn{}), sizeof(abi::LkOut));
  ok(Opcode::kSetlk, Body().add(abi::LkIn{}), 0);
  ok(Opcode::kFallocate, Body().add(abi::FallocateIn{}), 0);
  ok(Opcode::kLseek, Body().add(abi::LseekIn{}), sizeof(abi::LseekOut));
  ok(Opcode::kCopyFileRange, Body().add(abi::CopyFileRangeIn{}), sizeof(abi::WriteOut));
  ok(Opcode::kCopyFileRange64, Body().add(abi::CopyFileRangeIn{}), 8);
  ok(Opcode::kSyncfs, Body().add(std::uint64_t{0}), 0);
  ok(Opcode::kTmpfile, Body().add(abi::CreateIn{}).name("/"),
     sizeof(abi::EntryOut) + sizeof(abi::OpenOut));
  abi::ReadIn read{};
  read.size = 4096;
  ok(Opcode::kReaddir, Body().add(read), 32);
  CHECK(kernel.quiet());
}
