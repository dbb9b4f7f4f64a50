#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ops/copy_metadata.hpp"
#include "ops/pool.hpp"

/// What lies in the root directory of the branch that a file is moved to, for the time in which a
/// crash could leave it there and on its old branch as well: ".boughfs-NUMBER.move" says which two
/// files are one, and under which names. Where a file system has no files without a name, the copy
/// is ".boughfs-NUMBER.part" until it is whole. Who works with one of them has it locked
/// (flock(2)).
namespace bough::ops {

struct MoveRecord {
  /// The old file; it counts as such only as it was then.
  FileId from;
  std::uint64_t size = 0;
  Time mtime;
  /// The new one.
  FileId to;
  std::vector<NodeTable::PlaceName> names;
};

[[nodiscard]] std::string text_of(const MoveRecord& record);
/// Nothing: not a whole record. Devices are not part of it: their numbers change.
[[nodiscard]] std::optional<MoveRecord> parse_move_record(std::string_view text);

inline constexpr std::string_view kRecordSuffix = ".move";
inline constexpr std::string_view kPartSuffix = ".part";
/// As hidden_name(), with one of these behind it.
[[nodiscard]] HiddenName hidden_name(policy::Random& random, std::string_view suffix) noexcept;

/// A record on a disk. Removed when it goes.
class RecordFile {
 public:
  RecordFile(Pool& pool, Branch& branch) noexcept : pool_(pool), branch_(branch) {}
  ~RecordFile();
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;

  /// In place of what was written before. When it returns, it is on the disk.
  [[nodiscard]] Result<void> write(const MoveRecord& record);
  /// It stays, for the next start.
  void keep() noexcept { kept_ = true; }

 private:
  void remove() noexcept;

  Pool& pool_;
  Branch& branch_;
  DirRef root_;
  HiddenName name_{};
  Fd file_;
  bool kept_ = false;
};

/// Ends what a crash left unfinished on the branches, so that each file is on one of them: the new
/// file counts once it has all the names, since it has them only when it is whole; else the old
/// one. What cannot be decided, since a branch is out of reach, stays for the next time. Complains
/// about what it did. Before the first request, or when a branch comes back.
void finish_moves(Pool& pool);

}  // namespace bough::ops
