#include "ops/caller.hpp"

#include <doctest/doctest.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "proto/kernel_abi.hpp"
#include "test/support/full_root.hpp"
#include "test/support/pool_fixture.hpp"

using namespace bough;
using ops::Identity;
using ops::Payer;
using test::Call;
using test::FaultyBacking;
using test::PoolFixture;

namespace {

constexpr std::uint32_t kNobody = proto::abi::kInvalidId;
constexpr std::uint32_t kOwner = 1234;
constexpr std::uint32_t kGroup = 1235;

template <class T>
int errno_of(const proto::Result<T>& reply) {
  return reply ? 0 : reply.error().value();
}

/// A child that sleeps, as `uid`.
class Sleeper {
 public:
  explicit Sleeper(uid_t uid) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      const bool is = ::setresuid(uid, uid, uid) == 0;
      [[maybe_unused]] const auto written = ::write(ends[1], is ? "y" : "n", 1);
      ::pause();
      ::_exit(0);
    }
    char is = 'n';
    REQUIRE(::read(ends[0], &is, 1) == 1);
    ::close(ends[0]);
    ::close(ends[1]);
    REQUIRE(is == 'y');
  }
  ~Sleeper() { end(); }
  void end() {
    if (pid_ == 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  [[nodiscard]] std::uint32_t pid() const { return static_cast<std::uint32_t>(pid_); }

 private:
  pid_t pid_ = 0;
};

/// A file of kOwner's, open for writing, and who it is written as.
struct Watched {
  Watched() {
    pool.file(0, "f", "text");
    own(0644);
    node = pool.walk("f");
    handle = pool.open(node, O_RDWR, kNobody, kNobody);
  }
  void own(mode_t mode) {
    REQUIRE(::chown((pool.branch(0) / "f").c_str(), kOwner, kGroup) == 0);
    REQUIRE(::chmod((pool.branch(0) / "f").c_str(), mode) == 0);
  }
  /// From now on `seen` is who made the last such call.
  void watch(Call call) {
    seen = {};
    faults->reset();
    faults->before({call, 1, FaultyBacking::kAlways, {}},
                   [this] { seen = pool.backing().identity(); });
  }
  [[nodiscard]] proto::Context anonymous(proto::NodeId of) { return pool.as(of, kNobody, kNobody); }
  [[nodiscard]] int write(bool kill = false) {
    proto::WriteRequest request;
    request.handle = handle;
    request.data = std::as_bytes(std::span("x", 1));
    request.kill_suidgid = kill;
    return errno_of(pool.fs().write(anonymous(node), request));
  }
  [[nodiscard]] unsigned mode() { return pool.stat(0, "f").st_mode & 07777U; }

  FaultyBacking* faults = nullptr;
  PoolFixture pool{{"RW"}, test::with_faults(faults)};
  proto::NodeId node;
  proto::HandleId handle;
  Identity seen;
};

}  // namespace

TEST_CASE("who pays: the caller; for one whom the kernel does not name, the file's owner") {
  ops::FileStat file;
  file.uid = kOwner;
  file.gid = kGroup;
  file.mode = S_IFREG | 0644;
  const Identity daemon{7, 8, {}, 0, true};
  const auto pays = [&](std::uint32_t uid, std::uint32_t gid, bool keeps) {
    proto::Context context;
    context.uid = uid;
    context.gid = gid;
    const Payer payer = ops::payer_for(context, file, keeps, daemon);
    return std::to_string(payer.uid) + ":" + std::to_string(payer.gid);
  };
  CHECK(pays(0, 0, true) == "0:0");
  CHECK(pays(1000, 1001, false) == "1000:1001");
  CHECK(pays(kNobody, kNobody, true) == "1234:1235");
  file.mode = S_IFREG | 04755;
  CHECK(pays(1000, 1001, true) == "1000:1001");
  CHECK(pays(kNobody, kNobody, false) == "1234:1235");
  CHECK(pays(kNobody, kNobody, true) == "7:8");
}

TEST_CASE("who asks, by /proc where the kernel does not say") {
  proto::Context context;
  context.uid = 1000;
  CHECK(ops::uid_of_caller(context) == 1000U);
  context.uid = kNobody;
  CHECK_FALSE(ops::uid_of_caller(context).has_value());
  context.pid = static_cast<std::uint32_t>(::getpid());
  CHECK(ops::uid_of_caller(context) == ::geteuid());
  if (!test::may_act_as_root()) return;
  Sleeper sleeper(4321);
  context.pid = sleeper.pid();
  CHECK(ops::uid_of_caller(context) == 4321U);
  sleeper.end();
  CHECK_FALSE(ops::uid_of_caller(context).has_value());
}

TEST_CASE("an anonymous caller's data is written as the file's owner") {
  if (!test::may_act_as_root()) return;
  Watched w;
  const auto is_owner = [&] { return w.seen.uid == kOwner && w.seen.gid == kGroup; };
  w.watch(Call::kWrite);
  CHECK(w.write() == 0);
  CHECK(is_owner());
  w.watch(Call::kTruncate);
  proto::SetattrRequest longer;
  longer.size = 9000;
  CHECK(errno_of(w.pool.fs().setattr(w.anonymous(w.node), longer)) == 0);
  CHECK(is_owner());
  w.watch(Call::kAllocate);
  proto::FallocateRequest room;
  room.handle = w.handle;
  room.length = 10000;
  CHECK(errno_of(w.pool.fs().fallocate(w.anonymous(w.node), room)) == 0);
  CHECK(is_owner());
  w.watch(Call::kCopyRange);
  proto::CopyFileRangeRequest copy;
  copy.handle_in = copy.handle_out = w.handle;
  copy.offset_out = 8000;
  copy.length = 100;
  CHECK(errno_of(w.pool.fs().copy_file_range(w.anonymous(w.node), copy)) == 0);
  CHECK(is_owner());
  w.faults->reset();
  CHECK(w.pool.backing().identity().uid == 0);
}

