#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <map>
#include <thread>

#include "policy/registry.hpp"
#include "test/support/branch_tree.hpp"
#include "test/support/faulty_backing.hpp"
#include "test/support/pool_fixture.hpp"

namespace bough::test {
namespace {

using proto::Context;
using proto::Errno;
using proto::kRootNode;
using proto::NodeId;

proto::CreateRequest create_request(PoolFixture& pool, std::string_view name,
                                    std::uint32_t flags = O_RDWR | O_CREAT | O_EXCL,
                                    std::uint32_t mode = 0100644, std::uint32_t umask = 022) {
  return {pool.name(name), flags, mode, umask, false, {}};
}
proto::MkdirRequest mkdir_request(PoolFixture& pool, std::string_view name,
                                  std::uint32_t mode = 0755, std::uint32_t umask = 0) {
  return {pool.name(name), mode, umask, {}};
}
proto::MknodRequest mknod_request(PoolFixture& pool, std::string_view name, std::uint32_t mode,
                                  std::uint32_t rdev = 0, std::uint32_t umask = 0) {
  return {pool.name(name), mode, rdev, umask, {}};
}
proto::SymlinkRequest symlink_request(PoolFixture& pool, std::string_view name,
                                      std::string_view target) {
  return {pool.name(name), target, {}};
}
proto::TmpfileRequest tmpfile_request(std::uint32_t flags = O_RDWR | O_TMPFILE) {
  proto::TmpfileRequest request;
  request.flags = flags;
  request.mode = 0100640;
  return request;
}

PoolFixture::Tune with_create_policy(std::string_view name) {
  return [name](ops::Settings& settings) {
    const auto* const policy = policy::find(policy::create_policies(), name);
    REQUIRE(policy != nullptr);
    settings.create = policy;
  };
}

bool is_root() {
  return ::geteuid() == 0;
}

/// The five ways to make a name, as one.
using Maker = std::function<std::optional<Errno>(PoolFixture&, const Context&, std::string_view)>;

template <class Reply>
std::optional<Errno> dropped(const proto::Result<Reply>& reply) {
  if (!reply) return reply.error();
  return std::nullopt;
}

const std::map<std::string, Maker>& makers() {
  static const std::map<std::string, Maker> all{
      {"create",
       [](PoolFixture& pool, const Context& context, std::string_view name) {
         return dropped(pool.fs().create(context, create_request(pool, name)));
       }},
      {"mkdir",
       [](PoolFixture& pool, const Context& context, std::string_view name) {
         return dropped(pool.fs().mkdir(context, mkdir_request(pool, name)));
       }},
      {"mknod",
       [](PoolFixture& pool, const Context& context, std::string_view name) {
         return dropped(pool.fs().mknod(context, mknod_request(pool, name, S_IFREG | 0644)));
       }},
      {"fifo",
       [](PoolFixture& pool, const Context& context, std::string_view name) {
         return dropped(pool.fs().mknod(context, mknod_request(pool, name, S_IFIFO | 0644)));
       }},
      {"symlink", [](PoolFixture& pool, const Context& context, std::string_view name) {
         return dropped(pool.fs().symlink(context, symlink_request(pool, name, "somewhere")));
       }}};
  return all;
}

}  // namespace

TEST_CASE("create makes the file as its caller and opens it") {
  PoolFixture pool({"RW", "RW"}, {}, with_create_policy("ff"));
  const std::uint32_t uid = is_root() ? 1234 : ::geteuid();
  const std::uint32_t gid = is_root() ? 4321 : ::getegid();
  auto made = pool.fs().create(pool.as(kRootNode, uid, gid),
                               create_request(pool, "f", O_RDWR | O_CREAT, 0100666, 027));
  REQUIRE(made.has_value());
  CHECK(made->entry.entry.attr.mode == 0100640);
  CHECK(made->entry.entry.attr.uid == uid);
  CHECK(made->entry.entry.attr.nlink == 1);
  const NodeId node = pool.keep(made->entry);
  const auto handle = pool.keep(made->open);
  CHECK(pool.write(handle, "hello").value() == 5);
  CHECK(pool.read(handle) == "hello");
  CHECK(pool.text(0, "f") == "hello");
  CHECK_FALSE(pool.exists(1, "f"));
  const auto stat = pool.stat(0, "f");
  CHECK(stat.st_uid == uid);
  CHECK(stat.st_gid == gid);
  CHECK(pool.walk("f") == node);
  CHECK(pool.count("handles") == 1);
}

TEST_CASE("a reply that the kernel refused leaves the file, but no count and no handle") {
  PoolFixture pool;
  {
    auto made = pool.fs().create(pool.as(kRootNode), create_request(pool, "f"));
    REQUIRE(made.has_value());
    CHECK(pool.count("handles") == 1);
    CHECK(pool.count("lookups") == 1);
  }
  CHECK(pool.count("handles") == 0);
  CHECK(pool.count("lookups") == 0);
  CHECK(pool.exists(0, "f"));
}

TEST_CASE("what is new gets mode, owner and group as it would natively") {
  if (!is_root()) {
    MESSAGE("not root: cannot act as others");
    return;
  }
  PoolFixture pool;
  pool.directory(0, "shared", 02775);
  REQUIRE(::chown((pool.branch(0) / "shared").c_str(), 0, 777) == 0);
  REQUIRE(::chmod((pool.branch(0) / "shared").c_str(), 02775) == 0);
  const NodeId shared = pool.walk("shared");
  const auto context = pool.as(shared, 1000, 1000);
  CHECK(pool.fs().mkdir(context, mkdir_request(pool, "d", 0777, 022)).has_value());
  CHECK(pool.stat(0, "shared/d").st_mode == 042755);
  CHECK(pool.stat(0, "shared/d").st_uid == 1000);
  CHECK(pool.stat(0, "shared/d").st_gid == 777);
  CHECK(pool.fs().create(context, create_request(pool, "f")).has_value());
  CHECK(pool.stat(0, "shared/f").st_gid == 777);
  CHECK(pool.fs().symlink(context, symlink_request(pool, "l", "../x")).has_value());
  CHECK(pool.stat(0, "shared/l").st_uid == 1000);
  CHECK(std::filesystem::read_symlink(pool.branch(0) / "shared/l") == "../x");
  CHECK(pool.fs().mknod(context, mknod_request(pool, "p", S_IFIFO | 0666, 0, 022)).has_value());
  CHECK(pool.stat(0, "shared/p").st_mode == (S_IFIFO | 0644));
  CHECK(pool.fs().mknod(context, mknod_request(pool, "s", S_IFSOCK | 0666)).has_value());
  CHECK(S_ISSOCK(pool.stat(0, "shared/s").st_mode));

  // The thread is itself again.
  CHECK(pool.fs().mkdir(pool.as(kRootNode), mkdir_request(pool, "own")).has_value());
  CHECK(pool.stat(0, "own").st_uid == 0);
}

TEST_CASE("the one supplementary group that the kernel sends makes set-gid creation native") {
  if (!is_root()) {
    MESSAGE("not root: cannot act as others");
    return;
  }
  PoolFixture pool;
  pool.directory(0, "d");
  REQUIRE(::chown((pool.branch(0) / "d").c_str(), 0, 888) == 0);
  REQUIRE(::chmod((pool.branch(0) / "d").c_str(), 02777) == 0);
  const NodeId d = pool.walk("d");
  auto request = create_request(pool, "f", O_RDWR | O_CREAT, 0102775, 0);
  request.extensions.group = 888;
  CHECK(pool.fs().create(pool.as(d, 1000, 1000), request).has_value());
  // A member of the group may make a set-gid file of it.
  CHECK(pool.stat(0, "d/f").st_mode == 0102775);
  CHECK(pool.stat(0, "d/f").st_gid == 888);
  request = create_request(pool, "g", O_RDWR | O_CREAT, 0102775, 0);
  CHECK(pool.fs().create(pool.as(d, 1000, 1000), request).has_value());
  CHECK(pool.stat(0, "d/g").st_mode == 0100775);
}

TEST_CASE("a default ACL stands in for the umask") {
  PoolFixture pool;
  pool.directory(0, "d");
  // user::rwx group::rwx other::r-x
  struct [[gnu::packed]] Acl {
    std::uint32_t version = 2;
    struct [[gnu::packed]] {
      std::uint16_t tag, perm;
      std::uint32_t id;
    } entries[3] = {{1, 7, 0xffffffff}, {4, 7, 0xffffffff}, {32, 5, 0xffffffff}};
  } acl;
  if (::setxattr((pool.branch(0) / "d").c_str(), "system.posix_acl_default", &acl, sizeof acl, 0) !=
      0) {
    MESSAGE("no ACLs on the file system of the temporary directory");
    return;
  }
  const NodeId d = pool.walk("d");
  CHECK(pool.fs().create(pool.as(d), create_request(pool, "f", O_RDWR, 0100666, 077)).has_value());
  CHECK(pool.stat(0, "d/f").st_mode == 0100664);
  CHECK(pool.fs().mkdir(pool.as(d), mkdir_request(pool, "e", 0777, 077)).has_value());
  CHECK(pool.stat(0, "d/e").st_mode == 040775);
}

TEST_CASE("a name that is there on any branch is taken") {
  for (const std::size_t on : {0U, 1U, 2U}) {
    CAPTURE(on);
    PoolFixture pool({"RW", "NC", "RO"});
    pool.file(on, "f", "text");
    const auto before = trees_of(pool, 3);
    for (const auto& maker : makers()) {
      const auto& name = maker.first;
      const auto& make = maker.second;
      CAPTURE(name);
      CHECK(make(pool, pool.as(kRootNode), "f") == Errno{EEXIST});
    }
    // Not exclusive: the kernel is to look again, so that it checks the rights to what is there.
    CHECK(dropped(pool.fs().create(pool.as(kRootNode),
                                   create_request(pool, "f", O_RDWR | O_CREAT))) == Errno{ESTALE});
    CHECK(trees_of(pool, 3) == before);
  }
}

TEST_CASE("a resent request that was done before succeeds") {
  PoolFixture pool({"RW", "RW"});
  std::uint64_t replays = 0;
  for (const auto& maker : makers()) {
    const auto& name = maker.first;
    const auto& make = maker.second;
    CAPTURE(name);
    const std::uint32_t uid = ::geteuid();
    CHECK(make(pool, pool.as(kRootNode, uid), name) == std::nullopt);
    const auto before = trees_of(pool, 2);
    CHECK(make(pool, pool.resent(kRootNode, uid), name) == std::nullopt);
    CHECK(pool.count("replays") == ++replays);
    CHECK(trees_of(pool, 2) == before);
    // Something else of that name was not made by it.
    pool.file(1, "other-" + name);
    if (name != "mknod" && name != "create")
      CHECK(make(pool, pool.resent(kRootNode, uid), "other-" + name) == Errno{EEXIST});
  }
}

TEST_CASE("a parent that another branch has is cloned; path preserving policies stay where it is") {
  for (const auto& maker : makers()) {
    const auto& name = maker.first;
    const auto& make = maker.second;
    CAPTURE(name);
    PoolFixture pool({"RW", "RW"}, {}, with_create_policy("ff"));
    pool.directory(1, "a/b", 0755);
    REQUIRE(::chmod((pool.branch(1) / "a/b").c_str(), 02771) == 0);
    CHECK(make(pool, pool.as(pool.walk("a/b")), "x") == std::nullopt);
    CHECK(pool.exists(0, "a/b/x"));
    CHECK_FALSE(pool.exists(1, "a/b/x"));
    CHECK(pool.stat(0, "a/b").st_mode == 042771);
  }
  PoolFixture pool({"RW", "RW"}, {}, with_create_policy("epmfs"));
  pool.directory(1, "a/b");
  for (const auto& maker : makers())
    CHECK(maker.second(pool, pool.as(pool.walk("a/b")), maker.first) == std::nullopt);
  CHECK_FALSE(pool.exists(0, "a"));
  CHECK(tree_of(pool.branch(1) / "a/b").size() == makers().size());
}

TEST_CASE("branch modes: nothing new on RO and NC") {
  for (const auto& maker : makers()) {
    const auto& name = maker.first;
    const auto& make = maker.second;
    CAPTURE(name);
    PoolFixture pool({"RO", "NC", "RW"});
    CHECK(make(pool, pool.as(kRootNode), "x") == std::nullopt);
    CHECK(pool.exists(2, "x"));
    CHECK_FALSE(pool.exists(0, "x"));
    CHECK_FALSE(pool.exists(1, "x"));
    PoolFixture read_only({"RO", "NC"});
    CHECK(make(read_only, read_only.as(kRootNode), "x") == Errno{EROFS});
    CHECK(trees_of(read_only, 2) == std::vector<Tree>(2));
  }
}

TEST_CASE("parents that are none") {
  PoolFixture pool;
  pool.file(0, "file");
  pool.directory(0, "gone");
  const NodeId file = pool.walk("file");
  const NodeId gone = pool.walk("gone");
  REQUIRE(pool.fs().rmdir(pool.as(kRootNode), {pool.name("gone")}).has_value());
  for (const auto& maker : makers()) {
    const auto& name = maker.first;
    const auto& make = maker.second;
    CAPTURE(name);
    CHECK(make(pool, pool.as(file), "x") == Errno{ENOTDIR});
    CHECK(make(pool, pool.as(gone), "x") == Errno{ENOENT});
    CHECK(make(pool, pool.as(NodeId{0x123456}), "x") == Errno{ESTALE});
    CHECK(make(pool, pool.as(kRootNode), std::string(256, 'n')) == Errno{ENAMETOOLONG});
  }
  CHECK(dropped(pool.fs().tmpfile(pool.as(gone), tmpfile_request())) == Errno{ENOENT});
}

TEST_CASE("tmpfile: no name until it is linked") {
  PoolFixture pool({"RO", "RW"});
  pool.directory(0, "d");
  const NodeId d = pool.walk("d");
  auto made = pool.fs().tmpfile(pool.as(d), tmpfile_request());
  if (!made && made.error() == Errno{EOPNOTSUPP}) {
    MESSAGE("no O_TMPFILE on the file system of the temporary directory");
    return;
  }
  REQUIRE(made.has_value());
  CHECK(made->entry.entry.attr.nlink == 0);
  CHECK(made->entry.entry.attr.mode == 0100640);
  const NodeId node = pool.keep(made->entry);
  const auto handle = pool.keep(made->open);
  CHECK(pool.write(handle, "secret").value() == 6);
  // The directory was cloned, and is empty.
  CHECK(trees_of(pool, 2)[1] == Tree{{"d", "d"}});
  auto attr = pool.fs().getattr(pool.as(node), {});
  REQUIRE(attr.has_value());
  CHECK(attr->attr.size == 6);
  CHECK(attr->attr.nlink == 0);

  proto::LinkRequest request{node, pool.name("named")};
  auto linked = pool.fs().link(pool.as(kRootNode), request);
  REQUIRE(linked.has_value());
  CHECK(linked->entry.node == node);
  CHECK(linked->entry.attr.nlink == 1);
  CHECK(linked->entry.attr.ino == attr->attr.ino);
  CHECK(pool.text(1, "named") == "secret");
  CHECK(pool.walk("named") == node);
}

TEST_CASE("a tmpfile that is never linked goes with its last reference") {
  PoolFixture pool;
  {
    auto made = pool.fs().tmpfile(pool.as(kRootNode), tmpfile_request());
    if (!made) return;
    CHECK(pool.count("victims") == 1);
  }
  CHECK(pool.count("victims") == 0);
  CHECK(pool.count("nodes") == 1);
}

namespace {

/// The first branch as a mount of its own, so that it can become read-only under the pool.
class BindMount {
 public:
  explicit BindMount(std::filesystem::path path) : path_(std::move(path)) {}
  static bool bind(const std::string& path) {
    return ::mount(path.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) == 0;
  }
  bool make_read_only(bool read_only = true) const {
    unsigned long flags = MS_REMOUNT | MS_BIND;
    if (read_only) flags |= MS_RDONLY;
    return ::mount(nullptr, path_.c_str(), nullptr, flags, nullptr) == 0;
  }
  ~BindMount() { ::umount2(path_.c_str(), MNT_DETACH); }

