#include "ops/open_mode.hpp"

#include <fcntl.h>

#include "proto/kernel_abi.hpp"

namespace bough::ops {
namespace {

struct Caching {
  bool direct = false;
  bool keep = false;
};

Caching caching(const OpenFacts& facts) noexcept {
  if (facts.bound) return {!facts.past, false};
  // The kernel would write its pages whole and set times, both of which such a file refuses.
  if (facts.writeback && facts.append_only) return {true, false};
  switch (facts.mode) {
    case CacheFiles::kAuto:
      // Where the kernel keeps the times, it moves none for a direct file.
      if (facts.writeback) return {false, facts.unchanged};
      // What can only be written can be neither read from the cache nor mapped: each write is a
      // request anyway, and goes without a copy in the cache.
      if ((facts.flags & O_ACCMODE) == O_WRONLY) return {true, false};
      // Who asks for O_DIRECT wants his writes side by side, which a cached file does not allow;
      // and he may map the file all the same.
      if ((facts.flags & O_DIRECT) != 0 && facts.direct_mmap) return {true, false};
      return {false, facts.unchanged};
    case CacheFiles::kLibfuse:
      return {facts.direct_io, facts.kernel_cache || (facts.auto_cache && facts.unchanged)};
    case CacheFiles::kOff:
      return {true, false};
    case CacheFiles::kPartial:
      return {false, false};
    case CacheFiles::kFull:
      return {false, true};
    case CacheFiles::kAutoFull:
      return {false, facts.unchanged};
    case CacheFiles::kPerProcess:
      return {!facts.listed, false};
  }
  return {};
}

bool flushes(const OpenFacts& facts) noexcept {
  const bool writes = (facts.flags & O_ACCMODE) != O_RDONLY;
  switch (facts.flush) {
    case FlushOnClose::kAuto:
      return writes && !facts.closes_quietly;
    case FlushOnClose::kNever:
      return false;
    case FlushOnClose::kOpenedForWrite:
      return writes;
    case FlushOnClose::kAlways:
      return true;
  }
  return true;
}

}  // namespace

IoPath wanted_path(PassthroughIo option, CacheFiles mode, std::uint32_t flags, bool writes_to_us,
                   std::uint64_t size, bool moves) noexcept {
  const std::uint32_t access = flags & O_ACCMODE;
  const IoPath best = writes_to_us && access != O_RDONLY ? IoPath::kBoundToUs : IoPath::kPast;
  const auto past_if = [best](bool past) { return past ? best : IoPath::kToUs; };
  switch (option) {
    case PassthroughIo::kOff:
      return IoPath::kToUs;
    case PassthroughIo::kReadOnly:
      return past_if(access == O_RDONLY);
    case PassthroughIo::kWriteOnly:
      return past_if(access == O_WRONLY);
    case PassthroughIo::kReadWrite:
      return best;
    case PassthroughIo::kAuto:
      if (mode != CacheFiles::kAuto) return IoPath::kToUs;
      if (access == O_RDONLY && size < kSmallFile) return IoPath::kToUs;
      if (access != O_RDONLY && moves) return IoPath::kToUs;
      if (access != O_RDONLY && (flags & (O_APPEND | O_DIRECT)) != 0) return IoPath::kBoundToUs;
      return best;
  }
  return IoPath::kToUs;
}

std::uint32_t open_mode(const OpenFacts& facts) noexcept {
  namespace reply = proto::abi::open_reply;
  const auto [direct, keep] = caching(facts);
  std::uint32_t flags = 0;
  if (direct) flags |= reply::kDirectIo;
  if (direct && facts.parallel_direct_writes) flags |= reply::kParallelDirectWrites;
  if (keep) flags |= reply::kKeepCache;
  if (facts.bound) flags |= reply::kPassthrough;
  if (!flushes(facts)) flags |= reply::kNoflush;
  return flags;
}

}  // namespace bough::ops
