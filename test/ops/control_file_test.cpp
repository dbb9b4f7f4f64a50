#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <variant>

#include "ops/control_names.hpp"
#include "test/support/full_root.hpp"
#include "test/support/pool_fixture.hpp"

namespace bough::test {
namespace {

using proto::HandleId;
using proto::kRootNode;
using proto::NodeId;

template <class T>
int errno_of(const proto::Result<T>& reply) {
  return reply ? 0 : reply.error().value();
}

NodeId control(PoolFixture& pool, std::string_view name = ".boughfs") {
  return pool.walk(name);
}

int set(PoolFixture& pool, NodeId node, std::string_view name, std::string_view value,
        std::uint32_t flags = 0) {
  proto::SetxattrRequest request;
  request.name = name;
  request.value = std::as_bytes(std::span(value.data(), value.size()));
  request.flags = flags;
  return errno_of(pool.fs().setxattr(pool.as(node), request));
}

/// "errno N" when refused.
std::string get(PoolFixture& pool, NodeId node, std::string_view name) {
  std::string out(65536, '\0');
  const auto got = pool.fs().getxattr(pool.as(node), {name, 65536},
                                      std::as_writable_bytes(std::span(out.data(), out.size())));
  if (!got) return "errno " + std::to_string(got.error().value());
  out.resize(*got);
  return out;
}

std::vector<std::string> listed(PoolFixture& pool, NodeId node) {
  std::vector<std::byte> out(65536);
  const auto got = pool.fs().listxattr(pool.as(node), {65536}, out);
  REQUIRE(got.has_value());
  std::vector<std::string> names;
  for (std::size_t at = 0; at < *got;) {
    names.emplace_back(reinterpret_cast<const char*>(out.data()) + at);
    at += names.back().size() + 1;
  }
  return names;
}

std::vector<std::string> listed_plus(PoolFixture& pool) {
  auto opened = pool.fs().opendir(pool.as(kRootNode), {});
  REQUIRE(opened.has_value());
  const HandleId handle = pool.keep(*opened, true);
  std::vector<std::byte> buffer(65536);
  proto::DirentPlusPacker packer(buffer, pool.fs());
  proto::ReaddirplusRequest request;
  request.handle = handle;
  request.size = 65536;
  REQUIRE(pool.fs().readdirplus(pool.as(kRootNode), request, packer).has_value());
  const std::string_view bytes(reinterpret_cast<const char*>(buffer.data()), packer.size());
  std::vector<std::string> found;
  for (const char* name : {".boughfs", ".mergerfs", "file"})
    if (bytes.find(name) != std::string_view::npos) found.emplace_back(name);
  pool.release(handle);
  return found;
}

}  // namespace

TEST_CASE("the control file is found in the root alone, and never asked of a branch") {
  PoolFixture pool({"RW", "RW"});
  pool.file(0, ".mergerfs", "real");
  pool.file(1, "d/.boughfs", "ordinary");
  pool.file(1, "file");
  for (const char* name : {".boughfs", ".mergerfs"}) {
    CAPTURE(name);
    auto found = pool.lookup(kRootNode, name);
    REQUIRE(found.has_value());
    CHECK(found->entry.attr.mode == (S_IFREG | 0664));
    CHECK(found->entry.attr.size == 0);
    CHECK(found->entry.attr.nlink == 1);
    CHECK(found->entry.attr.uid == ::geteuid());
    CHECK(found->entry.attr.gid == ::getegid());
    CHECK(found->entry.attr_valid == std::chrono::seconds(1));
    const NodeId node = pool.keep(*found);
    const auto attr = pool.fs().getattr(pool.as(node), {});
    REQUIRE(attr.has_value());
    CHECK(attr->attr.ino == found->entry.attr.ino);
    CHECK(attr->attr.mtime.seconds == found->entry.attr.mtime.seconds);
    CHECK(attr->attr.mtime.seconds > 1'500'000'000);
    const auto statx = pool.fs().statx(pool.as(node), {});
    REQUIRE(statx.has_value());
    CHECK((statx->mask & 0x7ffU) == 0x7ff);
    CHECK(statx->attr.mode == (S_IFREG | 0664));
    CHECK(pool.fs().pool_path(node) == "/" + std::string(name));

    // By file handle, as NFS asks.
    proto::LookupRequest self;
    self.target = proto::LookupRequest::Target::kSelf;
    const auto again = pool.fs().lookup(pool.as(node), self);
    REQUIRE(again.has_value());
    CHECK(again->entry.node == node);
    self.target = proto::LookupRequest::Target::kParent;
    auto above = pool.fs().lookup(pool.as(node), self);
    REQUIRE(above.has_value());
    CHECK(pool.keep(*above) == kRootNode);
  }
  CHECK(pool.walk(".boughfs") != pool.walk(".mergerfs"));
  const NodeId ordinary = pool.walk("d/.boughfs");
  CHECK_FALSE(ops::is_control_node(ordinary));
  CHECK(pool.count("lookups") == 4);
  CHECK(errno_of(pool.lookup(kRootNode, ".boughfs2")) == ENOENT);
  CHECK(errno_of(pool.lookup(pool.walk(".boughfs"), "x")) == ENOTDIR);

  CHECK(pool.list(kRootNode) == std::vector<std::string>{"d", "file"});
  CHECK(listed_plus(pool) == std::vector<std::string>{"file"});
  CHECK(pool.list(pool.walk("d")) == std::vector<std::string>{".boughfs"});
}

TEST_CASE("a real file of that name is hidden where one branch is read as it is") {
  PoolFixture pool;
  pool.file(0, ".boughfs", "real");
  pool.file(0, "file");
  CHECK(pool.list(kRootNode) == std::vector<std::string>{"file"});
  CHECK(listed_plus(pool) == std::vector<std::string>{"file"});
}

TEST_CASE("every key is listed and can be read, under both names") {
  PoolFixture pool({"RW", "NC", "RO"});
  const NodeId ours = control(pool);
  const NodeId theirs = control(pool, ".mergerfs");
  const auto names = listed(pool, ours);
  CHECK(std::is_sorted(names.begin(), names.end()));
  CHECK(std::find(names.begin(), names.end(), "user.boughfs.srcmounts") != names.end());
  CHECK(std::find(names.begin(), names.end(), "user.boughfs.cache.attr") != names.end());
  CHECK(std::find(names.begin(), names.end(), "user.boughfs.attr-timeout") == names.end());
  const auto peers = listed(pool, theirs);
  REQUIRE(peers.size() == names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string key = names[i].substr(std::string_view("user.boughfs.").size());
    CAPTURE(key);
    CHECK(peers[i] == "user.mergerfs." + key);
    const std::string value = get(pool, ours, names[i]);
    CHECK_FALSE(value.starts_with("errno"));
    for (const NodeId node : {ours, theirs}) {
      CHECK(get(pool, node, "user.boughfs." + key) == value);
      CHECK(get(pool, node, "user.mergerfs." + key) == value);
    }
  }
  const std::string first = pool.branch(0);
  const std::string second = pool.branch(1);
  const std::string third = pool.branch(2);
  CHECK(get(pool, ours, "user.boughfs.branches") ==
        first + "=RW:" + second + "=NC:" + third + "=RO");
  CHECK(get(pool, ours, "user.mergerfs.srcmounts") == first + ":" + second + ":" + third);
  CHECK(get(pool, ours, "user.boughfs.attr-timeout") == "1");
  CHECK(get(pool, ours, "user.boughfs.attr_timeout") == "1");
  for (const char* name : {"user.boughfs.nothing", "user.boughfs.", "user.boughfs", "user.other",
                           "security.capability", "user.boughfs.cmd.gc", "branches"}) {
    CAPTURE(name);
    CHECK(get(pool, ours, name) == "errno " + std::to_string(ENODATA));
  }
}

TEST_CASE("a branch's own minimum is shown as it was given") {
  PoolFixture pool({"RW,3G", "RO"});
  CHECK(get(pool, control(pool), "user.boughfs.branches") ==
        pool.branch(0).string() + "=RW,3G:" + pool.branch(1).string() + "=RO");
}

TEST_CASE("a buffer that is too small is told so, none asks for the length") {
  PoolFixture pool;
  pool.file(0, "f");
  const std::string value = get(pool, control(pool), "user.boughfs.srcmounts");
  const auto need = static_cast<std::uint32_t>(value.size());
  std::vector<std::byte> out(65536);
  const auto ask = [&](NodeId node, const char* name, std::uint32_t size) {
    return pool.fs().getxattr(pool.as(node), {name, size}, out);
  };
  for (const auto& [node, name] : {std::pair{control(pool), "user.boughfs.srcmounts"},
                                   std::pair{pool.walk("f"), "user.boughfs.basepath"}}) {
    CHECK(*ask(node, name, 0) == need);
    CHECK(errno_of(ask(node, name, need - 1)) == ERANGE);
    CHECK(*ask(node, name, need) == need);
  }
  const auto length = pool.fs().listxattr(pool.as(control(pool)), {0}, out);
  REQUIRE(length.has_value());
  const auto size = static_cast<std::uint32_t>(*length);
  CHECK(errno_of(pool.fs().listxattr(pool.as(control(pool)), {size - 1}, out)) == ERANGE);
  CHECK(*pool.fs().listxattr(pool.as(control(pool)), {size}, out) == size);
}

TEST_CASE("what is set is in force at once, what is wrong is refused and told") {
  PoolFixture pool({"RW", "RW"});
  const NodeId node = control(pool);
  CHECK(set(pool, node, "user.boughfs.cache.attr", "7.5") == 0);
  CHECK(get(pool, node, "user.mergerfs.cache.attr") == "7.5");
  CHECK(pool.lookup(kRootNode, ".boughfs")->entry.attr_valid == std::chrono::milliseconds(7500));
  CHECK(set(pool, node, "user.mergerfs.attr_timeout", "2", XATTR_REPLACE) == 0);
  CHECK(get(pool, node, "user.boughfs.cache.attr") == "2");

  CHECK(set(pool, node, "user.boughfs.category.create", "ff") == 0);
  for (const char* name : {"1", "2", "3", "4"}) {
    proto::CreateRequest request{*proto::Name::check(name), O_WRONLY | O_CREAT, 0644, 0, false, {}};
    auto made = pool.fs().create(pool.as(kRootNode), request);
    REQUIRE(made.has_value());
    pool.keep(made->entry);
    pool.keep(made->open);
    CHECK(pool.exists(0, name));
  }

  CHECK(pool.complaints.empty());
  CHECK(set(pool, node, "user.boughfs.cache.attr", "soon\n") == EINVAL);
  CHECK(set(pool, node, "user.boughfs.cache.attr", "") == EINVAL);
  CHECK(set(pool, node, "user.boughfs.category.create", std::string(1000, 'x')) == EINVAL);
  REQUIRE(pool.complaints.size() == 3);
  CHECK(pool.complaints[0] ==
        "control file: cache.attr=soon?: cache.attr wants a number of seconds such as 1 or 0.5");
  CHECK(pool.complaints[2].size() < 500);
  CHECK(get(pool, node, "user.boughfs.cache.attr") == "2");

  CHECK(set(pool, node, "user.boughfs.cache.attr", "3", XATTR_CREATE) == EEXIST);
  CHECK(set(pool, node, "user.boughfs.cache_attr", "3") == ENODATA);
  CHECK(set(pool, node, "user.boughfs.nothing", "3") == ENODATA);
  CHECK(set(pool, node, "user.boughfs.cmd.nothing", "3") == ENODATA);
  CHECK(set(pool, node, "user.other", "3") == ENODATA);
  CHECK(set(pool, node, "security.selinux", "3") == ENODATA);
  CHECK(set(pool, node, "user.boughfs.srcmounts", pool.branch(0).string()) == EROFS);
  CHECK(errno_of(pool.fs().removexattr(pool.as(node), {"user.boughfs.cache.attr"})) == ENODATA);
  CHECK(pool.complaints.size() == 3);
}

TEST_CASE("nothing else can be done with the control file, and a real one behind it stays") {
  PoolFixture pool({"RW", "RW"});
  pool.file(0, ".boughfs", "real", 0600);
  pool.file(1, "file", "text");
  const NodeId node = control(pool);
  const NodeId file = pool.walk("file");
  auto& fs = pool.fs();
  const auto at = [&](NodeId where) { return pool.as(where); };
  const proto::Name name = pool.name(".boughfs");
  const proto::Name other = pool.name("file");

  for (const int flags : {O_RDONLY, O_RDWR, O_WRONLY | O_TRUNC})
    CHECK(errno_of(fs.open(at(node), {static_cast<std::uint32_t>(flags), false})) == EPERM);
  CHECK(errno_of(fs.opendir(at(node), {})) == ENOTDIR);
  CHECK(errno_of(fs.readlink(at(node), {}, {})) == EINVAL);
  proto::SetattrRequest change;
  change.mode = 0777;
  CHECK(errno_of(fs.setattr(at(node), change)) == EPERM);
  change.mode.reset();
  change.size = 0;
  CHECK(errno_of(fs.setattr(at(node), change)) == EPERM);
  CHECK(errno_of(fs.access(pool.as(node, 1000, 1000), {R_OK})) == 0);
  CHECK(errno_of(fs.access(pool.as(node, 1000, 1000), {W_OK})) == EACCES);
  CHECK(errno_of(fs.access(at(node), {R_OK | W_OK})) == 0);
  CHECK(errno_of(fs.access(at(node), {X_OK})) == EACCES);

  CHECK(errno_of(fs.unlink(at(kRootNode), {name})) == EPERM);
  CHECK(errno_of(fs.rmdir(at(kRootNode), {name})) == ENOTDIR);
  CHECK(errno_of(fs.rename(at(kRootNode), {kRootNode, name, pool.name("new"), 0})) == EPERM);
  CHECK(errno_of(fs.rename(at(kRootNode), {kRootNode, other, name, 0})) == EPERM);
  CHECK(errno_of(fs.rename(at(kRootNode), {kRootNode, other, name, 1})) == EEXIST);
  CHECK(errno_of(fs.rename(at(kRootNode), {kRootNode, other, name, 2})) == EPERM);
  CHECK(errno_of(fs.link(at(kRootNode), {node, pool.name("new")})) == EPERM);
  CHECK(errno_of(fs.link(at(kRootNode), {file, name})) == EEXIST);
  proto::MkdirRequest directory{name, 0755, 0, {}};
  CHECK(errno_of(fs.mkdir(at(kRootNode), directory)) == EEXIST);
  proto::MknodRequest special{name, S_IFREG | 0644, 0, 0, {}};
  CHECK(errno_of(fs.mknod(at(kRootNode), special)) == EEXIST);
  proto::SymlinkRequest symlink{name, "file", {}};
  CHECK(errno_of(fs.symlink(at(kRootNode), symlink)) == EEXIST);
  proto::CreateRequest create{name, O_WRONLY | O_CREAT, 0644, 0, false, {}};
  CHECK(errno_of(fs.create(at(kRootNode), create)) == EEXIST);
  proto::IoctlRequest ioctl;
  CHECK(errno_of(fs.ioctl(at(node), ioctl, {})) == ENOTTY);

  CHECK(pool.text(0, ".boughfs") == "real");
  CHECK((pool.stat(0, ".boughfs").st_mode & 07777) == 0600);
  CHECK_FALSE(pool.exists(1, ".boughfs"));
  CHECK_FALSE(pool.exists(0, "new"));
  CHECK_FALSE(pool.exists(1, "new"));
  CHECK(pool.text(1, "file") == "text");
}

TEST_CASE("it waits for no branch") {
  PoolFixture pool;
  pool.file(0, "f");
  proto::RequestHeader header;
  header.node = kRootNode;
  proto::LookupRequest look;
  look.name = pool.name(".mergerfs");
  const std::uint32_t lane = pool.fs().lane(header, look);
  CHECK(lane > 128);
  look.name = pool.name("f");
  CHECK(pool.fs().lane(header, look) == 0);
  header.node = control(pool);
  CHECK(pool.fs().lane(header, proto::GetxattrRequest{}) == lane);
  header.node = pool.walk("f");
  CHECK(pool.fs().lane(header, proto::GetxattrRequest{}) == 0);
}

TEST_CASE("cmd.gc lets go of what an idle pool need not hold") {
  PoolFixture pool({"RW", "RW"});
  pool.file(0, "d/f");
  (void)pool.walk("d/f");
  const NodeId node = control(pool);
  const std::size_t before = open_descriptors();
  CHECK(set(pool, node, "user.mergerfs.cmd.gc", "") == 0);
  CHECK(open_descriptors() < before);
  CHECK(set(pool, node, "user.mergerfs.cmd.gc1", "anything") == 0);
  CHECK(set(pool, node, "user.mergerfs.cmd.gc", "", XATTR_CREATE) == EEXIST);
  CHECK(pool.complaints.empty());
}

TEST_CASE("cmd.invalidate-all-nodes names what the root holds, or says what kept it from that") {
  PoolFixture pool({"RW", "RW"});
  pool.file(0, "d/deep");
  pool.file(1, "f");
  const NodeId directory = pool.walk("d");
  const NodeId file = pool.walk("f");
  (void)pool.walk("d/deep");
  const NodeId node = control(pool);
  const char* const command = "user.boughfs.cmd.invalidate-all-nodes";
  CHECK(set(pool, node, command, "") == 0);
  const auto& sent = pool.port().notifications;
  REQUIRE(sent.size() == 5);
  std::vector<std::pair<NodeId, std::string>> seen;
  for (std::size_t i = 0; i < 4; i += 2) {
    const auto* inode = std::get_if<proto::InvalidateInode>(&sent[i]);
    const auto* entry = std::get_if<proto::InvalidateEntry>(&sent[i + 1]);
    REQUIRE(inode != nullptr);
    REQUIRE(entry != nullptr);
    CHECK(inode->offset == 0);
    CHECK(inode->length == 0);
    CHECK(entry->parent == kRootNode);
    CHECK_FALSE(entry->expire_only);
    seen.emplace_back(inode->node, entry->name);
  }
  std::sort(seen.begin(), seen.end(),
            [](const auto& a, const auto& b) { return a.second < b.second; });
  CHECK(seen == std::vector<std::pair<NodeId, std::string>>{{directory, "d"}, {file, "f"}});

  CHECK(std::holds_alternative<proto::NotifyIncrementEpoch>(sent[4]));

  pool.port().room = sent.size() + 3;
  CHECK(set(pool, node, command, "") == EAGAIN);
  REQUIRE(pool.complaints.size() == 1);
  CHECK(pool.complaints[0].find("set it again") != std::string::npos);
  CHECK(sent.size() == 8);
  pool.port().room = sent.size() + 4;
  CHECK(set(pool, node, command, "") == EAGAIN);
  REQUIRE(pool.complaints.size() == 2);
  CHECK(sent.size() == 12);

  pool.mounted_inside = "/pool/stick";
  CHECK(set(pool, node, command, "") == EBUSY);
  REQUIRE(pool.complaints.size() == 3);
  CHECK(pool.complaints[2].find("/pool/stick") != std::string::npos);
  CHECK(sent.size() == 12);
}

TEST_CASE("settings are read while they are set") {
  PoolFixture pool;
  const NodeId node = control(pool);
  const auto context = pool.as(node);
  const auto change = [&](std::string_view name, std::string_view value) {
    proto::SetxattrRequest request;
    request.name = name;
    request.value = std::as_bytes(std::span(value.data(), value.size()));
    return errno_of(pool.fs().setxattr(context, request));
  };
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int each = 0; each < 3; ++each) {
    threads.emplace_back([&, each] {
      for (int i = 0; i < 300; ++i) {
        const bool odd = (i + each) % 2 != 0;
        if (change("user.boughfs.minfreespace", odd ? "auto" : "1G") != 0) ++wrong;
        if (change("user.boughfs.category.create", odd ? "ff" : "mfs") != 0) ++wrong;
        std::array<std::byte, 64> out;
        for (const char* name : {"user.boughfs.minfreespace", "user.boughfs.category.create"}) {
          const auto got = pool.fs().getxattr(context, {name, 64}, out);
          const std::string_view text(reinterpret_cast<const char*>(out.data()), got ? *got : 0);
          if (text != "auto" && text != "1G" && text != "ff" && text != "mfs") ++wrong;
        }
      }
    });
  }
  for (std::thread& each : threads) each.join();
  CHECK(wrong == 0);
}

TEST_CASE("the virtual attributes of files and directories") {
  PoolFixture pool({"RW", "NC", "RW"});
  pool.file(1, "d/f");
  pool.file(2, "d/f");
  pool.directory(0, "d");
  pool.file(2, "g");
  const auto expect = [&](NodeId node, const char* key, const std::string& value) {
    CAPTURE(key);
    CHECK(get(pool, node, std::string("user.boughfs.") + key) == value);
    CHECK(get(pool, node, std::string("user.mergerfs.") + key) == value);
  };
  const std::string first = pool.branch(0);
  const std::string second = pool.branch(1);
  const std::string third = pool.branch(2);
  const std::string nul(1, '\0');

  expect(kRootNode, "basepath", first);
  expect(kRootNode, "relpath", "");
  expect(kRootNode, "fullpath", first + "/");
  expect(kRootNode, "allpaths", first + "/" + nul + second + "/" + nul + third + "/");
  const NodeId directory = pool.walk("d");
  expect(directory, "basepath", first);
  expect(directory, "relpath", "d");
  expect(directory, "fullpath", first + "/d");
  expect(directory, "allpaths", first + "/d" + nul + second + "/d" + nul + third + "/d");
  const NodeId file = pool.walk("d/f");
  expect(file, "basepath", second);
  expect(file, "relpath", "d/f");
  expect(file, "fullpath", second + "/d/f");
  expect(file, "allpaths", second + "/d/f" + nul + third + "/d/f");
  const NodeId alone = pool.walk("g");
  expect(alone, "relpath", "g");
  expect(alone, "fullpath", third + "/g");
  expect(alone, "allpaths", third + "/g");
  const std::string absent = "errno " + std::to_string(ENODATA);
  for (const char* key : {"version", "branches", "", "basepat", "cmd.gc"})
    expect(file, key, absent);

  // Open, and without a name.
  (void)pool.open(alone, O_RDONLY);
  REQUIRE(pool.fs().unlink(pool.as(kRootNode), {pool.name("g")}).has_value());
  for (const char* key : {"basepath", "relpath", "fullpath", "allpaths"})
    expect(alone, key, absent);
}

TEST_CASE("the virtual attributes on one branch") {
  PoolFixture pool;
  pool.file(0, "d/f");
  const NodeId file = pool.walk("d/f");
  const std::string top = pool.branch(0);
  CHECK(get(pool, file, "user.mergerfs.allpaths") == top + "/d/f");
  CHECK(get(pool, file, "user.mergerfs.basepath") == top);
  CHECK(get(pool, kRootNode, "user.mergerfs.fullpath") == top + "/");
}

TEST_CASE("a copy that cannot be asked for is not left out of allpaths") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW"}, with_faults(faults));
  pool.file(0, "f");
  pool.file(1, "f");
  const NodeId file = pool.walk("f");
  faults->fail({Call::kStatAt, 1, FaultyBacking::kAlways, pool.branch(1)}, EIO);
  CHECK(get(pool, file, "user.boughfs.allpaths") == "errno " + std::to_string(EIO));
}

