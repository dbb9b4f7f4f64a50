#include "ops/branch_editor.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <filesystem>
#include <variant>

#include "test/support/pool_fixture.hpp"

namespace bough::test {
namespace {

namespace fs = std::filesystem;
using proto::kRootNode;
using proto::NodeId;

template <class T>
int errno_of(const proto::Result<T>& reply) {
  return reply ? 0 : reply.error().value();
}

/// A pool with a place beside it for further branches.
struct Edited {
  TempDir beside;
  PoolFixture pool;

  explicit Edited(std::vector<std::string> modes = {"RW", "RW"}, const PoolFixture::Wrap& wrap = {},
                  const PoolFixture::Tune& tune = {})
      : pool(std::move(modes), wrap, tune) {}

  [[nodiscard]] std::string b(std::size_t index) const { return pool.branch(index).string(); }
  std::string directory(const std::string& name) const {
    fs::create_directories(beside.path() / name);
    return beside.path() / name;
  }
  int set(std::string_view value) {
    auto found = pool.lookup(kRootNode, ".boughfs");
    REQUIRE(found.has_value());
    proto::SetxattrRequest request;
    request.name = "user.boughfs.branches";
    request.value = std::as_bytes(std::span(value.data(), value.size()));
    return errno_of(pool.fs().setxattr(pool.as(found->entry.node), request));
  }
  std::string get(std::string_view key = "user.mergerfs.branches") {
    auto found = pool.lookup(kRootNode, ".boughfs");
    REQUIRE(found.has_value());
    std::string out(65536, '\0');
    const auto got = pool.fs().getxattr(pool.as(found->entry.node), {key, 65536},
                                        std::as_writable_bytes(std::span(out.data(), out.size())));
    REQUIRE(got.has_value());
    out.resize(*got);
    return out;
  }
  /// Refused with EINVAL, nothing changed, and the log says why.
  void refused(const std::string& value, std::string_view why) {
    CAPTURE(value);
    const std::string before = get();
    const std::size_t said = pool.complaints.size();
    CHECK(set(value) == EINVAL);
    CHECK(get() == before);
    REQUIRE(pool.complaints.size() == said + 1);
    CHECK_MESSAGE(pool.complaints.back().find(why) != std::string::npos, pool.complaints.back());
  }
  [[nodiscard]] bool shows(std::string_view name) {
    auto found = pool.lookup(kRootNode, name);
    if (found) pool.keep(*found);
    return found.has_value();
  }
  /// The descriptors of this process that lie below a directory.
  [[nodiscard]] static std::size_t open_below(const std::string& directory) {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
      std::error_code ignored;
      const std::string target = fs::read_symlink(entry.path(), ignored);
      count += target == directory || target.starts_with(directory + "/") ? 1 : 0;
    }
    return count;
  }
};

proto::Result<proto::AttrReply> truncate(PoolFixture& pool, NodeId node, proto::HandleId handle) {
  proto::SetattrRequest request;
  request.handle = handle;
  request.size = 3;
  return pool.fs().setattr(pool.as(node), request);
}

}  // namespace

TEST_CASE("branches: one is added though descriptors ran out for a moment") {
  FaultyBacking* faults = nullptr;
  Edited e({"RW"}, with_faults(faults));
  const std::string added = e.directory("added");
  faults->fail({Call::kOpenRoot, 1, 1, added}, EMFILE);
  CHECK(e.set("+" + added) == 0);
  CHECK(faults->failures() == 1);
  CHECK(e.get() == e.b(0) + "=RW:" + added + "=RW");
}

