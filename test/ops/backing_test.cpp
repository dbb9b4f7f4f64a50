#include "ops/backing.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>

#include "test/ops/small_pool.hpp"

using namespace bough::ops;
using bough::test::open_descriptors;
using bough::test::TempDir;

namespace {

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string text_of(std::span<const std::byte> data) {
  return {reinterpret_cast<const char*>(data.data()), data.size()};
}

/// A directory and a backing; whatever a test opens must be closed again at its end.
struct Ground {
  explicit Ground(Openat2 openat2 = Openat2::kUse) : backing(make_posix_backing(openat2)) {
    root = std::move(*backing->open_root(top.path().string()));
  }
  ~Ground() {
    root.reset();
    CHECK(open_descriptors() == before);
  }
  std::size_t before = open_descriptors();
  TempDir top;
  std::unique_ptr<Backing> backing;
  Fd root;

  void write(const std::string& name, std::string_view text) const {
    std::ofstream(top.path() / name) << text;
  }
  [[nodiscard]] Fd path_fd(const char* name) const {
    auto fd = backing->open_at(root.get(), name, O_PATH, 0);
    REQUIRE(fd.has_value());
    return std::move(*fd);
  }
  [[nodiscard]] std::string at(const char* name) const { return (top.path() / name).string(); }
};

/// From here on openat2(2) is unknown to the calling thread.
bool forbid_openat2() {
  std::array<sock_filter, 4> code{{
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_openat2},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ENOSYS},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  }};
  const sock_fprog program{code.size(), code.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

}  // namespace

TEST_CASE("Fd closes what it owned, once, and keeps errno") {
  const std::size_t before = open_descriptors();
  Fd one(::open("/", O_PATH | O_CLOEXEC));
  REQUIRE(one);
  Fd other = std::move(one);
  CHECK_FALSE(one);
  other = Fd(::open("/", O_PATH | O_CLOEXEC));
  CHECK(open_descriptors() == before + 1);
  errno = EXDEV;
  other.reset();
  other.reset();
  CHECK(errno == EXDEV);
  CHECK(open_descriptors() == before);
}

TEST_CASE("directories open below the root only, and never through a symlink") {
  Openat2 way = Openat2::kUse;
  SUBCASE("by openat2") {}
  SUBCASE("by a walk") {
    way = Openat2::kAvoid;
  }
  Ground g(way);
  std::filesystem::create_directories(g.top.path() / "a/b/c");
  std::filesystem::create_directory_symlink("a", g.top.path() / "link");
  std::filesystem::create_directory_symlink("/", g.top.path() / "out");
  g.write("file", "");
  const auto open = [&](std::string_view path, bool follow = false) {
    return g.backing->open_directory(g.root.get(), path, O_PATH, follow);
  };
  CHECK(open("a/b/c").has_value());
  CHECK(open("").has_value());
  CHECK(open("a/nothing").error() == Errno{ENOENT});
  CHECK(open("file").error() == Errno{ENOTDIR});
  CHECK(open("file/x").error() == Errno{ENOTDIR});
  CHECK(open("link").error() == Errno{ELOOP});
  CHECK(open("link/b").error() == Errno{ELOOP});
  CHECK(open("out/etc").error() == Errno{ELOOP});
  CHECK(open("..").error() == Errno{EXDEV});
  CHECK(open("a/../..").error() == Errno{EXDEV});
  CHECK(open("/etc").error() == Errno{EXDEV});
  CHECK(open("link/b", true).has_value());
  if (way == Openat2::kUse) CHECK(open("out/etc", true).error() == Errno{EXDEV});

  const auto same = open("link/b/c", true);
  const auto direct = open("a/b/c");
  REQUIRE(same.has_value());
  REQUIRE(direct.has_value());
  CHECK(g.backing->stat(same->get())->id == g.backing->stat(direct->get())->id);
}