TEST_CASE("names of the pool's own are never stored on a branch, and never shown from one") {
  if (!may_act_as_root()) return;
  PoolFixture pool;
  pool.file(0, "f");
  pool.directory(0, "d");
  for (const char* name : {"f", "d"}) {
    const std::string place = pool.branch(0) / name;
    REQUIRE(::setxattr(place.c_str(), "user.mergerfs.old", "1", 1, 0) == 0);
    REQUIRE(::setxattr(place.c_str(), "user.kept", "1", 1, 0) == 0);
    const NodeId node = pool.walk(name);
    CHECK(listed(pool, node) == std::vector<std::string>{"user.kept"});
    CHECK(get(pool, node, "user.mergerfs.old") == "errno " + std::to_string(ENODATA));
    for (const char* key : {"user.mergerfs.old", "user.boughfs.new", "user.boughfs.relpath"}) {
      CHECK(set(pool, node, key, "2") == EPERM);
      CHECK(errno_of(pool.fs().removexattr(pool.as(node), {key})) == EPERM);
    }
    CHECK(set(pool, node, "user.boughfs", "a user's own") == 0);
    std::array<char, 256> names{};
    const ssize_t size = ::listxattr(place.c_str(), names.data(), names.size());
    CHECK(std::string(names.data(), static_cast<std::size_t>(size)).find("new") ==
          std::string::npos);
  }
}

}  // namespace bough::test
