#include "ops/relocate_other.hpp"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ops/anywhere_facts.hpp"
#include "ops/copy_metadata.hpp"
#include "ops/followed_path.hpp"
#include "ops/kept_times.hpp"
#include "ops/locate.hpp"
#include "ops/place.hpp"

namespace bough::ops {
namespace {

using PlaceName = NodeTable::PlaceName;

/// For requests that are on their way through the gate.
constexpr std::chrono::seconds kGatePatience{4};
/// RENAME_NOREPLACE of renameat2(2).
constexpr std::uint32_t kNoReplace = 1;
constexpr std::uint32_t kTypeBits = 0170000;
constexpr std::uint32_t kPermissionBits = 07777;
/// PATH_MAX.
constexpr std::size_t kLongestText = 4096;

bool same(const Time& a, const Time& b) noexcept {
  return a.seconds == b.seconds && a.nanoseconds == b.nanoseconds;
}

std::size_t index_of(const BranchSet& set, BranchId id) {
  std::size_t index = 0;
  while (index < set.size() && set[index].id() != id) ++index;
  return index;
}

/// Both branches of a move, and the way between them. With the gate closed.
class Ground {
 public:
  Ground(Pool& pool, const MoveAim& aim)
      : pool_(pool), aim_(aim), set_(pool.branches.snapshot()), from_(index_of(*set_, *aim.from)) {}

  [[nodiscard]] Result<void> check_source() const {
    if (from_ == set_->size()) return Errno{ENODEV};
    if (source().absent()) return Errno{ESTALE};
    if (set_->mode(from_) == BranchMode::kReadOnly) return Errno{EROFS};
    return {};
  }
  /// For something that takes next to no room.
  [[nodiscard]] Result<std::size_t> choose(const std::string& directory) const {
    if (aim_.to) {
      const std::size_t target = index_of(*set_, *aim_.to);
      if (target == set_->size() || target == from_) return Errno{ENODEV};
      if (set_->mode(target) == BranchMode::kReadOnly || (*set_)[target].absent())
        return Errno{EROFS};
      return target;
    }
    PoolFacts facts(pool_, *set_, directory);
    facts.rule_out(from_);
    AnywhereFacts anywhere(facts);
    const policy::Choice choice = aim_.policy->choose(anywhere, pool_.random);
    if (choice.empty()) return Errno{ENOSPC};
    return choice[0];
  }
  /// Made where it is missing, with the way to it on the disk.
  [[nodiscard]] Result<DirRef> reach(std::size_t target, const std::string& path) const {
    return reach_or_clone_synced(pool_, *set_, target, path);
  }
  [[nodiscard]] Branch& source() const { return (*set_)[from_]; }
  [[nodiscard]] Branch& branch(std::size_t index) const { return (*set_)[index]; }
  [[nodiscard]] const BranchSet& set() const { return *set_; }
  [[nodiscard]] std::size_t from() const { return from_; }

 private:
  Pool& pool_;
  const MoveAim& aim_;
  std::shared_ptr<const BranchSet> set_;
  const std::size_t from_;
};

class SpecialMove {
 public:
  SpecialMove(Pool& pool, NodeId node, const MoveAim& aim)
      : pool_(pool), backing_(pool.backing), node_(node), ground_(pool, aim) {}

  Result<void> run() {
    if (const auto good = ground_.check_source(); !good) return good;
    const auto file = reach_node();
    if (!file) return file;
    if (const auto found = find_names(); !found) return found;
    const auto target = ground_.choose(names_.front().directory);
    if (!target) return target.error();
    const auto made = make_names(*target);
    if (!made) return made.error();
    for (const PlaceName& each : names_)
      if (const auto removed = remove(each); !removed) return removed;
    const Location where{ground_.branch(*target).id(), *made};
    pool_.nodes.relocate(node_, where);
    return {};
  }