TEST_CASE("set-ids of what an anonymous caller writes go or stay as the kernel says") {
  if (!test::may_act_as_root()) return;
  Watched w;
  w.own(06755);
  CHECK(w.write(false) == 0);
  CHECK(w.mode() == 06755);
  CHECK(w.write(true) == 0);
  CHECK(w.mode() == 0755);
  w.own(06755);
  proto::SetattrRequest cut;
  cut.size = 3;
  CHECK(errno_of(w.pool.fs().setattr(w.anonymous(w.node), cut)) == 0);
  CHECK(w.mode() == 06755);
  cut.kill_suidgid = true;
  CHECK(errno_of(w.pool.fs().setattr(w.anonymous(w.node), cut)) == 0);
  CHECK(w.mode() == 0755);
  w.own(06755);
  proto::FallocateRequest room;
  room.handle = w.handle;
  room.length = 10000;
  CHECK(errno_of(w.pool.fs().fallocate(w.anonymous(w.node), room)) == 0);
  CHECK(w.mode() == 06755);
}

TEST_CASE("with link-cow the owner pays for the copy that an anonymous caller makes") {
  if (!test::may_act_as_root()) return;
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW"}, test::with_faults(faults),
                   [](ops::Settings& settings) { settings.links.cow = true; });
  pool.file(0, "a", "text");
  std::filesystem::create_hard_link(pool.branch(0) / "a", pool.branch(0) / "b");
  REQUIRE(::chown((pool.branch(0) / "a").c_str(), kOwner, kGroup) == 0);
  Identity seen;
  faults->before({Call::kCopyRange, 1, FaultyBacking::kAlways, {}},
                 [&] { seen = pool.backing().identity(); });
  const auto node = pool.walk("a");
  pool.release(pool.open(node, O_WRONLY, kNobody, kNobody));
  CHECK(seen.uid == kOwner);
  CHECK(pool.stat(0, "a").st_ino != pool.stat(0, "b").st_ino);
  faults->reset();
}

TEST_CASE("file flags that the kernel has let an anonymous caller set are set") {
  if (!test::may_act_as_root()) return;
  Watched w;
  int flags = 0;
  const int fd = ::open((w.pool.branch(0) / "f").c_str(), O_RDONLY | O_CLOEXEC);
  REQUIRE(fd >= 0);
  const bool has_flags = ::ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0;
  proto::IoctlRequest request;
  request.handle = w.handle;
  request.command = FS_IOC_SETFLAGS;
  const auto set = [&](int to) {
    request.in = std::as_bytes(std::span(&to, 1));
    return errno_of(w.pool.fs().ioctl(w.anonymous(w.node), request, {}));
  };
  if (has_flags) {
    CHECK(set(flags | FS_IMMUTABLE_FL) == 0);
    int now = 0;
    CHECK(::ioctl(fd, FS_IOC_GETFLAGS, &now) == 0);
    CHECK((now & FS_IMMUTABLE_FL) != 0);
    CHECK(set(flags) == 0);
  } else {
    CHECK(set(0) == ENOTTY);
  }
  ::close(fd);
}

TEST_CASE("what only root may list is shown to an anonymous caller who is root") {
  if (!test::may_act_as_root()) return;
  Watched w;
  if (::lsetxattr((w.pool.branch(0) / "f").c_str(), "trusted.a", "x", 1, 0) != 0) {
    MESSAGE("not run: no trusted xattrs here");
    return;
  }
  const auto listed = [&](std::uint32_t pid) {
    auto context = w.anonymous(w.node);
    context.pid = pid;
    std::vector<std::byte> out(1000);
    const auto size = w.pool.fs().listxattr(context, {1000}, out);
    REQUIRE(size.has_value());
    return *size;
  };
  Sleeper user(4321);
  CHECK(listed(static_cast<std::uint32_t>(::getpid())) == sizeof "trusted.a");
  CHECK(listed(user.pid()) == 0);
  CHECK(listed(0) == 0);
}

TEST_CASE("an anonymous caller rules the pool only as root or the daemon's own user") {
  PoolFixture pool;
  const auto node = pool.walk(".boughfs");
  const auto set = [&](std::uint32_t pid) {
    auto context = pool.as(node, kNobody, kNobody);
    context.pid = pid;
    proto::SetxattrRequest request;
    request.name = "user.boughfs.func.mkdir";
    request.value = std::as_bytes(std::span("ff", 2));
    return errno_of(pool.fs().setxattr(context, request));
  };
  CHECK(set(static_cast<std::uint32_t>(::getpid())) == 0);
  CHECK(set(0) == EPERM);
  if (!test::may_act_as_root()) return;
  const Sleeper user(4321);
  CHECK(set(user.pid()) == EPERM);
}

TEST_CASE("ACCESS of an anonymous caller was answered by the kernel") {
  PoolFixture pool;
  pool.file(0, "f", "", 0600);
  const auto node = pool.walk("f");
  CHECK(errno_of(pool.fs().access(pool.as(node, kNobody, kNobody), {R_OK | W_OK})) == 0);
  CHECK(errno_of(pool.fs().access(pool.as(node, 4321, 4321), {R_OK})) == EACCES);
}