TEST_CASE("each branch instruction does what it says on a live pool") {
  Edited e({"RW", "NC,5G"});
  const std::string c = e.directory("c");
  const std::string d = e.directory("d");
  const std::string a = e.b(0) + "=RW";
  const std::string b = e.b(1) + "=NC,5G";
  CHECK(e.get() == a + ":" + b);
  CHECK(e.set("+" + c + "=RO") == 0);
  CHECK(e.get() == a + ":" + b + ":" + c + "=RO");
  CHECK(e.set("+>" + d + "=RW,1500") == 0);
  CHECK(e.get() == a + ":" + b + ":" + c + "=RO:" + d + "=RW,1500");
  CHECK(e.set("->") == 0);
  CHECK(e.set("+<" + d) == 0);
  CHECK(e.get() == d + "=RW:" + a + ":" + b + ":" + c + "=RO");
  CHECK(e.set("-<and more text") == 0);
  CHECK(e.get() == a + ":" + b + ":" + c + "=RO");
  CHECK(e.set("-*/b1:*/c") == 0);
  CHECK(e.get() == a);
  CHECK(e.set("+" + e.b(1) + "=NC,5G") == 0);
  CHECK(e.get() == a + ":" + b);
  CHECK(e.set("=" + c + ":" + e.b(0) + "=RO") == 0);
  CHECK(e.get() == c + "=RW:" + e.b(0) + "=RO");
  CHECK(e.get("user.boughfs.srcmounts") == c + ":" + e.b(0));
  CHECK(e.set(e.get()) == 0);
  CHECK(e.set(e.beside.path().string() + "/[cd]=NC") == 0);
  CHECK(e.get() == c + "=NC:" + d + "=NC");
}

TEST_CASE("a change of branches that is wrong changes nothing") {
  Edited e;
  const std::string inner = e.directory("outer/inner");
  const std::string outer = e.beside.path() / "outer";
  std::ofstream(e.beside.path() / "file") << "x";
  fs::create_directory_symlink(e.pool.branch(0), e.beside.path() / "link");
  e.refused("", "wants branches");
  e.refused("=", "wants branches");
  e.refused("+=" + outer, "wants branches");
  e.refused("--", "wants branches");
  e.refused("-*", "without a branch");
  e.refused("-/no/such", "no branch of the pool is /no/such");
  e.refused("-*/b1:/no/such", "no branch of the pool is /no/such");
  CHECK(e.set("-<") == 0);
  e.refused("-<", "without a branch");
  e.refused("->", "without a branch");
  CHECK(e.set("+<" + e.b(0)) == 0);
  e.refused("+outer", "absolute");
  e.refused("+/no/such/place", "does not exist");
  e.refused("+" + (e.beside.path() / "file").string(), "is not a directory");
  e.refused("+" + outer + "=XX", "RW, RO or NC");
  e.refused("+" + outer + "=RW,1M,2", "\"1M,2\"");
  e.refused("+" + outer + "::" + inner, "without a path");
  e.refused("+" + e.b(0), "in the pool already");
  e.refused("+" + (e.beside.path() / "link").string(), "in the pool already");
  e.refused(e.b(0) + ":" + e.b(1) + ":" + e.b(0), "in the pool already");
  e.refused("+" + outer + ":" + inner, "lies inside the other");
  CHECK(e.set("+" + inner) == 0);
  e.refused("+" + outer, "lies inside the other");
}