TEST_CASE("a kernel without openat2 is noticed") {
  Ground g;
  std::filesystem::create_directories(g.top.path() / "a/b");
  std::filesystem::create_directory_symlink("a", g.top.path() / "link");
  bool forbidden = false;
  Result<Fd> reached = Errno{EIO};
  Result<Fd> refused = Errno{EIO};
  Result<Fd> own = Errno{EIO};
  std::thread([&] {
    forbidden = forbid_openat2();
    reached = g.backing->open_directory(g.root.get(), "a/b", O_RDONLY, false);
    refused = g.backing->open_directory(g.root.get(), "link/b", O_PATH, false);
    own = g.backing->open_directory(g.root.get(), "", O_PATH, false);
  }).join();
  REQUIRE(forbidden);
  REQUIRE(reached.has_value());
  CHECK(g.backing->stat(reached->get())->id ==
        g.backing->stat(g.backing->open_directory(g.root.get(), "a/b", O_PATH, false)->get())->id);
  CHECK(refused.error() == Errno{ELOOP});
  REQUIRE(own.has_value());
  CHECK(g.backing->stat(own->get())->id == g.backing->stat(g.root.get())->id);
}

TEST_CASE("a path longer than PATH_MAX is walked in pieces") {
  Openat2 way = Openat2::kUse;
  SUBCASE("by openat2") {}
  SUBCASE("by a walk") {
    way = Openat2::kAvoid;
  }
  Ground g(way);
  const std::string name(250, 'n');
  std::string path;
  std::vector<Fd> levels;
  int at = g.root.get();
  constexpr int kDepth = 40;
  for (int i = 0; i < kDepth; ++i) {
    REQUIRE(g.backing->mkdir_at(at, name.c_str(), 0700).has_value());
    levels.push_back(std::move(*g.backing->open_directory(at, name, O_PATH, false)));
    at = levels.back().get();
    path += (i == 0 ? "" : "/") + name;
  }
  REQUIRE(path.size() > std::size_t{2 * PATH_MAX});
  for (const int flags : {O_PATH, O_RDONLY}) {
    const auto deep = g.backing->open_directory(g.root.get(), path, flags, false);
    REQUIRE(deep.has_value());
    CHECK(g.backing->stat(deep->get())->id == g.backing->stat(at)->id);
  }
  REQUIRE(g.backing->symlink_at(".", at, "link").has_value());
  CHECK(g.backing->open_directory(g.root.get(), path + "/link", O_PATH, false).error() ==
        Errno{ELOOP});
  CHECK(g.backing->open_directory(g.root.get(), path + "/no", O_PATH, false).error() ==
        Errno{ENOENT});
  CHECK(g.backing->open_directory(g.root.get(), std::string(5000, 'x'), O_PATH, false).error() ==
        Errno{ENAMETOOLONG});
  levels.clear();
}

TEST_CASE("a path of any length around PATH_MAX gives its directory") {
  Openat2 way = Openat2::kUse;
  SUBCASE("by openat2") {}
  SUBCASE("by a walk") {
    way = Openat2::kAvoid;
  }
  Ground g(way);
  // 4090 to 4100 bytes, by the length of the last of 17 names.
  const std::string name(239, 'd');
  std::string path;
  Fd last = std::move(*g.backing->open_directory(g.root.get(), "", O_PATH, false));
  for (int i = 0; i < 17; ++i) {
    REQUIRE(g.backing->mkdir_at(last.get(), name.c_str(), 0700).has_value());
    last = std::move(*g.backing->open_directory(last.get(), name, O_PATH, false));
    path += name + "/";
  }
  REQUIRE(path.size() == 4080);
  for (std::size_t length = 10; length <= 22; ++length) {
    const std::string leaf(length, 'e');
    REQUIRE(g.backing->mkdir_at(last.get(), leaf.c_str(), 0700).has_value());
    const auto reached = g.backing->open_directory(g.root.get(), path + leaf, O_PATH, false);
    REQUIRE(reached.has_value());
    CHECK(g.backing->stat(reached->get())->id == g.backing->stat_at(last.get(), leaf.c_str())->id);
  }
}

