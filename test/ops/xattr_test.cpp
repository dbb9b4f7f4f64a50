#include <doctest/doctest.h>
#include <sys/xattr.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "test/support/full_root.hpp"
#include "test/support/pool_fixture.hpp"

using namespace bough;
using test::Call;
using test::FaultyBacking;
using test::PoolFixture;

namespace {

template <class T>
int errno_of(const proto::Result<T>& reply) {
  return reply ? 0 : reply.error().value();
}

proto::SetxattrRequest set_of(std::string_view name, std::string_view value,
                              std::uint32_t flags = 0) {
  proto::SetxattrRequest request;
  request.name = name;
  request.value = std::as_bytes(std::span(value.data(), value.size()));
  request.flags = flags;
  return request;
}

std::string native(const std::filesystem::path& path, const char* name) {
  std::array<char, 256> value;
  const ssize_t size = ::lgetxattr(path.c_str(), name, value.data(), value.size());
  return size < 0 ? "(none)" : std::string(value.data(), static_cast<std::size_t>(size));
}

std::string text_of(const std::vector<std::byte>& out, std::size_t size) {
  return {reinterpret_cast<const char*>(out.data()), size};
}

}  // namespace

TEST_CASE("xattr: an access ACL has the mode with it, which the kernel is told") {
  PoolFixture pool;
  pool.file(0, "f");
  const auto f = pool.walk("f");
  // rw-r-----, as acl(5) has it in an xattr: tag, permissions, id of each.
  const std::string acl(
      "\2\0\0\0"
      "\1\0\6\0\377\377\377\377"
      "\4\0\4\0\377\377\377\377"
      "\40\0\0\0\377\377\377\377",
      28);
  const auto told = [&] {
    const auto all = std::exchange(pool.port().notifications, {});
    return std::count_if(all.begin(), all.end(), [&](const proto::Notification& each) {
      const auto* const one = std::get_if<proto::InvalidateInode>(&each);
      return one != nullptr && one->node == f && one->offset < 0;
    });
  };
  REQUIRE(errno_of(pool.fs().setxattr(pool.as(f), set_of("user.a", "v"))) == 0);
  CHECK(told() == 0);
  REQUIRE(errno_of(pool.fs().setxattr(pool.as(f), set_of("system.posix_acl_access", acl))) == 0);
  CHECK(told() == 1);
  using std::filesystem::perms;
  CHECK(std::filesystem::status(pool.branch(0) / "f").permissions() ==
        (perms::owner_read | perms::owner_write | perms::group_read));
  proto::RemovexattrRequest removal;
  removal.name = "system.posix_acl_access";
  static_cast<void>(pool.fs().removexattr(pool.as(f), removal));
  CHECK(told() == 1);
}

TEST_CASE("xattr: set, get, list, remove") {
  PoolFixture pool;
  pool.file(0, "f");
  pool.directory(0, "d");
  std::vector<std::byte> out(65536);
  for (const char* name : {"f", "d"}) {
    CAPTURE(name);
    const auto node = pool.walk(name);
    CHECK(errno_of(pool.fs().setxattr(pool.as(node), set_of("user.a", "value"))) == 0);
    CHECK(native(pool.branch(0) / name, "user.a") == "value");
    const auto got = pool.fs().getxattr(pool.as(node), {"user.a", 65536}, out);
    REQUIRE(got.has_value());
    CHECK(text_of(out, *got) == "value");
    CHECK(errno_of(pool.fs().setxattr(pool.as(node), set_of("user.a", "x", XATTR_CREATE))) ==
          EEXIST);
    CHECK(errno_of(pool.fs().setxattr(pool.as(node), set_of("user.b", "x", XATTR_REPLACE))) ==
          ENODATA);
    const auto listed = pool.fs().listxattr(pool.as(node), {65536}, out);
    REQUIRE(listed.has_value());
    CHECK(text_of(out, *listed) == std::string("user.a\0", 7));
    CHECK(errno_of(pool.fs().removexattr(pool.as(node), {"user.a"})) == 0);
    CHECK(errno_of(pool.fs().getxattr(pool.as(node), {"user.a", 65536}, out)) == ENODATA);
    CHECK(errno_of(pool.fs().removexattr(pool.as(node), {"user.a"})) == ENODATA);
  }
}

