#include "proto/features.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>

#include "proto/render.hpp"

using namespace bough::proto;

namespace {

constexpr std::uint64_t bit(Feature feature) {
  return std::uint64_t{1} << static_cast<unsigned>(feature);
}

constexpr std::uint64_t kAll = (std::uint64_t{1} << 44) - 1;
/// 7.31: all up to MAP_ALIGNMENT, without FILE_OPS (never offered) and what virtiofs alone is
/// offered.
constexpr std::uint64_t kOffer731 = 0x03fffffb;
constexpr std::uint64_t kOffer736 = 0x73fffffb | (std::uint64_t{0x1} << 32);
constexpr std::uint64_t kOffer738 = 0x73fffffb | (std::uint64_t{0xd} << 32);
constexpr std::uint64_t kOffer741 = 0x73fffffb | (std::uint64_t{0x1fd} << 32);
/// As Linux 6.18 offered it with passthrough and io_uring built in.
constexpr std::uint64_t kOffer745 = 0x73fffffb | (std::uint64_t{0x7fd} << 32);

InitRequest offer(std::uint32_t minor, std::uint64_t flags) {
  return {7, minor, 131072, flags};
}

InitWants wants(std::uint64_t flags) {
  InitWants w;
  w.features = FeatureSet(flags);
  w.max_stack_depth = 1;
  return w;
}

std::string_view why_not(const InitRequest& o, const InitWants& w, Feature feature) {
  for (const FeatureRow& row : explain(o, w, agree(o, w)))
    if (row.feature == feature) return row.why_not;
  return "no row";
}

bool agreed(const InitRequest& o, const InitWants& w, Feature feature) {
  return agree(o, w).features.has(feature);
}

}  // namespace

TEST_CASE("what a kernel does not offer is off") {
  struct Case {
    std::uint32_t minor;
    std::uint64_t flags;
  };
  for (const Case c : {Case{31, kOffer731}, Case{36, kOffer736}, Case{38, kOffer738},
                       Case{41, kOffer741}, Case{45, kOffer745}}) {
    CAPTURE(c.minor);
    const auto o = offer(c.minor, c.flags);
    const auto result = agree(o, wants(kAll));
    CHECK(result.refusal == 0);
    CHECK(result.minor == c.minor);
    CHECK((result.features.bits() & ~c.flags) == 0);
    CHECK(result.features.has(Feature::kAsyncRead));
    CHECK(result.features.has(Feature::kParallelDirops));
    CHECK(result.features.has(Feature::kHandleKillprivV2) == (c.minor >= 33));
    CHECK(result.features.has(Feature::kHandleKillpriv) == (c.minor < 33));
    CHECK(result.features.has(Feature::kInitExt) == (c.minor >= 36));
    CHECK(result.features.has(Feature::kCreateSuppGroup) == (c.minor >= 38));
    CHECK(result.features.has(Feature::kHasExpireOnly) == (c.minor >= 38));
    CHECK(result.features.has(Feature::kDirectIoAllowMmap) == (c.minor >= 39));
    CHECK(result.features.has(Feature::kAllowIdmap) == (c.minor >= 41));
    CHECK(result.features.has(Feature::kOverIoUring) == (c.minor >= 42));
  }
}

TEST_CASE("what is not wanted is off, but for INIT_EXT") {
  CHECK(agree(offer(45, kOffer745), wants(0)).features.bits() == bit(Feature::kInitExt));
  CHECK(agree(offer(31, kOffer731), wants(0)).features.bits() == 0);
}