 private:
  std::filesystem::path path_;
};

}  // namespace

TEST_CASE("a branch that becomes read-only is demoted and the next one taken") {
  for (const auto& maker : makers()) {
    const auto& name = maker.first;
    const auto& make = maker.second;
    CAPTURE(name);
    bool bound = false;
    FaultyBacking* faulty = nullptr;
    PoolFixture pool(
        {"RW", "RW"},
        [&](ops::Backing& real) {
          auto made = std::make_unique<FaultyBacking>(real);
          faulty = made.get();
          return made;
        },
        [&](ops::Settings& settings) {
          with_create_policy("ff")(settings);
          bound = BindMount::bind(settings.branches.substr(0, settings.branches.find('=')));
        });
    if (!bound) {
      MESSAGE("not allowed to mount");
      return;
    }
    const BindMount mount(pool.branch(0));
    CHECK(make(pool, pool.as(kRootNode), "before") == std::nullopt);
    CHECK(pool.exists(0, "before"));
    // Between the choice and the call, so that only the call can tell.
    faulty->reset();
    for (const Call call : {Call::kOpenAt, Call::kMkdirAt, Call::kMknodAt, Call::kSymlinkAt})
      faulty->before({call}, [&] { REQUIRE(mount.make_read_only()); });
    CHECK(make(pool, pool.as(kRootNode), "after") == std::nullopt);
    CHECK(pool.exists(1, "after"));
    CHECK_FALSE(pool.exists(0, "after"));
    CHECK(pool.count("demotions") == 1);
    CHECK(make(pool, pool.as(kRootNode), "later") == std::nullopt);
    CHECK(pool.count("demotions") == 1);
    // For good, although statfs(2) has nothing against it any more.
    REQUIRE(mount.make_read_only(false));
    std::this_thread::sleep_for(std::chrono::milliseconds(260));
    CHECK(make(pool, pool.as(kRootNode), "last") == std::nullopt);
    CHECK(pool.exists(1, "last"));
    pool.fs().idle();
  }
}

TEST_CASE("a branch that takes nothing is demoted, though its file system does not say read-only") {
  for (const int no_unnamed : {EOPNOTSUPP, EISDIR, EROFS}) {
    CAPTURE(no_unnamed);
    FaultyBacking* faulty = nullptr;
    PoolFixture pool(
        {"RW", "RW"},
        [&](ops::Backing& real) {
          auto made = std::make_unique<FaultyBacking>(real);
          faulty = made.get();
          return made;
        },
        with_create_policy("ff"));
    faulty->fail({Call::kMkdirAt}, EROFS);
    faulty->fail({Call::kOpenUnnamed}, no_unnamed);
    if (no_unnamed != EROFS) faulty->fail({Call::kOpenAt}, EROFS);
    CHECK(makers().at("mkdir")(pool, pool.as(kRootNode), "x") == std::nullopt);
    CHECK(pool.exists(1, "x"));
    CHECK(pool.count("demotions") == 1);
    faulty->reset();
    CHECK(makers().at("mkdir")(pool, pool.as(kRootNode), "y") == std::nullopt);
    CHECK(pool.exists(1, "y"));
    // One that can be written after all leaves nothing behind.
    faulty->fail({Call::kMkdirAt}, EROFS);
    faulty->fail({Call::kOpenUnnamed}, EOPNOTSUPP);
    CHECK(makers().at("mkdir")(pool, pool.as(kRootNode), "z") == Errno{EROFS});
    CHECK(pool.count("demotions") == 1);
    CHECK(std::filesystem::is_empty(pool.branch(0)));
  }
}

TEST_CASE("an EROFS of something inside a branch demotes nothing, and another branch is taken") {
  FaultyBacking* faulty = nullptr;
  PoolFixture pool({"RW", "RW"}, [&](ops::Backing& real) {
    auto made = std::make_unique<FaultyBacking>(real);
    faulty = made.get();
    return made;
  });
  pool.settings().move_when_full = nullptr;
  faulty->fail({Call::kMkdirAt, 1, FaultyBacking::kAlways}, EROFS);
  CHECK(makers().at("mkdir")(pool, pool.as(kRootNode), "x") == Errno{EROFS});
  faulty->reset();
  faulty->fail({Call::kMkdirAt}, EROFS);
  CHECK(makers().at("mkdir")(pool, pool.as(kRootNode), "elsewhere") == std::nullopt);
  CHECK(pool.exists(0, "elsewhere") != pool.exists(1, "elsewhere"));
  CHECK(pool.count("demotions") == 0);
  faulty->reset();
  faulty->fail({Call::kMkdirAt}, ENOSPC);
  CHECK(makers().at("mkdir")(pool, pool.as(kRootNode), "x") == Errno{ENOSPC});
  CHECK(makers().at("mkdir")(pool, pool.as(kRootNode), "x") == std::nullopt);
}

TEST_CASE("running out of descriptors lets go of idle ones and tries again") {
  FaultyBacking* faulty = nullptr;
  PoolFixture pool({"RW"}, [&](ops::Backing& real) {
    auto made = std::make_unique<FaultyBacking>(real);
    faulty = made.get();
    return made;
  });
  for (const int error : {EMFILE, ENFILE}) {
    faulty->reset();
    faulty->fail({Call::kOpenAt}, error);
    CHECK(makers().at("create")(pool, pool.as(kRootNode), "f" + std::to_string(error)) ==
          std::nullopt);
  }
  CHECK(pool.count("descriptor_shortages") == 2);
}

TEST_CASE("whichever call fails, what is new is whole or not there") {
  auto all = makers();
  all["tmpfile"] = [](PoolFixture& pool, const Context& context, std::string_view) {
    return dropped(pool.fs().tmpfile(context, tmpfile_request()));
  };
  for (const auto& maker : all) {
    const auto& name = maker.first;
    const auto& make = maker.second;
    CAPTURE(name);
    bool failed = true;
    for (std::uint64_t k = 1; failed; ++k) {
      CAPTURE(k);
      REQUIRE(k < 200);
      FaultyBacking* faulty = nullptr;
      PoolFixture pool(
          {"RW", "RW"},
          [&](ops::Backing& real) {
            auto made = std::make_unique<FaultyBacking>(real);
            faulty = made.get();
            return made;
          },
          with_create_policy("ff"));
      pool.directory(1, "a/b");
      const NodeId parent = pool.walk("a/b");
      const auto lookups = pool.count("lookups");
      faulty->reset();
      faulty->fail({Call::kAny, k}, EIO);
      const std::uint32_t uid = is_root() ? 1000 : ::geteuid();
      const auto error = make(pool, pool.as(parent, uid, uid), "x");
      failed = faulty->failures() > 0;
      faulty->reset();
      CHECK(pool.count("lookups") == lookups);
      CHECK(pool.count("handles") == 0);
      // A branch that cannot be asked for its free space is passed over.
      const int copies = pool.exists(0, "a/b/x") + pool.exists(1, "a/b/x");
      CHECK(copies == (!error && name != "tmpfile" ? 1 : 0));
      for (const auto& entry : tree_of(pool.branch(0)))
        CHECK_MESSAGE(entry.first.find(".boughfs") == std::string::npos, entry.first);
      if (!failed) CHECK(error == std::nullopt);
    }
  }
}

TEST_CASE("clone: each directory as its own shown copy is, not as that above the last one") {
  PoolFixture pool({"RW", "NC", "NC"}, {}, with_create_policy("ff"));
  pool.directory(1, "d");
  pool.directory(2, "d/e");
  const auto shown = std::filesystem::last_write_time(pool.branch(1) / "d") - std::chrono::hours(5);
  std::filesystem::last_write_time(pool.branch(1) / "d", shown);
  std::filesystem::permissions(pool.branch(1) / "d", std::filesystem::perms(0750));
  std::filesystem::permissions(pool.branch(2) / "d", std::filesystem::perms(0777));

  const NodeId parent = pool.walk("d/e");
  auto reply = pool.fs().create(pool.as(parent), create_request(pool, "f"));
  REQUIRE(reply.has_value());
  CHECK(std::filesystem::exists(pool.branch(0) / "d/e/f"));
  CHECK(std::filesystem::last_write_time(pool.branch(0) / "d") == shown);
  CHECK(std::filesystem::status(pool.branch(0) / "d").permissions() ==
        std::filesystem::perms(0750));
}

}  // namespace bough::test
