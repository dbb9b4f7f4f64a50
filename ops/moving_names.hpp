#pragma once

#include <optional>
#include <vector>

#include "ops/moving_file.hpp"

namespace bough::ops {

/// A directory in which a name comes or goes. To users nothing is new in it, so its times stay.
class Timeless {
 public:
  Timeless(Backing& backing, DirRef directory);
  [[nodiscard]] int fd() const noexcept { return directory_.fd(); }
  void restore() const noexcept;

 private:
  Backing& backing_;
  DirRef directory_;
  std::optional<TimesChange> times_;
};

/// The names of a file on their way from its old branch to the new one, with the gate closed: the
/// copy gets all of them, and then the old file loses all. The record, which is on the disk before,
/// is what a start ends that finds some of both.
class MovingNames {
 public:
  /// All of them outlive this. `about` is what `record` says.
  MovingNames(Pool& pool, MovingFile& file, RecordFile& record, MoveRecord& about)
      : pool_(pool), backing_(pool.backing), file_(file), record_(record), about_(about) {}

  /// As they are now, on the record, too.
  [[nodiscard]] Result<void> find(Branch& to);
  /// The copy gets them. After a failure it has none.
  [[nodiscard]] Result<void> make(HiddenCopy& copy);
  /// The copy, which was given all, loses them again.
  void take_back() { remove_new(moves_.size()); }
  /// The old file loses them: all or none.
  [[nodiscard]] Result<void> remove_old();
  /// Old names stay, or some do, and the handles are of the new file, which has all of them: it is
  /// the file, and the old one is hidden until it can be removed.
  void leave_old_behind() noexcept;
  /// That the old ones went is on the disk then, or else the record stays.
  void sync_old();

 private:
  struct NameMove {
    MovingFile::PlaceName place;
    Timeless from;
    Timeless to;
  };

  [[nodiscard]] Result<void> renew_record();
  void remove_new(std::size_t count);
  [[nodiscard]] Result<void> remove_old(const NameMove& move);
  void hide(const FileId& file) noexcept;
  void tell(const char* what, const MovingFile::PlaceName& place) noexcept;

  Pool& pool_;
  Backing& backing_;
  MovingFile& file_;
  RecordFile& record_;
  MoveRecord& about_;
  std::vector<NameMove> moves_;
};

/// As people know it.
[[nodiscard]] std::string path_of(const MovingFile::PlaceName& place);

}  // namespace bough::ops