TEST_CASE("each flag by itself: offered and wanted is agreed, or never") {
  for (const FeatureRow& row : explain(offer(45, kAll), wants(0), {})) {
    CAPTURE(row.name);
    const std::uint64_t own =
        bit(row.feature) | bit(Feature::kInitExt) |
        (row.feature == Feature::kReaddirplusAuto ? bit(Feature::kDoReaddirplus) : 0);
    const bool never = row.feature == Feature::kFileOps || row.feature == Feature::kMapAlignment ||
                       row.feature == Feature::kSubmounts || row.feature == Feature::kHasInodeDax ||
                       row.feature == Feature::kHasIoUringBufpool;
    const std::uint64_t expected = never ? bit(Feature::kInitExt) : own;
    CHECK(agree(offer(45, kAll), wants(own)).features.bits() == expected);
    CHECK(agree(offer(45, own), wants(kAll)).features.bits() == expected);
    CHECK_FALSE(agreed(offer(45, kAll & ~bit(row.feature)), wants(kAll), row.feature));
  }
}

TEST_CASE("upper flags mean nothing without INIT_EXT in the offer") {
  const auto o = offer(45, kOffer745 & ~bit(Feature::kInitExt));
  CHECK((agree(o, wants(kAll)).features.bits() >> 32) == 0);
}

TEST_CASE("the reserved bit and unnamed bits are never agreed") {
  const auto o = offer(46, ~std::uint64_t{0});
  const auto result = agree(o, wants(~std::uint64_t{0}));
  CHECK((result.features.bits() & (std::uint64_t{1} << 31)) == 0);
  CHECK((result.features.bits() >> 43) == 0);
}

TEST_CASE("conflicts") {
  const auto o = offer(45, kOffer745);

  SUBCASE("WRITEBACK_CACHE beats PASSTHROUGH") {
    const auto both = wants(bit(Feature::kWritebackCache) | bit(Feature::kPassthrough));
    CHECK(agreed(o, both, Feature::kWritebackCache));
    CHECK_FALSE(agreed(o, both, Feature::kPassthrough));
    CHECK(agree(o, both).max_stack_depth == 0);
    CHECK(why_not(o, both, Feature::kPassthrough) == "WRITEBACK_CACHE excludes it");
    const auto one = wants(bit(Feature::kPassthrough));
    CHECK(agreed(o, one, Feature::kPassthrough));
    CHECK(agree(o, one).max_stack_depth == 1);
  }
  SUBCASE("PASSTHROUGH needs a stack depth of 1 or 2") {
    auto w = wants(bit(Feature::kPassthrough));
    for (const std::uint32_t depth : {0U, 1U, 2U, 3U}) {
      w.max_stack_depth = depth;
      CHECK(agreed(o, w, Feature::kPassthrough) == (depth == 1 || depth == 2));
      CHECK(agree(o, w).max_stack_depth == (depth == 3 ? 0 : depth));
    }
    CHECK(why_not(o, w, Feature::kPassthrough) == "needs a stack depth of 1 or 2");
  }
  SUBCASE("ALLOW_IDMAP needs default_permissions or POSIX_ACL") {
    auto w = wants(bit(Feature::kAllowIdmap));
    CHECK(agreed(o, w, Feature::kAllowIdmap));
    w.default_permissions = false;
    CHECK_FALSE(agreed(o, w, Feature::kAllowIdmap));
    CHECK(why_not(o, w, Feature::kAllowIdmap) == "needs default_permissions");
    w.features.add(Feature::kPosixAcl);
    CHECK(agreed(o, w, Feature::kAllowIdmap));
    CHECK_FALSE(agreed(offer(45, kOffer745 & ~bit(Feature::kPosixAcl)), w, Feature::kAllowIdmap));
  }
  SUBCASE("AUTO_INVAL_DATA beats EXPLICIT_INVAL_DATA") {
    const auto w = wants(bit(Feature::kAutoInvalData) | bit(Feature::kExplicitInvalData));
    CHECK(agreed(o, w, Feature::kAutoInvalData));
    CHECK_FALSE(agreed(o, w, Feature::kExplicitInvalData));
    CHECK(why_not(o, w, Feature::kExplicitInvalData) == "AUTO_INVAL_DATA goes before it");
    CHECK(agreed(offer(45, kOffer745 & ~bit(Feature::kAutoInvalData)), w,
                 Feature::kExplicitInvalData));
  }
  SUBCASE("READDIRPLUS_AUTO needs DO_READDIRPLUS") {
    const auto w = wants(bit(Feature::kReaddirplusAuto));
    CHECK_FALSE(agreed(o, w, Feature::kReaddirplusAuto));
    CHECK(why_not(o, w, Feature::kReaddirplusAuto) == "needs DO_READDIRPLUS");
    CHECK_FALSE(agreed(offer(45, kOffer745 & ~bit(Feature::kDoReaddirplus)), wants(kAll),
                       Feature::kReaddirplusAuto));
  }
  SUBCASE("HANDLE_KILLPRIV_V2 beats HANDLE_KILLPRIV") {
    const auto w = wants(bit(Feature::kHandleKillpriv) | bit(Feature::kHandleKillprivV2));
    CHECK_FALSE(agreed(o, w, Feature::kHandleKillpriv));
    CHECK(why_not(o, w, Feature::kHandleKillpriv) == "HANDLE_KILLPRIV_V2 goes before it");
    CHECK(agreed(offer(31, kOffer731), w, Feature::kHandleKillpriv));
  }
  SUBCASE("EXPORT_SUPPORT beats NO_EXPORT_SUPPORT") {
    const auto w = wants(bit(Feature::kExportSupport) | bit(Feature::kNoExportSupport));
    CHECK(agreed(o, w, Feature::kExportSupport));
    CHECK_FALSE(agreed(o, w, Feature::kNoExportSupport));
  }
  SUBCASE("REQUEST_TIMEOUT is not beside locks that wait") {
    auto w = wants(bit(Feature::kRequestTimeout));
    w.request_timeout = 60;
    CHECK(agree(o, w).request_timeout == 60);
    for (const Feature locks : {Feature::kPosixLocks, Feature::kFlockLocks}) {
      auto with_locks = w;
      with_locks.features.add(locks);
      CHECK_FALSE(agreed(o, with_locks, Feature::kRequestTimeout));
      CHECK(agree(o, with_locks).request_timeout == 0);
    }
    CHECK(agree(offer(41, kOffer741), w).request_timeout == 0);
  }
}