TEST_CASE("xattr: size 0 asks for the length; too small is ERANGE, never a part") {
  PoolFixture pool;
  pool.file(0, "f");
  const auto f = pool.walk("f");
  REQUIRE(pool.fs().setxattr(pool.as(f), set_of("user.name", "12345")).has_value());
  std::vector<std::byte> out(65536);
  CHECK(*pool.fs().getxattr(pool.as(f), {"user.name", 0}, out) == 5);
  CHECK(*pool.fs().getxattr(pool.as(f), {"user.name", 0}, {}) == 5);
  CHECK(*pool.fs().getxattr(pool.as(f), {"user.name", 5}, out) == 5);
  CHECK(errno_of(pool.fs().getxattr(pool.as(f), {"user.name", 4}, out)) == ERANGE);
  CHECK(*pool.fs().listxattr(pool.as(f), {0}, out) == 10);
  CHECK(*pool.fs().listxattr(pool.as(f), {10}, out) == 10);
  CHECK(errno_of(pool.fs().listxattr(pool.as(f), {9}, out)) == ERANGE);
  REQUIRE(pool.fs().setxattr(pool.as(f), set_of("user.empty", "")).has_value());
  CHECK(*pool.fs().getxattr(pool.as(f), {"user.empty", 10}, out) == 0);
}

TEST_CASE("xattr: trusted ones are listed to root alone, as natively") {
  if (!test::may_act_as_root()) return;
  PoolFixture pool;
  pool.file(0, "f");
  const auto f = pool.walk("f");
  for (const char* name : {"trusted.a", "user.b", "trusted.c"})
    REQUIRE(pool.fs().setxattr(pool.as(f), set_of(name, "x")).has_value());
  std::vector<std::byte> out(1024);
  CHECK(*pool.fs().listxattr(pool.as(f), {1024}, out) == 27);
  const auto listed = pool.fs().listxattr(pool.as(f, 1000, 1000), {1024}, out);
  REQUIRE(listed.has_value());
  CHECK(text_of(out, *listed) == std::string("user.b\0", 7));
}

TEST_CASE("xattr: of a symlink itself") {
  if (!test::may_act_as_root()) return;
  PoolFixture pool;
  pool.file(0, "target");
  std::filesystem::create_symlink("target", pool.branch(0) / "link");
  const auto link = pool.walk("link");
  CHECK(errno_of(pool.fs().setxattr(pool.as(link), set_of("trusted.a", "v"))) == 0);
  CHECK(native(pool.branch(0) / "link", "trusted.a") == "v");
  CHECK(native(pool.branch(0) / "target", "trusted.a") == "(none)");
}

TEST_CASE("xattr: other copies follow; read-only branches do not and may refuse") {
  PoolFixture pool({"RW", "RW", "RO"});
  for (std::size_t i = 0; i < 3; ++i) pool.file(i, "f");
  pool.file(2, "fixed");
  const auto f = pool.walk("f");
  CHECK(errno_of(pool.fs().setxattr(pool.as(f), set_of("user.a", "v"))) == 0);
  CHECK(native(pool.branch(0) / "f", "user.a") == "v");
  CHECK(native(pool.branch(1) / "f", "user.a") == "v");
  CHECK(native(pool.branch(2) / "f", "user.a") == "(none)");
  CHECK(errno_of(pool.fs().removexattr(pool.as(f), {"user.a"})) == 0);
  CHECK(native(pool.branch(1) / "f", "user.a") == "(none)");
  const auto fixed = pool.walk("fixed");
  CHECK(errno_of(pool.fs().setxattr(pool.as(fixed), set_of("user.a", "v"))) == EROFS);
  CHECK(errno_of(pool.fs().removexattr(pool.as(fixed), {"user.a"})) == EROFS);
}

