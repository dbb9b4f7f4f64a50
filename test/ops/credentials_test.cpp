#include "ops/credentials.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <set>
#include <thread>
#include <vector>

#include "test/ops/small_pool.hpp"

using namespace bough::ops;
using bough::test::Call;
using bough::test::SmallPool;
namespace fs = std::filesystem;
using Purpose = CallerGuard::Purpose;

namespace {

constexpr std::uint32_t kUser = 4001;
constexpr std::uint32_t kGroup = 4002;
constexpr std::uint32_t kExtra = 4003;

/// What the kernel says of the calling thread.
struct Thread {
  unsigned fsuid = static_cast<unsigned>(::setfsuid(static_cast<uid_t>(-1)));
  unsigned fsgid = static_cast<unsigned>(::setfsgid(static_cast<gid_t>(-1)));
  std::set<gid_t> groups = read_groups();
  std::uint64_t effective = read_effective();

  friend bool operator==(const Thread&, const Thread&) = default;

  [[nodiscard]] bool can(unsigned capability) const { return (effective >> capability & 1U) != 0; }

 private:
  static std::set<gid_t> read_groups() {
    std::vector<gid_t> list(256);
    list.resize(static_cast<std::size_t>(::getgroups(256, list.data())));
    return {list.begin(), list.end()};
  }
  static std::uint64_t read_effective() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    REQUIRE(::syscall(SYS_capget, &header, data) == 0);
    return data[0].effective | static_cast<std::uint64_t>(data[1].effective) << 32U;
  }
};

/// The calling thread gets a umask of its own, 0, and is the daemon of the pool.
void bind_to_thread(SmallPool& p) {
  REQUIRE(p.faults.own_thread_state().has_value());
  p.pool.own = p.faults.identity();
  p.pool.own.umask = 0;
  REQUIRE(p.faults.become(p.pool.own, true).has_value());
}

/// Runs in a thread as the daemon's are: ids and umask of its own, the pool bound to them.
void as_root_daemon(SmallPool& p, const std::function<void()>& body) {
  if (!bough::test::is_full_root()) {
    MESSAGE("not run: only root can act as others");
    return;
  }
  std::thread([&] {
    bind_to_thread(p);
    p.pool.may_become = true;
    body();
  }).join();
}

struct stat stat_of(const fs::path& path) {
  struct stat found;
  REQUIRE(::lstat(path.c_str(), &found) == 0);
  return found;
}

}  // namespace

TEST_CASE("what is created belongs to the caller, with his umask") {
  SmallPool p;
  as_root_daemon(p, [&] {
    const Thread before;
    const auto root = p.branch(0).root();
    {
      const CallerGuard guard(p.pool, kUser, kGroup, std::nullopt, 027, Purpose::kCreate);
      REQUIRE(guard.ready().has_value());
      CHECK(p.faults.open_at(root->fd(), "file", O_CREAT | O_EXCL | O_WRONLY, 0666).has_value());
      CHECK(p.faults.mkdir_at(root->fd(), "dir", 0777).has_value());
      CHECK(p.faults.symlink_at("x", root->fd(), "link").has_value());
      CHECK(p.faults.mknod_at(root->fd(), "fifo", S_IFIFO | 0666, 0).has_value());
      CHECK(p.faults.mknod_at(root->fd(), "null", S_IFCHR | 0666, 0x103).has_value());
      const Thread inside;
      CHECK(inside.fsuid == kUser);
      CHECK(inside.fsgid == kGroup);
      CHECK(inside.groups.empty());
      CHECK(inside.can(CAP_DAC_OVERRIDE));
      CHECK(inside.can(CAP_DAC_READ_SEARCH));
      CHECK(inside.can(CAP_MKNOD));
      CHECK_FALSE(inside.can(CAP_CHOWN));
      CHECK_FALSE(inside.can(CAP_FOWNER));
      CHECK_FALSE(inside.can(CAP_FSETID));
    }
    CHECK(Thread() == before);
    CHECK(::umask(0) == 0);
    for (const char* name : {"file", "dir", "link", "fifo", "null"}) {
      INFO(name);
      CHECK(stat_of(p.path(0) / name).st_uid == kUser);
      CHECK(stat_of(p.path(0) / name).st_gid == kGroup);
    }
    CHECK((stat_of(p.path(0) / "file").st_mode & 07777U) == 0640);
    CHECK((stat_of(p.path(0) / "dir").st_mode & 07777U) == 0750);
  });
}

