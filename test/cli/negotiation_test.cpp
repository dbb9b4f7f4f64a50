#include <doctest/doctest.h>
#include <fcntl.h>

#include <array>
#include <bit>
#include <cerrno>
#include <memory>
#include <string>
#include <thread>

#include "cli/configuration.hpp"
#include "ops/union_fs.hpp"
#include "proto/encode.hpp"
#include "session/handshake.hpp"
#include "session/session.hpp"
#include "test/support/fake_kernel.hpp"
#include "test/support/pool_fixture.hpp"

using namespace bough;
using namespace bough::test;
namespace abi = bough::proto::abi;
using abi::Opcode;
using proto::Feature;
using proto::FeatureSet;

namespace {

/// The session and the union as `boughfs` wires them, over a kernel that offers what a test says.
class Wired {
 public:
  Wired(std::uint32_t minor, FeatureSet offered, const std::string& options) {
    cli::CommandLine line;
    line.options = cli::split_options(options);
    line.operands = {top_.path().string(), "/nowhere"};
    cli::configure(config, line);
    pool_ = ops::make_union_fs(*backing_, config.ops);
    kernel.send_init(minor, offered);
    agreement = session::shake_hands(*kernel.device(), *pool_, config.session, {}, nullptr);
    init_ = kernel.receive();
    session_ = std::make_unique<session::Session>(
        session::SessionStart{kernel.device(), agreement, false}, *pool_, config.session, nullptr);
    thread_ = std::thread([this] {
      static_cast<void>(session_->run({[this] { ready_ = true; }, {}}));
    });
    while (!ready_) std::this_thread::yield();
  }
  ~Wired() {
    kernel.hang_up();
    thread_.join();
  }

  /// An option as it reads back.
  [[nodiscard]] std::string value(std::string_view option) const {
    return config.table.find(option)->get();
  }
  /// The flags of the answer to INIT, and the answer.
  [[nodiscard]] FeatureSet answered() const {
    const auto out = init();
    return FeatureSet(out.flags | std::uint64_t{out.flags2} << 32U);
  }
  [[nodiscard]] abi::InitOut init() const { return init_->as<abi::InitOut>(); }
  FakeKernel::Reply ask(Opcode opcode, std::uint64_t node, const Body& body = {}) {
    auto reply = kernel.receive_for(kernel.send(opcode, node, body));
    REQUIRE_MESSAGE(reply, "no answer to opcode " << static_cast<unsigned>(opcode));
    return *std::move(reply);
  }

  cli::Configuration config;
  FakeKernel kernel;
  proto::InitAgreement agreement;

