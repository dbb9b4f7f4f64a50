#include "ops/free_names.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <thread>

#include "test/support/pool_fixture.hpp"

using namespace bough;
using namespace std::chrono_literals;
using proto::kRootNode;
using proto::NodeId;
using test::Call;
using test::FaultyBacking;
using test::PoolFixture;
using test::with_faults;

namespace {

template <class Reply>
int errno_of(const Reply& reply) {
  return reply ? 0 : reply.error().value();
}

}  // namespace

TEST_CASE("free names: this name in this directory, once, and for a moment only") {
  ops::FreeNames names;
  names.note(kRootNode, "a", names.changes(kRootNode, "a"));
  CHECK_FALSE(names.take(kRootNode, "b"));
  CHECK_FALSE(names.take(NodeId{2}, "a"));
  CHECK(names.take(kRootNode, "a"));
  CHECK_FALSE(names.take(kRootNode, "a"));

  names.note(kRootNode, "a", names.changes(kRootNode, "a"));
  std::this_thread::sleep_for(25ms);
  CHECK_FALSE(names.take(kRootNode, "a"));

  const std::string longest(255, 'x');
  names.note(kRootNode, longest, names.changes(kRootNode, longest));
  CHECK(names.take(kRootNode, longest));
  const std::string too_long(256, 'x');
  names.note(kRootNode, too_long, names.changes(kRootNode, too_long));
  CHECK_FALSE(names.take(kRootNode, too_long));

  const auto before = names.changes(kRootNode, "a");
  names.note(kRootNode, "a", before);
  names.found(kRootNode, "a");
  CHECK_FALSE(names.take(kRootNode, "a"));
  names.note(kRootNode, "a", before);
  CHECK_FALSE(names.take(kRootNode, "a"));
}

TEST_CASE("free names: what LOOKUP did not find is not looked for again") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW", "RW"}, with_faults(faults));
  for (const std::size_t i : {0U, 1U, 2U}) pool.directory(i, "d");
  const auto d = pool.walk("d");
  const auto names_asked = [&](auto make) {
    CHECK(errno_of(pool.lookup(d, "new")) == ENOENT);
    faults->reset();
    CHECK(errno_of(make()) == 0);
    return faults->calls(Call::kStatAt);
  };
  // One is for the answer.
  CHECK(names_asked([&] {
          return pool.fs().mkdir(pool.as(d), {pool.name("new"), 0755, 0, {}});
        }) == 1);
  CHECK(errno_of(pool.fs().mkdir(pool.as(d), {pool.name("new"), 0755, 0, {}})) == EEXIST);
  REQUIRE(pool.fs().rmdir(pool.as(d), {pool.name("new")}).has_value());
  CHECK(names_asked([&] {
          return pool.fs().create(pool.as(d),
                                  {pool.name("new"), O_RDWR | O_EXCL, 0644, 0, false, {}});
        }) == 0);
  CHECK(errno_of(pool.fs().create(
            pool.as(d), {pool.name("new"), O_RDWR | O_EXCL, 0644, 0, false, {}})) == EEXIST);
}

TEST_CASE("free names: a branch that could not be asked leaves no name free") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW"}, with_faults(faults));
  pool.file(1, "f", "text");
  faults->fail({Call::kStatAt, 2, 1, {}}, EIO);
  CHECK(errno_of(pool.lookup(kRootNode, "f")) == EIO);
  faults->reset();
  CHECK(errno_of(pool.fs().mkdir(pool.as(kRootNode), {pool.name("f"), 0755, 0, {}})) == EEXIST);
}

TEST_CASE("free names: a rename onto what came after the look-up takes nothing away unseen") {
  PoolFixture pool({"RW"});
  pool.file(0, "old", "old");
  CHECK(errno_of(pool.lookup(kRootNode, "old")) == 0);
  CHECK(errno_of(pool.lookup(kRootNode, "new")) == ENOENT);
  // Behind the pool, in the moment between the two requests.
  pool.directory(0, "new");
  pool.file(0, "new/f", "text");
  CHECK(errno_of(pool.fs().rename(pool.as(kRootNode),
                                  {kRootNode, pool.name("old"), pool.name("new"), 0})) == EISDIR);
  CHECK(pool.text(0, "old") == "old");
  CHECK(pool.text(0, "new/f") == "text");
}

TEST_CASE("free names: a slow LOOKUP does not call free what was made meanwhile") {
  FaultyBacking* faults = nullptr;
  PoolFixture pool({"RW", "RW", "RW"}, with_faults(faults), [](ops::Settings& settings) {
    settings.entry_valid = std::chrono::nanoseconds(0);
  });
  pool.file(1, "old", "old");
  CHECK(errno_of(pool.lookup(kRootNode, "old")) == 0);
  // The kernel asks for a name that it knows already without holding the directory still.
  faults->before({Call::kStatAt, 3, 1, {}}, [&] {
    pool.file(0, "new", "new");
    CHECK(errno_of(pool.lookup(kRootNode, "new")) == 0);
  });
  CHECK(errno_of(pool.lookup(kRootNode, "new")) == ENOENT);
  CHECK(errno_of(pool.fs().rename(pool.as(kRootNode),
                                  {kRootNode, pool.name("old"), pool.name("new"), 0})) == 0);
  CHECK_FALSE(pool.exists(0, "new"));
  CHECK(pool.text(1, "new") == "old");
}

TEST_CASE("free names: what a later LOOKUP found is not free") {
  PoolFixture pool({"RW", "RW"});
  pool.file(1, "old", "old");
  CHECK(errno_of(pool.lookup(kRootNode, "old")) == 0);
  CHECK(errno_of(pool.lookup(kRootNode, "new")) == ENOENT);
  pool.file(0, "new", "new");
  CHECK(errno_of(pool.lookup(kRootNode, "new")) == 0);
  CHECK(errno_of(pool.fs().rename(pool.as(kRootNode),
                                  {kRootNode, pool.name("old"), pool.name("new"), 0})) == 0);
  CHECK_FALSE(pool.exists(0, "new"));
  CHECK(pool.text(1, "new") == "old");
}
