#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ops/copy_metadata.hpp"
#include "ops/pool.hpp"

/// What lies in the root directory of the branch that a file is moved to, for the time in which a
/// crash could leave it there and on its old branch as well: ".boughfs-NUMBER.move" says which two
/// files are one, and under which names. It is ".boughfs-NUMBER.moved" once the new file is the
/// file, whatever becomes of its names, and the old one could not be removed. Where a file system
/// has no files without a name, the copy is ".boughfs-NUMBER.part" until it is whole. Who works
/// with one of them has it locked (flock(2)).
namespace bough::ops {

/// What shows whether a file was changed since. Changes of names show in the ctime as well.
struct FileLooks {
  std::uint64_t size = 0;
  Time mtime;
  Time ctime;
  std::uint32_t mode = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
};
[[nodiscard]] FileLooks looks_of(const FileStat& stat) noexcept;
/// But for the ctime.
[[nodiscard]] bool same_looks(const FileLooks& one, const FileLooks& other) noexcept;

struct MoveRecord {
  /// The root of the branch that the old file is on, and its path.
  FileId origin;
  std::string origin_path;
  /// The old file, as it was copied.
  FileId from;
  FileLooks from_looks;
  /// The new one, before it had names.
  FileId to;
  FileLooks to_looks;
  std::vector<NodeTable::PlaceName> names;
};

[[nodiscard]] std::string text_of(const MoveRecord& record);
/// Nothing: not a whole record. Devices are not part of it: their numbers change.
[[nodiscard]] std::optional<MoveRecord> parse_move_record(std::string_view text);

inline constexpr std::string_view kRecordSuffix = ".move";
inline constexpr std::string_view kMovedSuffix = ".moved";
inline constexpr std::string_view kPartSuffix = ".part";
/// As hidden_name(), with one of these behind it.
[[nodiscard]] HiddenName hidden_name(policy::Random& random, std::string_view suffix) noexcept;
/// Whether it is such a name.
[[nodiscard]] bool is_of_a_move(std::string_view name) noexcept;

/// The record `name` in the directory `root` says from now on that the new file is the file.
void mark_as_moved(Pool& pool, int root, std::string_view name);

/// A record on a disk. Removed when it goes.
class RecordFile {
 public:
  RecordFile(Pool& pool, Branch& branch) noexcept : pool_(pool), branch_(branch) {}
  ~RecordFile();
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;

  /// In place of what was written before. When it returns, it is on the disk, unless the caller
  /// sees to that.
  [[nodiscard]] Result<void> write(const MoveRecord& record, bool synced = true);
  /// It stays, for the next start.
  void keep() noexcept { kept_ = true; }
  /// It stays, and says from now on that the new file is the file.
  void keep_as_moved();

 private:
  void remove() noexcept;

  Pool& pool_;
  Branch& branch_;
  DirRef root_;
  HiddenName name_{};
  Fd file_;
  bool kept_ = false;
};

}  // namespace bough::ops