TEST_CASE("the branch's own permissions do not stop what the kernel has permitted") {
  SmallPool p;
  as_root_daemon(p, [&] {
    fs::create_directories(p.path(0) / "closed");
    REQUIRE(::chmod((p.path(0) / "closed").c_str(), 0500) == 0);
    REQUIRE(::chmod(p.path(0).c_str(), 0700) == 0);
    const auto closed = p.branch(0).directory("closed");
    REQUIRE(closed.has_value());
    {
      const CallerGuard guard(p.pool, kUser, kGroup, std::nullopt, 0, Purpose::kCreate);
      CHECK(p.faults.mkdir_at(closed->fd(), "in", 0700).has_value());
    }
    {
      const CallerGuard guard(p.pool, kUser, kGroup, std::nullopt, 0, Purpose::kAllocate);
      CHECK(p.faults.mkdir_at(closed->fd(), "out", 0700).error() == Errno{EACCES});
    }
  });
}

TEST_CASE("a set-gid directory gives its group, and keeps a set-gid mode for members only") {
  SmallPool p;
  as_root_daemon(p, [&] {
    const fs::path shared = p.path(0) / "shared";
    fs::create_directory(shared);
    REQUIRE(::chown(shared.c_str(), 0, kExtra) == 0);
    REQUIRE(::chmod(shared.c_str(), 02777) == 0);
    const auto directory = p.branch(0).directory("shared");
    {
      const CallerGuard guard(p.pool, kUser, kGroup, std::nullopt, 0, Purpose::kCreate);
      CHECK(p.faults.open_at(directory->fd(), "stranger", O_CREAT | O_WRONLY, 02770).has_value());
      CHECK(p.faults.mkdir_at(directory->fd(), "dir", 0770).has_value());
    }
    {
      const CallerGuard guard(p.pool, kUser, kGroup, kExtra, 0, Purpose::kCreate);
      REQUIRE(guard.ready().has_value());
      CHECK(Thread().groups == std::set<gid_t>{kExtra});
      CHECK(p.faults.open_at(directory->fd(), "member", O_CREAT | O_WRONLY, 02770).has_value());
    }
    CHECK(stat_of(shared / "stranger").st_gid == kExtra);
    CHECK((stat_of(shared / "stranger").st_mode & 07777U) == 0770);
    CHECK(stat_of(shared / "dir").st_gid == kExtra);
    CHECK((stat_of(shared / "dir").st_mode & S_ISGID) != 0);
    CHECK(stat_of(shared / "member").st_gid == kExtra);
    CHECK((stat_of(shared / "member").st_mode & 07777U) == 02770);
  });
}

TEST_CASE("a default ACL takes the place of the umask") {
  SmallPool p;
  as_root_daemon(p, [&] {
    const unsigned char acl[] = {2,    0,    0, 0, 1,    0,    7,    0,    0xff, 0xff,
                                 0xff, 0xff, 4, 0, 7,    0,    0xff, 0xff, 0xff, 0xff,
                                 0x20, 0,    5, 0, 0xff, 0xff, 0xff, 0xff};
    REQUIRE(::lsetxattr(p.path(0).c_str(), "system.posix_acl_default", acl, sizeof acl, 0) == 0);
    const auto root = p.branch(0).root();
    const CallerGuard guard(p.pool, kUser, kGroup, std::nullopt, 077, Purpose::kCreate);
    CHECK(p.faults.mkdir_at(root->fd(), "d", 0777).has_value());
    CHECK((stat_of(p.path(0) / "d").st_mode & 07777U) == 0775);
  });
}

