#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "proto/requests.hpp"

/// INIT as a pure function: what the kernel offers and what we want become what both agree on.
/// Names and bits: Linux, include/uapi/linux/fuse.h; effects: PROTOCOL.md.
namespace bough::proto {

/// One capability flag of INIT, by its position in the 64-bit flag word (the upper half is flags2).
enum class Feature : std::uint8_t {
  kAsyncRead = 0,
  kPosixLocks = 1,
  kFileOps = 2,
  kAtomicOTrunc = 3,
  kExportSupport = 4,
  kBigWrites = 5,
  kDontMask = 6,
  kSpliceWrite = 7,
  kSpliceMove = 8,
  kSpliceRead = 9,
  kFlockLocks = 10,
  kHasIoctlDir = 11,
  kAutoInvalData = 12,
  kDoReaddirplus = 13,
  kReaddirplusAuto = 14,
  kAsyncDio = 15,
  kWritebackCache = 16,
  kNoOpenSupport = 17,
  kParallelDirops = 18,
  kHandleKillpriv = 19,
  kPosixAcl = 20,
  kAbortError = 21,
  kMaxPages = 22,
  kCacheSymlinks = 23,
  kNoOpendirSupport = 24,
  kExplicitInvalData = 25,
  kMapAlignment = 26,
  kSubmounts = 27,
  kHandleKillprivV2 = 28,
  kSetxattrExt = 29,
  kInitExt = 30,
  kSecurityCtx = 32,
  kHasInodeDax = 33,
  kCreateSuppGroup = 34,
  kHasExpireOnly = 35,
  kDirectIoAllowMmap = 36,
  kPassthrough = 37,
  kNoExportSupport = 38,
  kHasResend = 39,
  kAllowIdmap = 40,
  kOverIoUring = 41,
  kRequestTimeout = 42,
  kHasIoUringBufpool = 43,
};

class FeatureSet {
 public:
  constexpr FeatureSet() noexcept = default;
  constexpr explicit FeatureSet(std::uint64_t bits) noexcept : bits_(bits) {}

  [[nodiscard]] constexpr bool has(Feature feature) const noexcept {
    return ((bits_ >> static_cast<unsigned>(feature)) & 1U) != 0;
  }
  constexpr FeatureSet& add(Feature feature) noexcept {
    bits_ |= std::uint64_t{1} << static_cast<unsigned>(feature);
    return *this;
  }
  constexpr FeatureSet& remove(Feature feature) noexcept {
    bits_ &= ~(std::uint64_t{1} << static_cast<unsigned>(feature));
    return *this;
  }
  [[nodiscard]] constexpr std::uint64_t bits() const noexcept { return bits_; }
  friend constexpr bool operator==(FeatureSet, FeatureSet) noexcept = default;

 private:
  std::uint64_t bits_ = 0;
};

/// What this side implements and its settings ask for. Filled by the session and the file system,
/// each for its own concerns.
struct InitWants {
  FeatureSet features;
  std::uint32_t max_write = 1024 * 1024;
  /// In pages of `page_size`; the kernel's limit (max_pages_limit) is the caller's to read.
  std::uint32_t max_pages = 256;
  std::uint32_t page_size = 4096;
  std::uint32_t max_readahead = 0xffffffff;
  /// 0 leaves the kernel's own (12 and 9).
  std::uint16_t max_background = 0;
  std::uint16_t congestion_threshold = 0;
  std::uint32_t time_granularity = 1;
  std::uint32_t max_stack_depth = 0;
  std::uint16_t request_timeout = 0;
  /// The mount has default_permissions: ALLOW_IDMAP without it refuses the whole connection.
  bool default_permissions = true;
};

/// One row of the table that a trace prints: why_not is empty for a flag that is agreed.
struct FeatureRow {
  Feature feature;
  std::string_view name;
  bool offered = false;
  bool wanted = false;
  bool agreed = false;
  std::string_view why_not;
};

struct InitAgreement {
  /// Not 0: the connection must be refused with this errno (wrong major, a minor that is too old).
  int refusal = 0;
  std::uint32_t minor = 0;
  FeatureSet features;
  std::uint32_t max_write = 0;
  std::uint32_t max_pages = 0;
  std::uint32_t page_size = 4096;
  std::uint32_t max_readahead = 0;
  std::uint16_t max_background = 0;
  std::uint16_t congestion_threshold = 0;
  std::uint32_t time_granularity = 1;
  std::uint32_t max_stack_depth = 0;
  std::uint16_t request_timeout = 0;

  /// The longest payload of a READ, WRITE, READDIR or xattr message.
  [[nodiscard]] std::uint32_t max_payload() const noexcept {
    const std::uint32_t paged = max_pages * page_size;
    const std::uint32_t larger = paged > max_write ? paged : max_write;
    return larger > 128 * 1024 ? larger : 128 * 1024;
  }
};

inline constexpr std::uint32_t kOurMinor = 45;
/// 7.31 is Linux 5.4, the oldest kernel that we speak to.
inline constexpr std::uint32_t kOldestMinor = 31;

/// Pure. Every conflict of flags is resolved here and nowhere else. A flag is agreed only if it is
/// offered and wanted; that holds for those too that only tell us something (HAS_RESEND,
/// HAS_EXPIRE_ONLY, NO_OPEN_SUPPORT, SPLICE_*, …), so want them to see them: the kernel ignores
/// them in the reply. INIT_EXT alone needs no wanting: it is agreed whenever it is offered.
[[nodiscard]] InitAgreement agree(const InitRequest& offer, const InitWants& wants);

/// The table behind agree(): a row for every flag that the protocol has.
[[nodiscard]] std::vector<FeatureRow> explain(const InitRequest& offer, const InitWants& wants,
                                              const InitAgreement& agreement);

}  // namespace bough::proto
