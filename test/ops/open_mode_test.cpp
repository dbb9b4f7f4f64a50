#include "ops/open_mode.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <array>
#include <initializer_list>

#include "proto/kernel_abi.hpp"

using namespace bough::ops;
namespace reply = bough::proto::abi::open_reply;

namespace {

struct Expected {
  bool direct;
  bool keep;
};

/// For every state of what the mode does not ask about, too.
template <class Change>
void expect(CacheFiles mode, Expected expected, Change change) {
  for (const bool parallel : {false, true}) {
    for (const bool direct_mmap : {false, true}) {
      OpenFacts facts;
      facts.mode = mode;
      facts.parallel_direct_writes = parallel;
      facts.direct_mmap = direct_mmap;
      change(facts);
      const std::uint32_t flags = open_mode(facts);
      INFO("mode ", static_cast<int>(mode), " parallel ", parallel, " mmap ", direct_mmap);
      CHECK(((flags & reply::kDirectIo) != 0) == expected.direct);
      CHECK(((flags & reply::kKeepCache) != 0) == expected.keep);
      CHECK(((flags & reply::kParallelDirectWrites) != 0) == (expected.direct && parallel));
    }
  }
}

}  // namespace

TEST_CASE("open_mode: the table of cache.files") {
  for (const bool listed : {false, true}) {
    for (const bool unchanged : {false, true}) {
      for (const int of_open : {O_RDONLY, O_RDWR, O_WRONLY | O_DIRECT}) {
        const auto flags = static_cast<std::uint32_t>(of_open);
        const auto as_is = [&](OpenFacts& facts) {
          facts.listed = listed;
          facts.unchanged = unchanged;
          facts.flags = flags;
        };
        expect(CacheFiles::kOff, {true, false}, as_is);
        expect(CacheFiles::kPartial, {false, false}, as_is);
        expect(CacheFiles::kFull, {false, true}, as_is);
        expect(CacheFiles::kAutoFull, {false, unchanged}, as_is);
        expect(CacheFiles::kPerProcess, {!listed, false}, as_is);
        for (const bool direct : {false, true}) {
          for (const bool keep : {false, true}) {
            for (const bool automatic : {false, true}) {
              expect(CacheFiles::kLibfuse, {direct, keep || (automatic && unchanged)},
                     [&](OpenFacts& facts) {
                       as_is(facts);
                       facts.direct_io = direct;
                       facts.kernel_cache = keep;
                       facts.auto_cache = automatic;
                     });
            }
          }
        }
      }
    }
  }
}

TEST_CASE(
    "open_mode: auto caches, but for O_DIRECT where a direct file can be mapped, and O_WRONLY") {
  for (const bool unchanged : {false, true}) {
    for (const bool direct_mmap : {false, true}) {
      OpenFacts facts;
      facts.unchanged = unchanged;
      facts.direct_mmap = direct_mmap;
      facts.flags = O_WRONLY | O_APPEND;
      CHECK((open_mode(facts) & ~reply::kNoflush) ==
            (reply::kDirectIo | reply::kParallelDirectWrites));
      facts.flags = O_RDWR;
      CHECK((open_mode(facts) & ~reply::kNoflush) == (unchanged ? reply::kKeepCache : 0));
      facts.flags = O_RDWR | O_DIRECT;
      const std::uint32_t flags = open_mode(facts) & ~reply::kNoflush;
      if (direct_mmap)
        CHECK(flags == (reply::kDirectIo | reply::kParallelDirectWrites));
      else
        CHECK(flags == (unchanged ? reply::kKeepCache : 0));
    }
  }
}

TEST_CASE("open_mode: when close(2) flushes") {
  const auto flushes = [](FlushOnClose option, std::uint32_t flags, bool quiet) {
    OpenFacts facts;
    facts.flush = option;
    facts.flags = flags;
    facts.closes_quietly = quiet;
    return (open_mode(facts) & reply::kNoflush) == 0;
  };
  for (const int of_open : {O_RDONLY, O_WRONLY, O_RDWR}) {
    const auto flags = static_cast<std::uint32_t>(of_open);
    const bool writes = flags != O_RDONLY;
    for (const bool quiet : {false, true}) {
      CHECK_FALSE(flushes(FlushOnClose::kNever, flags, quiet));
      CHECK(flushes(FlushOnClose::kAlways, flags, quiet));
      CHECK(flushes(FlushOnClose::kOpenedForWrite, flags, quiet) == writes);
      CHECK(flushes(FlushOnClose::kAuto, flags, quiet) == (writes && !quiet));
    }
  }
}