TEST_CASE("who allocates has no privilege that a local user has not") {
  SmallPool p;
  as_root_daemon(p, [&] {
    const Thread before;
    std::ofstream(p.path(0) / "tool") << "x";
    REQUIRE(::chmod((p.path(0) / "tool").c_str(), 06777) == 0);
    const auto root = p.branch(0).root();
    const auto fd = p.faults.open_at(root->fd(), "tool", O_WRONLY, 0);
    {
      const CallerGuard guard(p.pool, kUser, kGroup, std::nullopt, 077, Purpose::kAllocate);
      const Thread inside;
      CHECK(inside.fsuid == kUser);
      for (const int each :
           {CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_MKNOD, CAP_FSETID, CAP_FOWNER, CAP_CHOWN})
        CHECK_FALSE(inside.can(static_cast<unsigned>(each)));
      CHECK(::umask(0) == 0);
      const std::byte data{1};
      CHECK(p.faults.write(fd->get(), std::span(&data, 1), 0, false).has_value());
    }
    CHECK((stat_of(p.path(0) / "tool").st_mode & 07777U) == 0777);
    CHECK(Thread() == before);
  });
}

TEST_CASE("nothing is called where nothing changes, and only what does") {
  SmallPool p;
  as_root_daemon(p, [&] {
    p.faults.reset();
    { const CallerGuard guard(p.pool, 0, 0, std::nullopt, 0, Purpose::kCreate); }
    { const CallerGuard guard(p.pool, 0, 0, std::nullopt, 022, Purpose::kAllocate); }
    CHECK(p.faults.calls(Call::kBecome) == 0);
    {
      const CallerGuard guard(p.pool, 0, 0, std::nullopt, 022, Purpose::kCreate);
      CHECK(guard.ready().has_value());
      CHECK(::umask(022) == 022);
    }
    CHECK(p.faults.calls(Call::kBecome) == 2);
    CHECK(::umask(0) == 0);
  });
}

TEST_CASE("guards follow each other on one thread, also of other kinds") {
  SmallPool p;
  as_root_daemon(p, [&] {
    const Thread before;
    const auto root = p.branch(0).root();
    for (std::uint32_t i = 0; i < 40; ++i) {
      const bool create = i % 3 != 0;
      const std::uint32_t uid = i % 4 == 0 ? 0 : kUser + i;
      std::optional<std::uint32_t> group;
      if (i % 5 == 0) group = kExtra + i;
      {
        const CallerGuard guard(p.pool, uid, kGroup + i, group, i % 64,
                                create ? Purpose::kCreate : Purpose::kAllocate);
        REQUIRE(guard.ready().has_value());
        const Thread inside;
        CHECK(inside.fsuid == uid);
        CHECK(inside.fsgid == kGroup + i);
        CHECK(inside.can(CAP_DAC_OVERRIDE) == (create || uid == 0));
        if (group) CHECK(inside.groups == std::set<gid_t>{*group});
        if (!group && uid != 0) CHECK(inside.groups.empty());
      }
      REQUIRE(Thread() == before);
    }
  });
}

TEST_CASE("groups that the daemon began with come back, and never go along to a caller") {
  SmallPool p;
  if (!bough::test::is_full_root()) {
    MESSAGE("not run: only root can act as others");
    return;
  }
  std::thread([&] {
    const gid_t own[] = {11, 12};
    REQUIRE(::syscall(SYS_setgroups, 2, own) == 0);
    bind_to_thread(p);
    p.pool.may_become = true;
    const std::set<gid_t> both{11, 12};
    {
      const CallerGuard guard(p.pool, kUser, kGroup, std::nullopt, 0, Purpose::kCreate);
      CHECK(Thread().groups.empty());
    }
    CHECK(Thread().groups == both);
    {
      const CallerGuard guard(p.pool, kUser, kGroup, kExtra, 0, Purpose::kAllocate);
      CHECK(Thread().groups == std::set<gid_t>{kExtra});
    }
    CHECK(Thread().groups == both);
  }).join();
}

TEST_CASE("other threads are not affected") {
  SmallPool p;
  as_root_daemon(p, [&] {
    std::atomic<bool> stop{false};
    std::atomic<int> rounds{0};
    const Thread before;
    std::thread observer([&] {
      while (!stop) {
        if (!(Thread() == before)) stop = true;
        ++rounds;
      }
    });
    bool disturbed = false;
    for (std::uint32_t i = 0; i < 2000 && !disturbed; ++i) {
      const CallerGuard guard(p.pool, kUser + i, kGroup, kExtra, i % 512, Purpose::kCreate);
      disturbed = stop;
    }
    while (rounds == 0 && !stop) std::this_thread::yield();
    disturbed = disturbed || stop;
    stop = true;
    observer.join();
    CHECK_FALSE(disturbed);
  });
}