 private:
  Result<void> reach_node() {
    const auto file = reach(pool_, node_);
    if (!file) return file.error();
    if (file->branch != ground_.source().id()) return Errno{EXDEV};
    like_ = file->stat;
    if (like_.is_regular() || like_.is_directory()) return Errno{EOPNOTSUPP};
    auto old = backing_.duplicate(file->fd());
    if (!old) return old.error();
    old_ = *std::move(old);
    if (!like_.is_symlink()) return {};
    text_.resize(kLongestText);
    const auto size = backing_.readlink(old_.get(), std::as_writable_bytes(std::span(text_)));
    if (!size) return size.error();
    text_.resize(*size);
    return {};
  }
  Result<void> find_names() {
    for (PlaceName& each : pool_.nodes.names_of(node_)) {
      if (is_followed(each.directory)) return Errno{EXDEV};
      const auto directory = open_directory(pool_, ground_.source(), each.directory);
      const auto stat = directory ? backing_.stat_at(directory->fd(), each.name.c_str())
                                  : Result<FileStat>(directory.error());
      if (stat && stat->id == like_.id)
        names_.push_back(std::move(each));
      else if (!stat && !means_absent(stat.error()))
        return stat.error();
    }
    if (names_.empty() || names_.size() != like_.nlink) return Errno{EBUSY};
    return {};
  }

  /// What lies under all names on the target then.
  Result<FileId> make_names(std::size_t target) {
    std::optional<FileId> first;
    Fd fresh;
    for (const PlaceName& each : names_) {
      PoolFacts facts(pool_, ground_.set(), each.directory, each.name.c_str());
      for (std::size_t i = 0; i < ground_.set().size(); ++i)
        if (i != ground_.from() && i != target && facts.exists(i)) return Errno{EEXIST};
      if (const auto failed = unanswered(facts)) return *failed;
      const auto parent = ground_.reach(target, each.directory);
      if (!parent) return parent.error();
      const KeptTimes kept(backing_, parent->fd());
      auto there = open_name(parent->fd(), each.name.c_str());
      if (there) {
        if (!is_alike(there->get())) return Errno{EEXIST};
      } else if (there.error() != Errno{ENOENT}) {
        return there.error();
      } else if (fresh) {
        if (const auto linked = backing_.link_fd(fresh.get(), parent->fd(), each.name.c_str());
            !linked)
          return linked.error();
        there = open_name(parent->fd(), each.name.c_str());
        if (!there) return there.error();
      } else {
        there = make(parent->fd(), each.name.c_str());
        if (!there) return there.error();
      }
      const auto stat = backing_.stat(there->get());
      if (!stat) return stat.error();
      if (first && *first != stat->id) return Errno{EEXIST};
      first = stat->id;
      if (const auto synced = sync_directory(pool_, parent->fd()); !synced) return synced.error();
      if (!fresh) fresh = *std::move(there);
    }
    return *first;
  }
  Result<Fd> open_name(int parent, const char* name) {
    return open_with_relief(pool_, [&] { return backing_.open_at(parent, name, O_PATH, 0); });
  }
  /// What a crash left of an earlier move.
  bool is_alike(int path_fd) {
    const auto stat = backing_.stat(path_fd);
    if (!stat || ((stat->mode ^ like_.mode) & kTypeBits) != 0 || !same(stat->mtime, like_.mtime) ||
        stat->rdev_major != like_.rdev_major || stat->rdev_minor != like_.rdev_minor)
      return false;
    if (!stat->is_symlink()) return stat->mode == like_.mode && stat->uid == like_.uid;
    std::string text(kLongestText, '\0');
    const auto size = backing_.readlink(path_fd, std::as_writable_bytes(std::span(text)));
    return size && std::string_view(text).substr(0, *size) == text_;
  }

  /// Under another name until all that belongs to it is there.
  Result<Fd> make(int parent, const char* name) {
    const HiddenName hidden = hidden_name(pool_.random);
    const auto made =
        like_.is_symlink()
            ? backing_.symlink_at(text_.c_str(), parent, hidden.data())
            : backing_.mknod_at(
                  parent, hidden.data(), like_.mode & kTypeBits,
                  static_cast<std::uint32_t>(makedev(like_.rdev_major, like_.rdev_minor)));
    if (!made) return made.error();
    UndoName undo(backing_, parent, hidden.data(), false);
    auto fresh = open_name(parent, hidden.data());
    if (!fresh) return fresh;
    if (const auto owned = backing_.chown(fresh->get(), like_.uid, like_.gid);
        !owned && !cannot_hold(owned.error()))
      return owned.error();
    if (const auto copied = copy_xattrs(backing_, old_.get(), fresh->get());
        !copied && !cannot_hold(copied.error()))
      return copied.error();
    if (!like_.is_symlink())
      if (const auto set = backing_.chmod(fresh->get(), like_.mode & kPermissionBits);
          !set && !cannot_hold(set.error()))
        return set.error();
    if (const auto timed = backing_.set_times(fresh->get(), times_of(like_));
        !timed && !cannot_hold(timed.error()))
      return timed.error();
    auto named = backing_.rename_at(parent, hidden.data(), parent, name, kNoReplace);
    // A file system that knows no flags: with the gate closed nobody has made the name meanwhile.
    if (!named && named.error() == Errno{EINVAL})
      named = backing_.rename_at(parent, hidden.data(), parent, name, 0);
    if (!named) return named.error();
    undo.dismiss();
    return fresh;
  }