TEST_CASE("stat tells what statx tells, of the symlink itself too") {
  Ground g;
  g.write("file", "hello");
  std::filesystem::create_symlink("nowhere", g.top.path() / "link");
  const auto stat = g.backing->stat_at(g.root.get(), "file");
  struct ::stat native;
  REQUIRE(::lstat(g.at("file").c_str(), &native) == 0);
  REQUIRE(stat.has_value());
  CHECK(stat->id.device == native.st_dev);
  CHECK(stat->id.ino == native.st_ino);
  CHECK(stat->size == 5);
  CHECK(stat->blocks == static_cast<std::uint64_t>(native.st_blocks));
  CHECK(stat->mode == native.st_mode);
  CHECK(stat->nlink == 1);
  CHECK(stat->uid == native.st_uid);
  CHECK(stat->mtime.seconds == native.st_mtim.tv_sec);
  CHECK(stat->mtime.nanoseconds == static_cast<std::uint32_t>(native.st_mtim.tv_nsec));
  CHECK(stat->is_regular());
  if ((stat->mask & STATX_BTIME) != 0) {
    CHECK(stat->id.birth_ns == stat->btime.seconds * 1'000'000'000 + stat->btime.nanoseconds);
    CHECK(stat->id.birth_ns > 0);
  }
  const auto link = g.backing->stat_at(g.root.get(), "link");
  REQUIRE(link.has_value());
  CHECK(link->is_symlink());
  const Fd link_fd = g.path_fd("link");
  CHECK(g.backing->stat(link_fd.get())->id == link->id);
  std::array<std::byte, 64> text;
  const auto size = g.backing->readlink(link_fd.get(), text);
  REQUIRE(size.has_value());
  CHECK(text_of(std::span(text).first(*size)) == "nowhere");
  CHECK(g.backing->stat_at(g.root.get(), "none").error() == Errno{ENOENT});
  const auto fs = g.backing->statfs(g.root.get());
  REQUIRE(fs.has_value());
  CHECK(fs->fragment_size > 0);
  CHECK(fs->blocks >= fs->blocks_free);
  CHECK(fs->name_max == 255);
  CHECK_FALSE(fs->read_only);
}

TEST_CASE("an O_PATH descriptor is enough to change a file's attributes") {
  Ground g;
  g.write("file", "x");
  const Fd fd = g.path_fd("file");
  CHECK(g.backing->chmod(fd.get(), 0640).has_value());
  CHECK((g.backing->stat(fd.get())->mode & 07777U) == 0640);
  CHECK(g.backing->chown(fd.get(), 0xffffffff, 0xffffffff).has_value());
  const TimesChange both{bough::proto::TimeChange{false, -5, 7},
                         bough::proto::TimeChange{false, 9, 8}};
  CHECK(g.backing->set_times(fd.get(), both).has_value());
  auto stat = *g.backing->stat(fd.get());
  CHECK(stat.atime.seconds == -5);
  CHECK(stat.atime.nanoseconds == 7);
  CHECK(stat.mtime.seconds == 9);
  const TimesChange one{std::nullopt, bough::proto::TimeChange{true, 0, 0}};
  CHECK(g.backing->set_times(fd.get(), one).has_value());
  stat = *g.backing->stat(fd.get());
  CHECK(stat.atime.seconds == -5);
  CHECK(stat.mtime.seconds > 1'600'000'000);

  CHECK(g.backing->set_xattr(fd.get(), "user.a", bytes("value"), 0).has_value());
  CHECK(g.backing->set_xattr(fd.get(), "user.a", bytes("value"), XATTR_CREATE).error() ==
        Errno{EEXIST});
  std::array<std::byte, 256> out;
  const auto got = g.backing->get_xattr(fd.get(), "user.a", out);
  REQUIRE(got.has_value());
  CHECK(text_of(std::span(out).first(*got)) == "value");
  CHECK(*g.backing->get_xattr(fd.get(), "user.a", {}) == 5);
  CHECK(g.backing->get_xattr(fd.get(), "user.a", std::span(out).first(2)).error() == Errno{ERANGE});
  const auto listed = g.backing->list_xattr(fd.get(), out);
  REQUIRE(listed.has_value());
  CHECK(text_of(std::span(out).first(*listed)).find("user.a") != std::string::npos);
  CHECK(g.backing->remove_xattr(fd.get(), "user.a").has_value());
  CHECK(g.backing->get_xattr(fd.get(), "user.a", out).error() == Errno{ENODATA});
}

TEST_CASE("what is done to a symlink's descriptor is done to the symlink") {
  Ground g;
  g.write("target", "x");
  REQUIRE(g.backing->symlink_at("target", g.root.get(), "link").has_value());
  const Fd fd = g.path_fd("link");
  const TimesChange times{bough::proto::TimeChange{false, 11, 0},
                          bough::proto::TimeChange{false, 12, 0}};
  CHECK(g.backing->set_times(fd.get(), times).has_value());
  CHECK(g.backing->stat_at(g.root.get(), "link")->mtime.seconds == 12);
  CHECK(g.backing->stat_at(g.root.get(), "target")->mtime.seconds != 12);
  CHECK(g.backing->link_fd(fd.get(), g.root.get(), "second").has_value());
  CHECK(g.backing->stat_at(g.root.get(), "second")->id ==
        g.backing->stat_at(g.root.get(), "link")->id);
  CHECK(g.backing->stat_at(g.root.get(), "second")->nlink == 2);
  CHECK(g.backing->open_at(g.root.get(), "link", O_RDONLY, 0).error() == Errno{ELOOP});
  if (bough::test::is_full_root()) {
    CHECK(g.backing->chown(fd.get(), 1234, 0xffffffff).has_value());
    CHECK(g.backing->stat_at(g.root.get(), "link")->uid == 1234);
    CHECK(g.backing->stat_at(g.root.get(), "target")->uid == 0);
    CHECK(g.backing->set_xattr(fd.get(), "trusted.t", bytes("1"), 0).has_value());
    CHECK(*g.backing->get_xattr(fd.get(), "trusted.t", {}) == 1);
    const Fd target = g.path_fd("target");
    CHECK(g.backing->get_xattr(target.get(), "trusted.t", {}).error() == Errno{ENODATA});
  }
}

TEST_CASE("a descriptor's own file is linked and reopened, not what its name means by now") {
  Ground g;
  g.write("file", "first");
  const Fd fd = g.path_fd("file");
  const auto id = g.backing->stat(fd.get())->id;
  REQUIRE(g.backing->rename_at(g.root.get(), "file", g.root.get(), "moved", 0).has_value());
  g.write("file", "second");
  REQUIRE(g.backing->link_fd(fd.get(), g.root.get(), "hard").has_value());
  CHECK(g.backing->stat_at(g.root.get(), "hard")->id == id);
  const auto again = g.backing->reopen(fd.get(), O_RDONLY | O_NOFOLLOW | O_CREAT | O_EXCL);
  REQUIRE(again.has_value());
  std::array<std::byte, 16> out;
  CHECK(text_of(std::span(out).first(*g.backing->read(again->get(), out, 0))) == "first");
  CHECK(g.backing->link_fd(fd.get(), g.root.get(), "hard").error() == Errno{EEXIST});
}

TEST_CASE("names are made, renamed and removed") {
  Ground g;
  Backing& b = *g.backing;
  const int root = g.root.get();
  CHECK(b.mkdir_at(root, "d", 0750).has_value());
  CHECK(b.mkdir_at(root, "d", 0750).error() == Errno{EEXIST});
  CHECK(b.mknod_at(root, "fifo", S_IFIFO | 0600, 0).has_value());
  CHECK((b.stat_at(root, "fifo")->mode & S_IFMT) == S_IFIFO);
  if (bough::test::is_full_root()) {
    // The kernel's own 32-bit form of 259:70000.
    constexpr std::uint32_t kDevice = (70000U & 0xffU) | 259U << 8U | (70000U & ~0xffU) << 12U;
    CHECK(b.mknod_at(root, "device", S_IFBLK | 0600, kDevice).has_value());
    CHECK(b.stat_at(root, "device")->rdev_major == 259);
    CHECK(b.stat_at(root, "device")->rdev_minor == 70000);
  }
  g.write("one", "1");
  g.write("two", "2");
  CHECK(b.rename_at(root, "one", root, "two", RENAME_NOREPLACE).error() == Errno{EEXIST});
  const auto one = b.stat_at(root, "one")->id;
  CHECK(b.rename_at(root, "one", root, "two", RENAME_EXCHANGE).has_value());
  CHECK(b.stat_at(root, "two")->id == one);
  CHECK(b.unlink_at(root, "d").error() == Errno{EISDIR});
  CHECK(b.rmdir_at(root, "one").error() == Errno{ENOTDIR});
  CHECK(b.unlink_at(root, "one").has_value());
  CHECK(b.rmdir_at(root, "d").has_value());
  CHECK(b.rmdir_at(root, "d").error() == Errno{ENOENT});
}

TEST_CASE("data is written where it should be, also by an appending write") {
  Ground g;
  Backing& b = *g.backing;
  const auto fd = b.open_at(g.root.get(), "f", O_RDWR | O_CREAT | O_EXCL, 0600);
  REQUIRE(fd.has_value());
  CHECK((::fcntl(fd->get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(*b.write(fd->get(), bytes("0123456789"), 0, false) == 10);
  CHECK(*b.write(fd->get(), bytes("ab"), 0, true) == 2);
  CHECK(*b.write(fd->get(), bytes("XY"), 4, false) == 2);
  std::array<std::byte, 64> out;
  CHECK(text_of(std::span(out).first(*b.read(fd->get(), out, 0))) == "0123XY6789ab");
  CHECK(*b.read(fd->get(), out, 12) == 0);
  CHECK(b.truncate(fd->get(), 3).has_value());
  CHECK(b.stat(fd->get())->size == 3);
  CHECK(b.allocate(fd->get(), 0, 0, 8192).has_value());
  CHECK(b.stat(fd->get())->size == 8192);
  CHECK(b.allocate(fd->get(), 0, 0, std::uint64_t{1} << 63U).error() == Errno{EINVAL});
  CHECK(b.truncate(fd->get(), 1 << 20).has_value());
  CHECK(*b.seek(fd->get(), 0, SEEK_DATA) == 0);
  CHECK(b.seek(fd->get(), 1 << 20, SEEK_DATA).error() == Errno{ENXIO});
  CHECK(b.sync(fd->get(), true).has_value());
  CHECK(b.sync(fd->get(), false).has_value());
  const std::size_t descriptors = open_descriptors();
  CHECK(b.flush(fd->get()).has_value());
  CHECK(open_descriptors() == descriptors);
  const auto other = b.open_at(g.root.get(), "g", O_WRONLY | O_CREAT, 0600);
  REQUIRE(other.has_value());
  CHECK(*b.copy_range(fd->get(), 1, other->get(), 5, 2) == 2);
  CHECK(b.stat(other->get())->size == 7);
  CHECK(b.read(other->get(), out, 0).error() == Errno{EBADF});
}

TEST_CASE("an unnamed file gets a name by its descriptor") {
  Ground g;
  const auto fd = g.backing->open_unnamed(g.root.get(), O_RDWR, 0600);
  REQUIRE(fd.has_value());
  CHECK(g.backing->stat(fd->get())->nlink == 0);
  CHECK(g.backing->link_fd(fd->get(), g.root.get(), "named").has_value());
  CHECK(g.backing->stat_at(g.root.get(), "named")->id == g.backing->stat(fd->get())->id);
}

TEST_CASE("a directory is listed whole, and ioctls carry their argument") {
  Ground g;
  g.write("one", "");
  g.write("two", "");
  const auto fd = g.backing->open_directory(g.root.get(), "", O_RDONLY, false);
  REQUIRE(fd.has_value());
  alignas(8) std::array<std::byte, 1024> out;
  const auto size = g.backing->list(fd->get(), out);
  REQUIRE(size.has_value());
  const std::string raw = text_of(std::span(out).first(*size));
  CHECK(raw.find("one") != std::string::npos);
  CHECK(raw.find("two") != std::string::npos);
  CHECK(*g.backing->list(fd->get(), out) == 0);
  CHECK(g.backing->list(g.root.get(), out).error() == Errno{EBADF});
  int flags = -1;
  const auto told =
      g.backing->control(fd->get(), FS_IOC_GETFLAGS, std::as_writable_bytes(std::span(&flags, 1)));
  if (told) CHECK(flags != -1);
  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  CHECK(
      g.backing->control(null.get(), FS_IOC_GETFLAGS, std::as_writable_bytes(std::span(&flags, 1)))
          .error() == Errno{ENOTTY});
}

TEST_CASE("a thread gets a umask of its own, the one of the process at that moment") {
  const auto backing = make_posix_backing();
  const mode_t before = ::umask(0);
  std::thread([&] {
    CHECK(backing->identity().umask == 0);
    ::umask(022);
    CHECK(backing->own_thread_state().has_value());
    Identity me = backing->identity();
    CHECK(me.umask == 022);
    me.umask = 077;
    CHECK(backing->become(me, true).has_value());
    CHECK(backing->identity() == me);
    CHECK(::umask(077) == 077);
  }).join();
  CHECK(::umask(before) == 022);
}