TEST_CASE("threads act as different callers at once") {
  SmallPool p;
  as_root_daemon(p, [&] {
    std::vector<std::thread> threads;
    for (std::uint32_t t = 0; t < 4; ++t)
      threads.emplace_back([&p, t] {
        static_cast<void>(p.faults.own_thread_state());
        const auto root = p.branch(0).root();
        for (std::uint32_t i = 0; i < 100; ++i) {
          const std::string name = std::to_string(t) + "-" + std::to_string(i);
          const CallerGuard guard(p.pool, kUser + t, kGroup + t, std::nullopt, t, Purpose::kCreate);
          static_cast<void>(p.faults.mkdir_at(root->fd(), name.c_str(), 0777));
        }
      });
    for (auto& thread : threads) thread.join();
    for (std::uint32_t t = 0; t < 4; ++t)
      for (std::uint32_t i = 0; i < 100; ++i) {
        const auto found = stat_of(p.path(0) / (std::to_string(t) + "-" + std::to_string(i)));
        REQUIRE(found.st_uid == kUser + t);
        REQUIRE(found.st_gid == kGroup + t);
        REQUIRE((found.st_mode & 0777U) == (0777U & ~t));
      }
  });
}

TEST_CASE("a thread that cannot become the caller stays who it is") {
  SmallPool p;
  as_root_daemon(p, [&] {
    const Thread before;
    p.faults.fail({Call::kBecome}, EPERM);
    {
      const CallerGuard guard(p.pool, kUser, kGroup, std::nullopt, 0, Purpose::kCreate);
      CHECK(guard.ready().error() == Errno{EPERM});
    }
    CHECK(Thread() == before);
    // An id that is none: the kernel refuses it without a word.
    {
      const CallerGuard guard(p.pool, 0xffffffff, kGroup, kExtra, 022, Purpose::kCreate);
      CHECK(guard.ready().error() == Errno{EPERM});
      CHECK(Thread() == before);
    }
    {
      const CallerGuard guard(p.pool, kUser, 0xffffffff, kExtra, 022, Purpose::kCreate);
      CHECK(guard.ready().error() == Errno{EPERM});
      CHECK(Thread() == before);
    }
    CHECK(::umask(0) == 0);
    const CallerGuard guard(p.pool, kUser, kGroup, std::nullopt, 0, Purpose::kCreate);
    CHECK(guard.ready().has_value());
  });
}

TEST_CASE("a thread without the right to become others says so and stays who it is") {
  SmallPool p;
  as_root_daemon(p, [&] {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    REQUIRE(::syscall(SYS_capget, &header, data) == 0);
    for (auto* set : {&data[0].effective, &data[0].permitted})
      *set &= ~((1U << CAP_SETUID) | (1U << CAP_SETGID));
    REQUIRE(::syscall(SYS_capset, &header, data) == 0);
    const Thread before;
    for (const std::uint32_t gid : {0U, kGroup}) {
      const CallerGuard guard(p.pool, kUser, gid, std::nullopt, 0, Purpose::kCreate);
      CHECK(guard.ready().error() == Errno{EPERM});
      CHECK(Thread() == before);
    }
    const CallerGuard guard(p.pool, 0, 0, kExtra, 0, Purpose::kCreate);
    CHECK(guard.ready().error() == Errno{EPERM});
  });
}

TEST_CASE("an ordinary user's pool creates as its owner, with the caller's umask") {
  SmallPool p;
  std::thread([&] {
    bind_to_thread(p);
    p.pool.may_become = false;
    const Thread before;
    p.faults.reset();
    { const CallerGuard guard(p.pool, kUser, kGroup, kExtra, 027, Purpose::kAllocate); }
    CHECK(p.faults.calls(Call::kBecome) == 0);
    const auto root = p.branch(0).root();
    {
      const CallerGuard guard(p.pool, kUser, kGroup, kExtra, 027, Purpose::kCreate);
      CHECK(guard.ready().has_value());
      CHECK(Thread() == before);
      CHECK(p.faults.mkdir_at(root->fd(), "d", 0777).has_value());
    }
    CHECK(::umask(0) == 0);
    CHECK((stat_of(p.path(0) / "d").st_mode & 0777U) == 0750);
    CHECK(stat_of(p.path(0) / "d").st_uid == ::geteuid());
  }).join();
}
