#pragma once

#include <cstdint>

namespace bough::ops {

/// The option cache.files: how the kernel is to cache the data of what is opened.
enum class CacheFiles : std::uint8_t {
  kAuto,
  kLibfuse,
  kOff,
  kPartial,
  kFull,
  kAutoFull,
  kPerProcess,
};

/// The option flush-on-close: whether close(2) waits for a FLUSH.
enum class FlushOnClose : std::uint8_t {
  kAuto,
  kNever,
  kOpenedForWrite,
  kAlways,
};

/// Everything that the open flags follow from.
struct OpenFacts {
  CacheFiles mode = CacheFiles::kAuto;
  /// The three switches of kLibfuse.
  bool direct_io = false;
  bool kernel_cache = false;
  bool auto_cache = false;
  bool parallel_direct_writes = true;
  FlushOnClose flush = FlushOnClose::kAuto;
  /// Direct files can be mapped shared (DIRECT_IO_ALLOW_MMAP is agreed).
  bool direct_mmap = false;
  /// The kernel keeps sizes and times (WRITEBACK_CACHE is agreed).
  bool writeback = false;
  /// The file can only be appended to (FS_APPEND_FL).
  bool append_only = false;
  /// close(2) of the branch's file has nothing to do or report.
  bool closes_quietly = false;
  /// open(2)'s, as the caller gave them.
  std::uint32_t flags = 0;
  /// The caller is one of cache.files.process-names. Asked only where asks_process().
  bool listed = false;
  /// The file is as it was when it was last opened. Asked only where asks_history().
  bool unchanged = false;
};

[[nodiscard]] constexpr bool asks_process(CacheFiles mode) noexcept {
  return mode == CacheFiles::kPerProcess;
}
[[nodiscard]] constexpr bool asks_history(CacheFiles mode, bool auto_cache) noexcept {
  return mode == CacheFiles::kAuto || mode == CacheFiles::kAutoFull ||
         (mode == CacheFiles::kLibfuse && auto_cache);
}

/// The FOPEN_* bits (proto::abi::open_reply) for the answer to OPEN, CREATE and TMPFILE. A pure
/// function. kAuto is our own choice, the same on every kernel but for one case; PROTOCOL.md gives
/// the reasons, kernel by kernel.
[[nodiscard]] std::uint32_t open_mode(const OpenFacts& facts) noexcept;

}  // namespace bough::ops