TEST_CASE("a directory that is a branch by another path is not one twice") {
  Edited e;
  const std::string place = e.directory("bound");
  if (::mount(e.b(0).c_str(), place.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    MESSAGE("not allowed to mount");
    return;
  }
  e.refused("+" + place, "is the same directory as branch");
  ::umount2(place.c_str(), MNT_DETACH);
}

TEST_CASE("files of an added branch appear, those of a removed one are gone") {
  Edited e;
  const std::string c = e.directory("c");
  std::ofstream(c + "/in-c") << "c";
  e.pool.file(1, "in-b", "b");
  e.pool.file(0, "both", "first");
  e.pool.file(1, "both", "second");
  CHECK_FALSE(e.shows("in-c"));
  CHECK(e.set("+" + c) == 0);
  CHECK(e.shows("in-c"));
  CHECK(e.pool.list(kRootNode) == std::vector<std::string>{"both", "in-b", "in-c"});
  const NodeId first = e.pool.walk("both");
  const NodeId gone = e.pool.walk("in-b");
  CHECK(e.set("=" + e.b(1) + ":" + e.b(0) + ":" + c) == 0);
  const NodeId second = e.pool.walk("both");
  CHECK(first.value != second.value);
  CHECK(e.set("-" + e.b(1)) == 0);
  CHECK(e.pool.list(kRootNode) == std::vector<std::string>{"both", "in-c"});
  CHECK_FALSE(e.shows("in-b"));
  CHECK(e.pool.walk("both").value == first.value);
  CHECK(errno_of(e.pool.fs().getattr(e.pool.as(gone), {})) == ESTALE);
  CHECK(errno_of(e.pool.fs().open(e.pool.as(gone), {})) == ESTALE);
}

TEST_CASE("a file of an added branch is used as any other") {
  Edited e;
  const std::string c = e.directory("c");
  fs::create_directory(c + "/d");
  std::ofstream(c + "/d/in-c") << "c";
  e.pool.file(0, "d/in-a", "a");
  CHECK(e.set("+" + c) == 0);
  const NodeId node = e.pool.walk("d/in-c");
  CHECK(errno_of(e.pool.fs().getattr(e.pool.as(node), {})) == 0);
  const auto handle = e.pool.open(node, O_RDWR);
  CHECK(e.pool.read(handle) == "c");
  CHECK(errno_of(e.pool.write(handle, "more")) == 0);
  CHECK(fs::file_size(c + "/d/in-c") == 4);
  proto::UnlinkRequest unlink{e.pool.name("in-c")};
  CHECK(errno_of(e.pool.fs().unlink(e.pool.as(e.pool.walk("d")), unlink)) == 0);
  CHECK(fs::is_empty(c + "/d"));
  CHECK(e.pool.read(e.pool.open(e.pool.walk("d/in-a"), O_RDONLY)) == "a");
}

TEST_CASE("an absent branch that is taken out is missed by nobody from then on") {
  Edited e({"RW", "RW"}, {},
           [](ops::Settings& settings) { settings.branch_absent = ops::BranchAbsent::kReadonly; });
  const auto make = [&](std::string_view name) {
    const proto::MkdirRequest request{e.pool.name(name), 0755, 0, {}};
    return errno_of(e.pool.fs().mkdir(e.pool.as(kRootNode), request));
  };
  e.pool.file(1, "f", "text");
  fs::rename(e.b(1), e.b(1) + "-away");
  e.pool.fs().idle();
  CHECK_FALSE(e.shows("f"));
  CHECK(e.pool.count("absent_branches") == 1);
  CHECK(make("one") == EROFS);
  CHECK(e.set("-" + e.b(1)) == 0);
  CHECK(e.pool.count("absent_branches") == 0);
  CHECK(make("one") == 0);
  fs::rename(e.b(1) + "-away", e.b(1));
  CHECK(e.set("+" + e.b(1)) == 0);
  CHECK(e.pool.read(e.pool.open(e.pool.walk("f"), O_RDONLY)) == "text");
}

TEST_CASE("a pattern that means an absent branch keeps it, though its mount point is gone too") {
  Edited e;
  const std::string before = e.get();
  fs::rename(e.b(1), e.pool.branch(1).parent_path() / "away");
  e.pool.fs().idle();
  CHECK_FALSE(e.shows("f"));
  CHECK(e.pool.count("absent_branches") == 1);
  CHECK(e.set(e.pool.branch(0).parent_path().string() + "/b*") == 0);
  CHECK(e.get() == before);
  CHECK(e.pool.count("absent_branches") == 1);
}

TEST_CASE("a name that was free a moment ago is asked for on a branch that came since") {
  Edited e;
  const std::string c = e.directory("c");
  std::ofstream(c + "/x") << "c";
  CHECK_FALSE(e.shows("x"));
  CHECK(e.set("+" + c) == 0);
  const proto::CreateRequest request{
      e.pool.name("x"), O_CREAT | O_EXCL | O_RDWR, 0644, 0, false, {}};
  CHECK(errno_of(e.pool.fs().create(e.pool.as(kRootNode), request)) == EEXIST);
}

TEST_CASE("a change of mode alone leaves nodes, handles and figures as they are") {
  Edited e;
  e.pool.file(0, "f", "text");
  const NodeId node = e.pool.walk("f");
  const auto handle = e.pool.open(node, O_RDWR);
  const std::size_t told = e.pool.port().notifications.size();
  CHECK(e.set(e.b(0) + "=RO,7K:" + e.b(1)) == 0);
  CHECK(e.get() == e.b(0) + "=RO,7K:" + e.b(1) + "=RW");
  CHECK(e.pool.port().notifications.size() == told);
  CHECK(e.pool.walk("f").value == node.value);
  CHECK(e.pool.read(handle) == "text");
  CHECK(errno_of(truncate(e.pool, node, handle)) == EROFS);
  CHECK(e.set(e.b(0) + ":" + e.b(1)) == 0);
  CHECK(errno_of(truncate(e.pool, node, handle)) == 0);
  CHECK(e.pool.text(0, "f") == "tex");
}

TEST_CASE("an open file of a removed branch goes on working, and nothing else holds its disk") {
  Edited e;
  e.pool.file(1, "d/f", "text");
  e.pool.file(1, "d/victim", "x");
  const NodeId d = e.pool.walk("d");
  const NodeId node = e.pool.walk("d/f");
  (void)e.pool.walk("d/victim");
  const auto handle = e.pool.open(node, O_RDWR);
  auto opened = e.pool.fs().opendir(e.pool.as(d), {});
  REQUIRE(opened.has_value());
  const auto listing = e.pool.keep(*opened, true);
  CHECK(e.pool.readdir(listing, 0, 64).size() > 0);
  proto::UnlinkRequest unlink{e.pool.name("victim")};
  CHECK(e.pool.fs().unlink(e.pool.as(d), unlink).has_value());
  CHECK(e.pool.count("victims") == 1);
  CHECK(Edited::open_below(e.b(1)) > 2);

  CHECK(e.set("-" + e.b(1)) == 0);
  CHECK(Edited::open_below(e.b(1)) == 1);
  // Of a listing that was begun there is nothing left.
  CHECK(e.pool.readdir(listing, 5, 4096).empty());
  CHECK(errno_of(e.pool.fs().getattr(e.pool.as(node), {})) == 0);
  CHECK(e.pool.read(handle) == "text");
  CHECK(errno_of(e.pool.write(handle, "TEXT")) == 0);
  CHECK(errno_of(truncate(e.pool, node, handle)) == 0);
  CHECK(e.pool.text(1, "d/f") == "TEX");
  proto::SetattrRequest chmod;
  chmod.mode = 0600;
  CHECK(errno_of(e.pool.fs().setattr(e.pool.as(node), chmod)) == 0);
  CHECK((e.pool.stat(1, "d/f").st_mode & 07777) == 0600);
  // Still so after another change.
  CHECK(e.set(e.b(0) + "=RW,1M") == 0);
  CHECK(errno_of(truncate(e.pool, node, handle)) == 0);
  e.pool.release(handle);
  CHECK(Edited::open_below(e.b(1)) == 0);
  CHECK(errno_of(truncate(e.pool, node, handle)) == EBADF);
}

TEST_CASE("a read-only branch stays read-only for who has a file open when it goes") {
  Edited e({"RW", "RO"});
  e.pool.file(1, "f", "text");
  const NodeId node = e.pool.walk("f");
  const auto handle = e.pool.open(node, O_RDONLY);
  CHECK(e.set("-" + e.b(1)) == 0);
  proto::SetattrRequest chmod;
  chmod.mode = 0600;
  CHECK(errno_of(e.pool.fs().setattr(e.pool.as(node), chmod)) == EROFS);
  CHECK(e.pool.read(handle) == "text");
}

TEST_CASE("a branch that went and came back is another one, with the same files") {
  Edited e;
  e.pool.file(1, "f", "text");
  const NodeId node = e.pool.walk("f");
  const auto handle = e.pool.open(node, O_RDONLY);
  for (int i = 0; i < 300; ++i) {
    CHECK(e.set("-" + e.b(1)) == 0);
    CHECK(e.set("+" + e.b(1)) == 0);
  }
  CHECK(e.pool.walk("f").value == node.value);
  CHECK(e.pool.read(handle) == "text");
  CHECK(errno_of(e.pool.fs().getattr(e.pool.as(node), {})) == 0);
}

TEST_CASE("names expire in the kernel when branches come and go, and none is dropped") {
  Edited e;
  e.pool.file(0, "d/f", "x");
  (void)e.pool.walk("d/f");
  auto& told = e.pool.port().notifications;
  told.clear();
  CHECK(e.set("->") == 0);
  std::vector<std::string> names;
  std::size_t inodes = 0;
  for (const auto& each : told) {
    if (const auto* entry = std::get_if<proto::InvalidateEntry>(&each)) {
      CHECK(entry->expire_only);
      names.push_back(entry->name);
    }
    inodes += std::holds_alternative<proto::InvalidateInode>(each) ? 1 : 0;
  }
  std::sort(names.begin(), names.end());
  CHECK(names == std::vector<std::string>{"d", "f"});
  CHECK(inodes == 2);
  // A queue that stays full is no reason to give the change up.
  e.pool.port().room = told.size();
  CHECK(e.set("+" + e.directory("c")) == 0);
  REQUIRE(e.pool.complaints.size() == 1);
  CHECK(e.pool.complaints[0].find("cache.entry") != std::string::npos);
}

TEST_CASE("every name is told of, however many there are") {
  Edited e;
  constexpr std::size_t kFiles = 3000;
  for (std::size_t i = 0; i < kFiles; ++i) {
    e.pool.file(0, std::to_string(i));
    (void)e.pool.walk(std::to_string(i));
  }
  e.pool.port().notifications.clear();
  CHECK(e.set("->") == 0);
  CHECK(e.pool.port().notifications.size() == kFiles + 1);
}

TEST_CASE("a merged listing that was begun goes on in another order of branches") {
  Edited e;
  for (std::size_t i = 0; i < 2; ++i) {
    e.pool.file(i, "d/same", i == 0 ? "0" : "one");
    for (int k = 0; k < 40; ++k) e.pool.file(i, "d/" + std::to_string(i) + "-" + std::to_string(k));
  }
  const NodeId d = e.pool.walk("d");
  auto opened = e.pool.fs().opendir(e.pool.as(d), {});
  REQUIRE(opened.has_value());
  const auto handle = e.pool.keep(*opened, true);
  std::vector<std::string> names;
  std::uint64_t offset = 0;
  for (bool changed = false;;) {
    const auto part = e.pool.readdir(handle, offset, 512);
    if (part.empty()) break;
    for (const auto& each : part) names.push_back(each.name);
    offset = part.back().cookie;
    if (!changed) CHECK(e.set(e.b(1) + ":" + e.b(0)) == 0);
    changed = true;
  }
  std::sort(names.begin(), names.end());
  CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
  CHECK(names.size() == 83);
  const auto attr = e.pool.fs().getattr(e.pool.as(e.pool.walk("d/same")), {});
  REQUIRE(attr.has_value());
  CHECK(attr->attr.size == 3);
}

TEST_CASE("branches are not looked for in the pool itself") {
  const TempDir top;
  fs::create_directories(top.path() / "pool/inner");
  fs::create_directories(top.path() / "disk1");
  fs::create_directory_symlink("pool/inner", top.path() / "into");
  const std::string at = fs::canonical(top.path());
  const ops::KnownPlaces known{{}, {at + "/pool"}};
  std::string error;
  CHECK(ops::parse_branches(at + "/pool", error, known).empty());
  CHECK(error.find("in the pool itself") != std::string::npos);
  CHECK(ops::parse_branches(at + "/into", error, known).empty());
  CHECK(error.find("in the pool itself") != std::string::npos);
  CHECK(ops::parse_branches(at + "/pool/inner/../..", error, known).empty());
  const auto found = ops::parse_branches(at + "/*", error, known);
  REQUIRE(found.size() == 1);
  CHECK(found[0].path == at + "/disk1");
  // What is a branch already is not looked at.
  const ops::KnownPlaces away{{"/away/disk"}, {}};
  CHECK(ops::parse_branches("/away/disk=RO", error, away).size() == 1);
}

}  // namespace bough::test