TEST_CASE("sizes are settled within what both sides and the wire can carry") {
  const auto o = offer(45, kOffer745);
  auto w = wants(bit(Feature::kMaxPages));

  CHECK(agree(o, w).max_pages == 256);
  CHECK(agree(o, w).max_write == 1024 * 1024);
  CHECK(agree(o, w).max_payload() == 1024 * 1024);
  CHECK(agree(o, w).max_readahead == 131072);

  w.max_pages = 16;
  CHECK(agree(o, w).max_write == 64 * 1024);
  CHECK(agree(o, w).max_payload() == 128 * 1024);
  w.max_pages = 0;
  CHECK(agree(o, w).max_pages == 1);
  CHECK(agree(o, w).max_write == 4096);
  w.max_pages = 1'000'000;
  CHECK(agree(o, w).max_pages == 65535);
  w.max_write = 0;
  CHECK(agree(o, w).max_write == 4096);
  w.page_size = 65536;
  w.max_write = 0xffffffff;
  CHECK(agree(o, w).max_write == 65535U * 65536U);

  auto without = wants(0);
  CHECK(agree(o, without).max_pages == 32);
  CHECK(agree(o, without).max_write == 128 * 1024);

  w.max_readahead = 4096;
  CHECK(agree(o, w).max_readahead == 4096);
}