 private:
  TempDir top_;
  std::unique_ptr<ops::Backing> backing_ = ops::make_posix_backing();
  std::unique_ptr<proto::Filesystem> pool_;
  std::optional<FakeKernel::Reply> init_;
  std::unique_ptr<session::Session> session_;
  std::atomic<bool> ready_{false};
  std::thread thread_;
};

std::string text_of(const FakeKernel::Reply& reply) {
  return {reinterpret_cast<const char*>(reply.payload.data()), reply.payload.size()};
}

/// A file and a link made, read, listed and removed.
void everyday(Wired& wired) {
  constexpr std::uint64_t kRoot = 1;
  const auto made =
      wired.ask(Opcode::kCreate, kRoot, Body().add(abi::CreateIn{O_RDWR, 0644, 022, 0}).name("f"));
  REQUIRE(made.error == 0);
  const auto created = made.as<abi::CreateOut>();
  const std::uint64_t file = created.entry.nodeid;
  abi::WriteIn write{};
  write.fh = created.open.fh;
  write.size = 10000;
  write.flags = O_RDWR;
  const auto written = wired.ask(Opcode::kWrite, file, Body().add(write).data(10000, 'w'));
  CHECK(written.error == 0);
  CHECK(written.as<abi::WriteOut>().size == 10000);
  abi::ReadIn read{};
  read.fh = created.open.fh;
  read.offset = 4;
  read.size = 4096;
  CHECK(text_of(wired.ask(Opcode::kRead, file, Body().add(read))) == std::string(4096, 'w'));
  CHECK(wired.ask(Opcode::kGetattr, file, Body().add(abi::GetattrIn{}))
            .as<abi::AttrOut>()
            .attr.size == 10000);

  const bool longer = wired.agreement.features.has(Feature::kSetxattrExt);
  Body xattr;
  if (longer)
    xattr.add(abi::SetxattrIn{5, 0, 0, 0});
  else
    xattr.add(std::array<std::uint32_t, 2>{5, 0});
  CHECK(wired.ask(Opcode::kSetxattr, file, xattr.name("user.note").data(5, 'x')).error == 0);
  CHECK(text_of(wired.ask(Opcode::kGetxattr, file,
                          Body().add(abi::GetxattrIn{64, 0}).name("user.note"))) == "xxxxx");
  CHECK(wired.ask(Opcode::kRelease, file, Body().add(abi::ReleaseIn{created.open.fh, 0, 0, 0}))
            .error == 0);

  const auto linked = wired.ask(Opcode::kSymlink, kRoot, Body().name("l").name("f"));
  REQUIRE(linked.error == 0);
  CHECK(text_of(wired.ask(Opcode::kReadlink, linked.as<abi::EntryOut>().nodeid)) == "f");

  const auto opened = wired.ask(Opcode::kOpendir, kRoot, Body().add(abi::OpenIn{}));
  REQUIRE(opened.error == 0);
  abi::ReadIn list{};
  list.fh = opened.as<abi::OpenOut>().fh;
  list.size = 4096;
  CHECK(PoolFixture::parse(wired.ask(Opcode::kReaddir, kRoot, Body().add(list)).payload).size() ==
        4);
  CHECK(wired.ask(Opcode::kReleasedir, kRoot, Body().add(abi::ReleaseIn{list.fh, 0, 0, 0})).error ==
        0);
  CHECK(wired.ask(Opcode::kStatfs, kRoot).as<abi::StatfsOut>().blocks > 0);
  CHECK(wired.ask(Opcode::kUnlink, kRoot, Body().name("l")).error == 0);
  CHECK(wired.ask(Opcode::kUnlink, kRoot, Body().name("f")).error == 0);
  CHECK(wired.ask(Opcode::kLookup, kRoot, Body().name("f")).error == ENOENT);
}

struct OptionFlag {
  std::string_view option;
  Feature feature;
};
constexpr std::array kOptionFlags{
    OptionFlag{"allow-idmap", Feature::kAllowIdmap},
    OptionFlag{"async-read", Feature::kAsyncRead},
    OptionFlag{"cache.symlinks", Feature::kCacheSymlinks},
    OptionFlag{"direct-io-allow-mmap", Feature::kDirectIoAllowMmap},
};
constexpr const char* kAllOn =
    "minfreespace=0,fuse-msg-size=64,allow-idmap,async-read,cache.symlinks,direct-io-allow-mmap";
constexpr const char* kAllOff =
    "minfreespace=0,async-read=false,cache.symlinks=false,direct-io-allow-mmap=false";

void check_kernel(std::uint32_t minor, FeatureSet offered) {
  CAPTURE(minor);
  CAPTURE(offered.bits());
  Wired wired(minor, offered, kAllOn);
  CHECK(wired.init().minor == minor);
  // What was not offered is never asked for, INIT_EXT included.
  CHECK((wired.answered().bits() & ~offered.bits()) == 0);
  const bool upper = offered.has(Feature::kInitExt);
  for (const OptionFlag& each : kOptionFlags) {
    CAPTURE(each.option);
    const bool there =
        offered.has(each.feature) && (upper || static_cast<unsigned>(each.feature) < 32);
    CHECK(wired.answered().has(each.feature) == there);
    CHECK(wired.value(each.option) == (there ? "true" : "false"));
  }
  constexpr std::uint32_t kPagesWithoutTheFlag = 32;
  const bool counted = offered.has(Feature::kMaxPages);
  CHECK(wired.value("fuse-msg-size") == std::to_string(counted ? 64 : kPagesWithoutTheFlag));
  CHECK(wired.init().max_write ==
        (counted ? 64 : kPagesWithoutTheFlag) * wired.agreement.page_size);
  CHECK(wired.value("max-background") == "128");
  CHECK(wired.value("congestion-threshold") == "96");
  everyday(wired);
}

/// What the kernel that first spoke a minor offers of the flags that 6.18 offers.
FeatureSet offered_by(std::uint32_t minor) {
  struct Since {
    std::uint32_t minor;
    unsigned first_flag;
  };
  // Flags are numbered in the order in which they came.
  constexpr std::array kFirstNewer{Since{32, 27}, Since{33, 28}, Since{36, 30},
                                   Since{38, 34}, Since{39, 36}, Since{40, 37},
                                   Since{41, 40}, Since{42, 41}, Since{43, 42}};
  for (const Since& since : kFirstNewer)
    if (minor < since.minor)
      return FeatureSet(FakeKernel::kOffered.bits() & ((std::uint64_t{1} << since.first_flag) - 1));
  return FakeKernel::kOffered;
}

}  // namespace

TEST_CASE("each kernel from Linux 5.4 on: options read back as in force, and files work") {
  for (std::uint32_t minor = proto::kOldestMinor; minor <= proto::kOurMinor; ++minor)
    check_kernel(minor, offered_by(minor));
}

TEST_CASE("each flag missing alone: options read back as in force, and files work") {
  for (std::uint64_t left = FakeKernel::kOffered.bits(); left != 0; left &= left - 1) {
    FeatureSet offered = FakeKernel::kOffered;
    offered.remove(static_cast<Feature>(std::countr_zero(left)));
    check_kernel(proto::kOurMinor, offered);
  }
}

TEST_CASE("what an option turns off is not asked for") {
  Wired wired(proto::kOurMinor, FakeKernel::kOffered, kAllOff);
  for (const OptionFlag& each : kOptionFlags) {
    CAPTURE(each.option);
    CHECK_FALSE(wired.answered().has(each.feature));
    CHECK(wired.value(each.option) == "false");
  }
  everyday(wired);
}

TEST_CASE("passthrough is asked for with the depth that was chosen, and reads back as in force") {
  Wired wired(proto::kOurMinor, FakeKernel::kOffered,
              "minfreespace=0,passthrough.io=rw,passthrough.max-stack-depth=2");
  CHECK(wired.answered().has(Feature::kPassthrough));
  CHECK(wired.init().max_stack_depth == 2);
  // The far end of a socket registers no files.
  CHECK(wired.value("passthrough.io") == "off");
  CHECK(wired.value("passthrough.max-stack-depth") == "2");
  everyday(wired);
}

TEST_CASE("passthrough is not asked for beside the writeback cache, nor to measure") {
  for (const char* const option : {"cache.writeback", "nullrw"}) {
    Wired wired(proto::kOurMinor, FakeKernel::kOffered, std::string("minfreespace=0,") + option);
    CHECK_FALSE(wired.answered().has(Feature::kPassthrough));
    CHECK(wired.init().max_stack_depth == 0);
    CHECK(wired.value("passthrough.io") == "off");
  }
}