TEST_CASE("open_mode: where the kernel keeps sizes and times") {
  const auto writeback = [](OpenFacts& facts) { facts.writeback = true; };
  const auto append_only = [](OpenFacts& facts) { facts.writeback = facts.append_only = true; };
  for (const CacheFiles mode : {CacheFiles::kAuto, CacheFiles::kPartial, CacheFiles::kFull,
                                CacheFiles::kAutoFull, CacheFiles::kLibfuse}) {
    expect(mode, {false, mode == CacheFiles::kFull}, writeback);
    expect(mode, {true, false}, append_only);
    expect(mode, {false, mode == CacheFiles::kFull},
           [](OpenFacts& facts) { facts.append_only = true; });
  }
  expect(CacheFiles::kOff, {true, false}, writeback);
  for (const std::uint32_t flags : {std::uint32_t{O_RDWR | O_DIRECT}, std::uint32_t{O_WRONLY},
                                    std::uint32_t{O_WRONLY | O_DIRECT}}) {
    expect(CacheFiles::kAuto, {false, false}, [&](OpenFacts& facts) {
      facts.writeback = true;
      facts.flags = flags;
    });
  }
}

TEST_CASE("wanted_path: the table of passthrough.io") {
  constexpr std::array kModes{CacheFiles::kAuto,      CacheFiles::kLibfuse, CacheFiles::kOff,
                              CacheFiles::kPartial,   CacheFiles::kFull,    CacheFiles::kAutoFull,
                              CacheFiles::kPerProcess};
  for (const CacheFiles mode : kModes) {
    for (const int access : {O_RDONLY, O_WRONLY, O_RDWR}) {
      for (const int more : {0, O_APPEND, O_DIRECT, O_APPEND | O_DIRECT, O_SYNC}) {
        CAPTURE(static_cast<int>(mode));
        CAPTURE(access);
        CAPTURE(more);
        const auto path = [&](PassthroughIo option) {
          const auto flags = static_cast<std::uint32_t>(access | more);
          const IoPath plain = wanted_path(option, mode, flags, false, kSmallFile);
          const bool kept = access == O_RDONLY || plain != IoPath::kPast;
          CHECK(wanted_path(option, mode, flags, true, kSmallFile) ==
                (kept ? plain : IoPath::kBoundToUs));
          return plain;
        };
        const auto past_if = [](bool past) { return past ? IoPath::kPast : IoPath::kToUs; };
        CHECK(path(PassthroughIo::kOff) == IoPath::kToUs);
        CHECK(path(PassthroughIo::kReadOnly) == past_if(access == O_RDONLY));
        CHECK(path(PassthroughIo::kWriteOnly) == past_if(access == O_WRONLY));
        CHECK(path(PassthroughIo::kReadWrite) == IoPath::kPast);
        const bool could_change = access != O_RDONLY && (more & (O_APPEND | O_DIRECT)) != 0;
        const IoPath expected = mode != CacheFiles::kAuto ? IoPath::kToUs
                                : could_change            ? IoPath::kBoundToUs
                                                          : IoPath::kPast;
        CHECK(path(PassthroughIo::kAuto) == expected);
        // A small file that is only read is not worth it, unless the user says so.
        const auto small = [&](PassthroughIo option) {
          return wanted_path(option, mode, static_cast<std::uint32_t>(access | more), false,
                             kSmallFile - 1);
        };
        CHECK(small(PassthroughIo::kAuto) == (access == O_RDONLY ? IoPath::kToUs : expected));
        CHECK(small(PassthroughIo::kReadOnly) == path(PassthroughIo::kReadOnly));
        CHECK(small(PassthroughIo::kReadWrite) == IoPath::kPast);
      }
    }
  }
}

TEST_CASE("open_mode: files of a bound node") {
  for (const CacheFiles mode : {CacheFiles::kAuto, CacheFiles::kFull, CacheFiles::kOff}) {
    for (const bool parallel : {false, true}) {
      OpenFacts facts;
      facts.mode = mode;
      facts.unchanged = true;
      facts.bound = true;
      facts.parallel_direct_writes = parallel;
      facts.past = true;
      CHECK(open_mode(facts) == (reply::kPassthrough | reply::kNoflush));
      facts.past = false;
      facts.flags = O_WRONLY;
      CHECK(open_mode(facts) == (reply::kPassthrough | reply::kDirectIo |
                                 (parallel ? reply::kParallelDirectWrites : 0)));
    }
  }
}