TEST_CASE("background limits and time granularity") {
  const auto o = offer(45, kOffer745);
  auto w = wants(0);
  CHECK(agree(o, w).max_background == 0);
  w.max_background = 64;
  w.congestion_threshold = 48;
  CHECK(agree(o, w).max_background == 64);
  CHECK(agree(o, w).congestion_threshold == 48);
  w.congestion_threshold = 100;
  CHECK(agree(o, w).congestion_threshold == 64);
  w.max_background = 0;
  CHECK(agree(o, w).congestion_threshold == 100);

  w.time_granularity = 1'000'000'000;
  CHECK(agree(o, w).time_granularity == 1'000'000'000);
  for (const std::uint32_t bad : {0U, 1'000'000'001U}) {
    w.time_granularity = bad;
    CHECK(agree(o, w).time_granularity == 1);
  }
}

TEST_CASE("the reply's minor is the smaller one") {
  CHECK(agree(offer(45, 0), wants(0)).minor == 45);
  CHECK(agree(offer(99, 0), wants(0)).minor == 45);
  CHECK(agree(offer(31, 0), wants(0)).minor == 31);
}

TEST_CASE("another major and a minor before 7.31 are refused") {
  for (const InitRequest& o : {InitRequest{6, 45, 0, kOffer745}, InitRequest{8, 1, 0, kOffer745},
                               InitRequest{7, 30, 0, kOffer745}, InitRequest{0, 0, 0, 0}}) {
    const auto w = wants(kAll);
    const auto result = agree(o, w);
    CHECK(result.refusal == EPROTO);
    CHECK(result.features.bits() == 0);
    for (const FeatureRow& row : explain(o, w, result)) {
      CHECK_FALSE(row.agreed);
      CHECK(row.why_not == "connection refused");
    }
  }
}

TEST_CASE("the table has a row for every bit that has a name, and a reason wherever one is off") {
  const auto o = offer(41, kOffer741);
  const auto w = wants(kAll & ~bit(Feature::kAsyncDio));
  const auto result = agree(o, w);
  const auto rows = explain(o, w, result);
  std::uint64_t bits = 0;
  for (const FeatureRow& row : rows) {
    CAPTURE(row.name);
    CHECK((bits & bit(row.feature)) == 0);
    bits |= bit(row.feature);
    CHECK(row.offered == FeatureSet(kOffer741).has(row.feature));
    CHECK(row.wanted == (row.feature != Feature::kAsyncDio));
    CHECK(row.agreed == result.features.has(row.feature));
    CHECK(row.why_not.empty() == row.agreed);
  }
  CHECK(bits == (kAll & ~(std::uint64_t{1} << 31)));
  CHECK(why_not(o, w, Feature::kAsyncDio) == "not wanted");
  CHECK(why_not(o, w, Feature::kOverIoUring) == "not offered by this kernel");
  CHECK(why_not(o, w, Feature::kSubmounts) == "virtiofs only");
}

TEST_CASE("INIT as a table") {
  const auto o = offer(31, kOffer731);
  auto w = wants(bit(Feature::kAsyncRead) | bit(Feature::kPassthrough) | bit(Feature::kMaxPages));
  w.max_background = 64;
  w.congestion_threshold = 48;
  const auto result = agree(o, w);
  const std::string table = render_init(o, explain(o, w, result), result);
  CHECK(table.starts_with(
      "INIT kernel=7.31 agreed=7.31 max_write=1048576 max_pages=256 max_readahead=131072 "
      "max_background=64 congestion_threshold=48 time_granularity=1 max_stack_depth=0 "
      "request_timeout=0\n"
      "flag                  offered wanted  agreed  why not\n"
      "ASYNC_READ            yes     yes     yes\n"
      "POSIX_LOCKS           yes     no      no      not wanted\n"
      "FILE_OPS              no      no      no      no kernel uses it\n"));
  CHECK(
      table.find("\nPASSTHROUGH           no      yes     no      not offered by this kernel\n") !=
      std::string::npos);
  CHECK(table.ends_with('\n'));

  const InitRequest old{6, 1, 0, 0};
  const auto refused = agree(old, w);
  CHECK(render_init(old, explain(old, w, refused), refused)
            .starts_with("INIT kernel=6.1 refused=EPROTO\n"));
}
