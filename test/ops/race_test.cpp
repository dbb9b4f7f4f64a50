#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <random>
#include <set>
#include <thread>

#include "test/support/branch_tree.hpp"
#include "test/support/pool_fixture.hpp"

namespace bough::test {
namespace {

using proto::Context;
using proto::HandleId;
using proto::kRootNode;
using proto::Name;
using proto::NodeId;

/// One thread of callers: random operations on few names, so that they meet. Keeps what the kernel
/// would keep, and gives it back.
class Caller {
 public:
  Caller(proto::Filesystem& fs, unsigned seed) : fs_(fs), random_(seed) {}

  void run(int rounds) {
    fs_.thread_started();
    for (int i = 0; i < rounds; ++i) step();
    for (const HandleId handle : handles_) {
      proto::ReleaseRequest request;
      request.handle = handle;
      (void)fs_.release(as(kRootNode), request);
    }
    for (const NodeId node : counted_) fs_.forget(node, 1);
  }

  std::set<int> unexpected;

 private:
  Context as(NodeId node) {
    Context context;
    context.unique = proto::Unique{unique_ += 2};
    context.node = node;
    return context;
  }
  unsigned below(unsigned limit) { return static_cast<unsigned>(random_()) % limit; }
  Name name() {
    static constexpr std::array<const char*, 8> kNames{"a", "b", "c", "d", "e", "f", "g", "h"};
    return *Name::check(kNames[below(kNames.size())]);
  }
  NodeId directory() {
    if (below(3) == 0) return kRootNode;
    proto::LookupRequest request;
    request.name = below(2) == 0 ? Name::check("one") : Name::check("two");
    auto found = fs_.lookup(as(kRootNode), request);
    note(found, {ENOENT, ESTALE});
    return found ? keep(*found) : kRootNode;
  }
  NodeId keep(proto::EntryReply& reply) {
    reply.keep();
    counted_.push_back(reply.entry.node);
    return reply.entry.node;
  }
  template <class Reply>
  void note(const Reply& reply, std::initializer_list<int> expected) {
    if (reply) return;
    const int error = reply.error().value();
    if (std::find(expected.begin(), expected.end(), error) == expected.end())
      unexpected.insert(error);
  }

  void step() {
    const NodeId parent = directory();
    switch (below(10)) {
      case 0: {
        auto made = fs_.create(as(parent), {name(), O_RDWR | O_CREAT, 0100644, 022, false, {}});
        note(made, {EEXIST, ENOENT, ESTALE});
        if (!made || below(2) == 0) break;
        keep(made->entry);
        handles_.push_back(made->open.claim.handle());
        made->open.keep();
        break;
      }
      case 1:
        note(fs_.mkdir(as(parent), {name(), 0755, 0, {}}), {EEXIST, ENOENT, ESTALE});
        break;
      case 2:
        note(fs_.unlink(as(parent), {name()}), {ENOENT, EISDIR, ESTALE});
        break;
      case 3:
        note(fs_.rmdir(as(parent), {name()}), {ENOENT, ENOTDIR, ENOTEMPTY, ESTALE});
        break;
      case 4:
      case 5:
        note(fs_.rename(as(parent), {directory(), name(), name(), below(3)}),
             {ENOENT, EEXIST, ENOTDIR, EISDIR, ENOTEMPTY, EXDEV, EINVAL, ESTALE});
        break;
      case 6: {
        proto::LookupRequest request;
        request.name = name();
        auto found = fs_.lookup(as(parent), request);
        note(found, {ENOENT, ESTALE});
        if (!found) break;
        const NodeId node = keep(*found);
        auto linked = fs_.link(as(directory()), {node, name()});
        note(linked, {ENOENT, EEXIST, EPERM, ESTALE});
        break;
      }
      case 7: {
        auto made = fs_.tmpfile(as(parent), {O_RDWR | O_TMPFILE, 0100600, 0, {}});
        note(made, {ENOENT, ESTALE, EOPNOTSUPP});
        if (!made) break;
        auto linked = fs_.link(as(parent), {made->entry.entry.node, name()});
        note(linked, {ENOENT, EEXIST, ESTALE});
        break;
      }
      default:
        list(parent);
    }
    if (counted_.size() > 64) {
      for (const NodeId node : counted_) fs_.forget(node, 1);
      counted_.clear();
    }
    if (below(64) == 0) fs_.idle();
  }

  void list(NodeId node) {
    auto opened = fs_.opendir(as(node), {});
    note(opened, {ENOENT, ESTALE});
    if (!opened) return;
    alignas(8) std::array<std::byte, 4096> buffer;
    proto::DirentPlusPacker plus(buffer, fs_);
    const HandleId handle = opened->claim.handle();
    note(fs_.readdirplus(as(node), {handle, 0, buffer.size()}, plus), {ENOENT, ESTALE});
    alignas(8) std::array<std::byte, 4096> plain_buffer;
    proto::DirentPacker plain(plain_buffer);
    note(fs_.readdir(as(node), {handle, 0, plain_buffer.size()}, plain), {ENOENT, ESTALE});
    std::set<std::string> seen;
    for (const auto& each : PoolFixture::parse(std::span(plain_buffer).first(plain.size())))
      if (!seen.insert(each.name).second) unexpected.insert(-1);
  }

  proto::Filesystem& fs_;
  std::mt19937 random_;
  std::uint64_t unique_ = 2;
  std::vector<NodeId> counted_;
  std::vector<HandleId> handles_;
};

}  // namespace

TEST_CASE("eight callers make, move, link, remove and list the same names") {
  PoolFixture pool({"RW", "RW", "RW"});
  for (const std::size_t i : {0U, 1U, 2U})
    for (const std::string name : {"one", "two"})
      if (i != 1 || name == "one") pool.directory(i, name);
  std::vector<std::unique_ptr<Caller>> callers;
  for (unsigned i = 0; i < 8; ++i) callers.push_back(std::make_unique<Caller>(pool.fs(), i + 1));
  std::vector<std::thread> threads;
  for (auto& caller : callers) threads.emplace_back([&caller] { caller->run(400); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& caller : callers)
    for (const int error : caller->unexpected) FAIL_CHECK("unexpected errno " << error);
  CHECK(pool.count("lookups") == 0);
  CHECK(pool.count("handles") == 0);
  for (const Tree& tree : trees_of(pool, 3))
    for (const auto& entry : tree)
      CHECK_MESSAGE(entry.first.find(".boughfs") == std::string::npos, entry.first);
}

}  // namespace bough::test