TEST_CASE("xattr: an ACL set by a stranger to the group takes set-group-id away") {
  PoolFixture pool;
  pool.file(0, "f", "", 02755);
  const auto f = pool.walk("f");
  auto request = set_of("user.stands-for-acl", "v");
  CHECK(errno_of(pool.fs().setxattr(pool.as(f), request)) == 0);
  CHECK((pool.stat(0, "f").st_mode & 07777) == 02755);
  request.acl_kill_sgid = true;
  CHECK(errno_of(pool.fs().setxattr(pool.as(f), request)) == 0);
  CHECK((pool.stat(0, "f").st_mode & 07777) == 0755);
}

TEST_CASE("xattr: whichever call fails, nothing is lost") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW"}, test::with_faults(faults));
  pool.file(0, "d/f", "", 02755);
  pool.file(1, "d/f");
  const auto f = pool.walk("d/f");
  REQUIRE(pool.fs().setxattr(pool.as(f), set_of("user.keep", "v")).has_value());
  std::vector<std::byte> out(1024);
  auto request = set_of("user.a", "v");
  request.acl_kill_sgid = true;
  for (const int error : {EIO, EMFILE}) {
    const auto each = [&](const std::function<int()>& operation,
                          const std::function<void(bool)>& settle = {}) {
      test::fail_each_call(pool, *faults, error, operation, settle);
    };
    each([&] { return errno_of(pool.fs().setxattr(pool.as(f), request)); });
    each([&] { return errno_of(pool.fs().getxattr(pool.as(f), {"user.keep", 100}, out)); });
    each([&] { return errno_of(pool.fs().listxattr(pool.as(f), {1024}, out)); });
    each([&] { return errno_of(pool.fs().removexattr(pool.as(f), {"user.a"})); },
         [&](bool succeeded) {
           if (succeeded) REQUIRE(pool.fs().setxattr(pool.as(f), request).has_value());
         });
  }
}

TEST_CASE("the option xattr: none, or not supported, and as it was again") {
  PoolFixture pool;
  pool.file(0, "f");
  const auto node = pool.as(pool.walk("f"));
  std::vector<std::byte> out(65536);
  REQUIRE(errno_of(pool.fs().setxattr(node, set_of("user.a", "value"))) == 0);
  for (const auto& [mode, expected] : {std::pair{ops::XattrMode::kNoattr, ENODATA},
                                       std::pair{ops::XattrMode::kNosys, EOPNOTSUPP}}) {
    pool.settings().xattr = mode;
    CHECK(errno_of(pool.fs().setxattr(node, set_of("user.a", "other"))) == expected);
    CHECK(errno_of(pool.fs().getxattr(node, {"user.a", 100}, out)) == expected);
    CHECK(errno_of(pool.fs().getxattr(node, {"user.mergerfs.basepath", 100}, out)) == expected);
    CHECK(errno_of(pool.fs().removexattr(node, {"user.a"})) == expected);
    const auto names = pool.fs().listxattr(node, {100}, out);
    CHECK(errno_of(names) == (mode == ops::XattrMode::kNoattr ? 0 : EOPNOTSUPP));
    if (names) CHECK(*names == 0);
  }
  pool.settings().xattr = ops::XattrMode::kPassthrough;
  const auto value = pool.fs().getxattr(node, {"user.a", 100}, out);
  REQUIRE(value.has_value());
  CHECK(text_of(out, *value) == "value");
}

TEST_CASE("security-capability=false: no file has any, none is set") {
  if (!test::may_act_as_root()) return;
  PoolFixture pool;
  pool.file(0, "f");
  const auto node = pool.as(pool.walk("f"));
  // struct vfs_cap_data, revision 2, with CAP_CHOWN.
  const std::string capability("\1\0\0\2\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  std::vector<std::byte> out(4096);
  REQUIRE(errno_of(pool.fs().setxattr(node, set_of("security.capability", capability))) == 0);
  pool.settings().security_capability = false;
  CHECK(errno_of(pool.fs().getxattr(node, {"security.capability", 100}, out)) == ENODATA);
  CHECK(errno_of(pool.fs().setxattr(node, set_of("security.capability", capability))) == ENODATA);
  CHECK(errno_of(pool.fs().setxattr(node, set_of("user.a", "value"))) == 0);
  pool.settings().security_capability = true;
  CHECK(errno_of(pool.fs().getxattr(node, {"security.capability", 100}, out)) == 0);
}
