#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "ops/backing.hpp"

namespace bough::ops {

/// What tells a branch's root from others, after a restart too. All 0: nothing does.
struct RootMark {
  std::uint64_t type = 0;
  std::uint64_t fsid = 0;
  std::uint64_t ino = 0;
  std::int64_t birth_ns = 0;
};

[[nodiscard]] RootMark root_mark(const FileStat& stat, const FsStat& fs) noexcept;

/// Whether a root can be told again: on a local file system that outlives a restart, by its birth
/// or by an id that the file system keeps.
[[nodiscard]] bool can_be_told_again(const RootMark& mark) noexcept;

/// Where f_fsid is kept on the disk, it decides: a directory that was removed and made anew there
/// is the branch. Of XFS and others it is the device's number, which may be another one after a
/// restart: there the directory itself must be the same. (While a pool is mounted, everywhere: what
/// takes its place then is nothing that a user has prepared for it.)
[[nodiscard]] bool is_same_root(const RootMark& one, const RootMark& other) noexcept;

/// By the branches' paths.
using RootMarks = std::map<std::string, RootMark>;
/// What root_marks_text() made. A line that is not understood says nothing.
[[nodiscard]] RootMarks parse_root_marks(std::string_view text);
[[nodiscard]] std::string root_marks_text(const RootMarks& marks);

/// What the branches of a pool were when it used them last, kept in a file from one mount to the
/// next. Any thread.
class PoolMemory {
 public:
  /// Reads the file. Empty: nothing is kept from one mount to the next.
  explicit PoolMemory(std::string file);
  /// Why the file, which is there, could not be read: an errno, or 0. Nothing is known of the
  /// branches then, or not of all.
  [[nodiscard]] int unread() const noexcept { return unread_; }

  /// Whether this is not what the pool used at `path`.
  [[nodiscard]] bool is_another(const std::string& path, const RootMark& now) const;
  /// Whether the pool used something at `path`.
  [[nodiscard]] bool holds(const std::string& path) const;
  /// Where the pool used something that `pattern` means, see is_meant().
  [[nodiscard]] std::vector<std::string> meant_by(const std::string& pattern) const;
  /// Nothing is expected at `path` any more.
  void forget(const std::string& path);
  /// The pool uses this from now on. Of what cannot be told again only its path is kept; of what
  /// does not outlive a restart, or lies on the system's own disk (`shared_disk`: a disk may still
  /// be mounted over it), nothing.
  void uses(const std::string& path, const RootMark& now, bool shared_disk);
  /// Writes the file if something changed. False, once: it cannot be written; errno says why.
  [[nodiscard]] bool save();
  [[nodiscard]] const std::string& file() const noexcept { return file_; }

 private:
  const std::string file_;
  int unread_ = 0;
  mutable std::mutex mutex_;
  RootMarks marks_;
  bool changed_ = false;
  bool told_ = false;
};

}  // namespace bough::ops
