#include "proto/features.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include "proto/kernel_abi.hpp"

namespace bough::proto {

namespace {

constexpr std::uint32_t kDefaultMaxPages = 32;
constexpr std::uint32_t kLargestMaxPages = 65535;
constexpr std::uint32_t kSmallestMaxWrite = 4096;
constexpr std::uint32_t kLargestGranularity = 1'000'000'000;
constexpr std::uint32_t kLargestStackDepth = 2;
constexpr unsigned kFirstUpperFlag = 32;

constexpr std::string_view kVirtiofs = "virtiofs only";

struct FlagName {
  Feature feature;
  std::string_view name;
  /// Not empty: never agreed, and why.
  std::string_view never;
};

constexpr std::array kFlags{
    FlagName{Feature::kAsyncRead, "ASYNC_READ", {}},
    FlagName{Feature::kPosixLocks, "POSIX_LOCKS", {}},
    FlagName{Feature::kFileOps, "FILE_OPS", "no kernel uses it"},
    FlagName{Feature::kAtomicOTrunc, "ATOMIC_O_TRUNC", {}},
    FlagName{Feature::kExportSupport, "EXPORT_SUPPORT", {}},
    FlagName{Feature::kBigWrites, "BIG_WRITES", {}},
    FlagName{Feature::kDontMask, "DONT_MASK", {}},
    FlagName{Feature::kSpliceWrite, "SPLICE_WRITE", {}},
    FlagName{Feature::kSpliceMove, "SPLICE_MOVE", {}},
    FlagName{Feature::kSpliceRead, "SPLICE_READ", {}},
    FlagName{Feature::kFlockLocks, "FLOCK_LOCKS", {}},
    FlagName{Feature::kHasIoctlDir, "HAS_IOCTL_DIR", {}},
    FlagName{Feature::kAutoInvalData, "AUTO_INVAL_DATA", {}},
    FlagName{Feature::kDoReaddirplus, "DO_READDIRPLUS", {}},
    FlagName{Feature::kReaddirplusAuto, "READDIRPLUS_AUTO", {}},
    FlagName{Feature::kAsyncDio, "ASYNC_DIO", {}},
    FlagName{Feature::kWritebackCache, "WRITEBACK_CACHE", {}},
    FlagName{Feature::kNoOpenSupport, "NO_OPEN_SUPPORT", {}},
    FlagName{Feature::kParallelDirops, "PARALLEL_DIROPS", {}},
    FlagName{Feature::kHandleKillpriv, "HANDLE_KILLPRIV", {}},
    FlagName{Feature::kPosixAcl, "POSIX_ACL", {}},
    FlagName{Feature::kAbortError, "ABORT_ERROR", {}},
    FlagName{Feature::kMaxPages, "MAX_PAGES", {}},
    FlagName{Feature::kCacheSymlinks, "CACHE_SYMLINKS", {}},
    FlagName{Feature::kNoOpendirSupport, "NO_OPENDIR_SUPPORT", {}},
    FlagName{Feature::kExplicitInvalData, "EXPLICIT_INVAL_DATA", {}},
    FlagName{Feature::kMapAlignment, "MAP_ALIGNMENT", kVirtiofs},
    FlagName{Feature::kSubmounts, "SUBMOUNTS", kVirtiofs},
    FlagName{Feature::kHandleKillprivV2, "HANDLE_KILLPRIV_V2", {}},
    FlagName{Feature::kSetxattrExt, "SETXATTR_EXT", {}},
    FlagName{Feature::kInitExt, "INIT_EXT", {}},
    FlagName{Feature::kSecurityCtx, "SECURITY_CTX", {}},
    FlagName{Feature::kHasInodeDax, "HAS_INODE_DAX", kVirtiofs},
    FlagName{Feature::kCreateSuppGroup, "CREATE_SUPP_GROUP", {}},
    FlagName{Feature::kHasExpireOnly, "HAS_EXPIRE_ONLY", {}},
    FlagName{Feature::kDirectIoAllowMmap, "DIRECT_IO_ALLOW_MMAP", {}},
    FlagName{Feature::kPassthrough, "PASSTHROUGH", {}},
    FlagName{Feature::kNoExportSupport, "NO_EXPORT_SUPPORT", {}},
    FlagName{Feature::kHasResend, "HAS_RESEND", {}},
    FlagName{Feature::kAllowIdmap, "ALLOW_IDMAP", {}},
    FlagName{Feature::kOverIoUring, "OVER_IO_URING", {}},
    FlagName{Feature::kRequestTimeout, "REQUEST_TIMEOUT", {}},
    FlagName{Feature::kHasIoUringBufpool, "HAS_IO_URING_BUFPOOL", "newer than protocol 7.45"},
};

/// The upper half of the flags means something only beside INIT_EXT.
FeatureSet offered_by(const InitRequest& offer) noexcept {
  const FeatureSet all(offer.flags);
  if (all.has(Feature::kInitExt)) return all;
  return FeatureSet(offer.flags & ((std::uint64_t{1} << kFirstUpperFlag) - 1));
}

/// INIT_EXT is always wanted: without it in the reply the kernel ignores the upper flags, and with
/// it nothing else changes.
FeatureSet wanted_by(const InitWants& wants) noexcept {
  return FeatureSet(wants.features).add(Feature::kInitExt);
}

/// Why `feature` cannot stay beside the others that are possible, or without the number or mount
/// option that it needs; empty if it can.
std::string_view conflict(Feature feature, FeatureSet possible, const InitWants& wants) noexcept {
  switch (feature) {
    case Feature::kPassthrough:
      if (possible.has(Feature::kWritebackCache)) return "WRITEBACK_CACHE excludes it";
      if (wants.max_stack_depth < 1 || wants.max_stack_depth > kLargestStackDepth)
        return "needs a stack depth of 1 or 2";
      return {};
    case Feature::kExplicitInvalData:
      return possible.has(Feature::kAutoInvalData) ? "AUTO_INVAL_DATA goes before it"
                                                   : std::string_view{};
    case Feature::kReaddirplusAuto:
      return possible.has(Feature::kDoReaddirplus) ? std::string_view{} : "needs DO_READDIRPLUS";
    case Feature::kHandleKillpriv:
      return possible.has(Feature::kHandleKillprivV2) ? "HANDLE_KILLPRIV_V2 goes before it"
                                                      : std::string_view{};
    case Feature::kNoExportSupport:
      return possible.has(Feature::kExportSupport) ? "EXPORT_SUPPORT goes before it"
                                                   : std::string_view{};
    case Feature::kAllowIdmap:
      return wants.default_permissions || possible.has(Feature::kPosixAcl)
                 ? std::string_view{}
                 : "needs default_permissions";
    case Feature::kRequestTimeout:
      return possible.has(Feature::kPosixLocks) || possible.has(Feature::kFlockLocks)
                 ? "a lock that waits would end the connection"
                 : std::string_view{};
    default:
      return {};
  }
}

FeatureSet possible_flags(const InitRequest& offer, const InitWants& wants) noexcept {
  const FeatureSet both(offered_by(offer).bits() & wanted_by(wants).bits());
  FeatureSet possible;
  for (const FlagName& flag : kFlags)
    if (flag.never.empty() && both.has(flag.feature)) possible.add(flag.feature);
  return possible;
}

/// One look at each flag is enough: none that can lose a conflict decides another one's.
FeatureSet without_conflicts(FeatureSet possible, const InitWants& wants) noexcept {
  FeatureSet kept = possible;
  for (const FlagName& flag : kFlags)
    if (!conflict(flag.feature, possible, wants).empty()) kept.remove(flag.feature);
  return kept;
}

std::string_view why_not(const FlagName& flag, const FeatureRow& row,
                         const InitAgreement& agreement, FeatureSet possible,
                         const InitWants& wants) noexcept {
  if (agreement.refusal != 0) return "connection refused";
  if (!flag.never.empty()) return flag.never;
  if (!row.offered) return "not offered by this kernel";
  if (!row.wanted) return "not wanted";
  return conflict(flag.feature, possible, wants);
}

}  // namespace

InitAgreement agree(const InitRequest& offer, const InitWants& wants) {
  InitAgreement agreement;
  agreement.minor = std::min(kOurMinor, offer.minor);
  agreement.page_size = wants.page_size;
  if (offer.major != abi::kMajor || offer.minor < kOldestMinor) {
    agreement.refusal = EPROTO;
    return agreement;
  }

  agreement.features = without_conflicts(possible_flags(offer, wants), wants);
  const FeatureSet agreed = agreement.features;
  agreement.max_pages = agreed.has(Feature::kMaxPages)
                            ? std::clamp(wants.max_pages, std::uint32_t{1}, kLargestMaxPages)
                            : kDefaultMaxPages;
  agreement.max_write = std::max(
      kSmallestMaxWrite, std::min(wants.max_write, agreement.max_pages * agreement.page_size));
  agreement.max_readahead = std::min(wants.max_readahead, offer.max_readahead);
  agreement.max_background = wants.max_background;
  agreement.congestion_threshold = wants.congestion_threshold;
  if (wants.max_background != 0)
    agreement.congestion_threshold = std::min(wants.congestion_threshold, wants.max_background);
  if (wants.time_granularity >= 1 && wants.time_granularity <= kLargestGranularity)
    agreement.time_granularity = wants.time_granularity;
  if (agreed.has(Feature::kPassthrough)) agreement.max_stack_depth = wants.max_stack_depth;
  if (agreed.has(Feature::kRequestTimeout)) agreement.request_timeout = wants.request_timeout;
  return agreement;
}

std::vector<FeatureRow> explain(const InitRequest& offer, const InitWants& wants,
                                const InitAgreement& agreement) {
  const FeatureSet offered = offered_by(offer);
  const FeatureSet wanted = wanted_by(wants);
  const FeatureSet possible = possible_flags(offer, wants);
  std::vector<FeatureRow> rows;
  rows.reserve(kFlags.size());
  for (const FlagName& flag : kFlags) {
    FeatureRow row{flag.feature,
                   flag.name,
                   offered.has(flag.feature),
                   wanted.has(flag.feature),
                   agreement.features.has(flag.feature),
                   {}};
    if (!row.agreed) row.why_not = why_not(flag, row, agreement, possible, wants);
    rows.push_back(row);
  }
  return rows;
}

}  // namespace bough::proto