  Result<void> remove(const PlaceName& place) {
    const auto directory = open_directory(pool_, ground_.source(), place.directory);
    if (!directory) return directory.error();
    const auto stat = backing_.stat_at(directory->fd(), place.name.c_str());
    if (!stat) return stat.error();
    if (stat->id != like_.id) return Errno{EBUSY};
    const KeptTimes kept(backing_, directory->fd());
    return backing_.unlink_at(directory->fd(), place.name.c_str());
  }

  Pool& pool_;
  Backing& backing_;
  const NodeId node_;
  const Ground ground_;
  FileStat like_;
  Fd old_;
  std::string text_;
  std::vector<PlaceName> names_;
};

/// A directory shows the newest time of its copies: one of those that stay gets that of the one
/// that goes.
void leave_times(Pool& pool, const Ground& ground, const std::string& path) {
  const auto leaving = open_directory(pool, ground.source(), path);
  const auto last = leaving ? pool.backing.stat(leaving->fd()) : Result<FileStat>(leaving.error());
  if (!last) return;
  const auto newer = [](const Time& one, const Time& other) {
    return one.seconds != other.seconds ? one.seconds > other.seconds
                                        : one.nanoseconds > other.nanoseconds;
  };
  DirRef heir;
  FileStat its;
  for (std::size_t i = 0; i < ground.set().size(); ++i) {
    if (i == ground.from() || ground.branch(i).absent()) continue;
    auto copy = open_directory(pool, ground.branch(i), path);
    const auto stat = copy ? pool.backing.stat(copy->fd()) : Result<FileStat>(copy.error());
    if (!stat) continue;
    if (!newer(last->mtime, stat->mtime)) return;
    if (heir || ground.set().mode(i) == BranchMode::kReadOnly) continue;
    heir = *std::move(copy);
    its = *stat;
  }
  if (!heir) return;
  its.mtime = last->mtime;
  (void)pool.backing.set_times(heir.fd(), times_of(its));
}

Result<void> move_directory(Pool& pool, const std::string& path, const MoveAim& aim) {
  const Ground ground(pool, aim);
  if (const auto good = ground.check_source(); !good) return good;
  const auto slash = path.rfind('/');
  const std::string above = slash == std::string::npos ? "" : path.substr(0, slash);
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  const auto parent = open_directory(pool, ground.source(), above);
  if (!parent) return parent.error();
  const auto empty = is_empty_directory(pool, parent->fd(), name.c_str());
  if (!empty) return empty.error();
  if (!*empty) return Errno{ENOTEMPTY};
  PoolFacts facts(pool, ground.set(), path);
  bool elsewhere = false;
  for (std::size_t i = 0; i < ground.set().size(); ++i)
    elsewhere = (i != ground.from() && facts.exists(i)) || elsewhere;
  if (!elsewhere || aim.to) {
    const auto target = ground.choose(above);
    if (!target) return target.error();
    if (const auto made = ground.reach(*target, path); !made) return made.error();
  }
  leave_times(pool, ground, path);
  const KeptTimes kept(pool.backing, parent->fd());
  const auto removed = pool.backing.rmdir_at(parent->fd(), name.c_str());
  pool.directories.moved();
  return removed;
}

}  // namespace

Result<void> relocate_special(Pool& pool, NodeId node, const MoveAim& aim) {
  const Gate::Closure alone(pool.gate, kGatePatience);
  if (!alone.closed()) return Errno{EBUSY};
  return SpecialMove(pool, node, aim).run();
}

Result<void> relocate_directory(Pool& pool, NodeId node, const MoveAim& aim) {
  const Gate::Closure alone(pool.gate, kGatePatience);
  if (!alone.closed()) return Errno{EBUSY};
  PathText path;
  if (const auto known = directory_path(pool, node, path); !known) return known;
  if (path.view().empty() || is_followed(path.view())) return Errno{EOPNOTSUPP};
  return move_directory(pool, std::string(path.view()), aim);
}

}  // namespace bough::ops
