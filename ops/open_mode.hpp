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

/// The option passthrough.io: whose reads and writes the kernel makes on the branch's file itself.
enum class PassthroughIo : std::uint8_t {
  kOff,
  kReadOnly,
  kWriteOnly,
  kReadWrite,
  kAuto,
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
  /// The node is bound to a backing file (Passthrough); nothing of the above but `flush` and
  /// `parallel_direct_writes` matters then.
  bool bound = false;
  /// Where bound: wanted_path() said kPast. Else the file's reads and writes come to us all the
  /// same.
  bool past = false;
};

/// Where the reads and writes of a file are to go, as far as the options say. A file that comes to
/// us may still be one of a bound node (Passthrough); its mappings are the branch's own then.
enum class IoPath : std::uint8_t {
  kToUs,       ///< does not ask for its node to be bound
  kBoundToUs,  ///< its node may be bound, for others
  kPast,       ///< past us, made by the kernel on the branch's file
};

/// | passthrough.io | past us are files opened for  | cache.files    |
/// |----------------|-------------------------------|----------------|
/// | off            | nothing                       |                |
/// | ro             | reading only                  | whatever it is |
/// | wo             | writing only                  | whatever it is |
/// | rw             | anything                      | whatever it is |
/// | auto           | anything, but for writing not | auto           |
/// |                | with O_APPEND or O_DIRECT     |                |
///
/// So a mode of caching that was chosen counts before passthrough that was not, and passthrough
/// that was chosen before either. The exception of auto: the kernel opens the branch's file with
/// these two flags and never hears of fcntl(2) (F_SETFL) clearing them (Linux 6.18,
/// backing_file_write_iter()). A program's write would go to the file's end all the same, or be
/// refused: dd(1) clears O_DIRECT for a last block that is not whole. Besides, O_DIRECT writes run
/// side by side only if they come to us.
///
/// With `writes_to_us` no file that is opened for writing goes past us, whatever the option: one
/// with set-ids, since only a WRITE tells whether its writer may keep them, or one that may need
/// room that is only being freed (may_need_freed_space()). To read a file of less than kSmallFile
/// bytes costs less than to bind its node (measured: 8 µs beside one READ), so that auto leaves it
/// to us and the page cache.
///
/// `moves`: files are to go where there is room (moveonenospc), and there is more than one branch.
/// What the kernel writes by itself cannot, so that with auto a file that is opened for writing
/// first of all does not ask for it.
[[nodiscard]] IoPath wanted_path(PassthroughIo option, CacheFiles mode, std::uint32_t flags,
                                 bool writes_to_us, std::uint64_t size,
                                 bool moves = false) noexcept;
inline constexpr std::uint64_t kSmallFile = 16384;

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
