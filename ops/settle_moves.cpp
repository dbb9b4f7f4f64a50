#include "ops/settle_moves.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ops/kept_times.hpp"
#include "ops/locate.hpp"
#include "ops/move_record.hpp"
#include "ops/place.hpp"
#include "ops/raw_dirents.hpp"

namespace bough::ops {
namespace {

/// More names than any file has that somebody moves.
constexpr std::size_t kLongest = 16U << 20U;
/// Requests are under way through the gate; a record can wait for the next time.
constexpr std::chrono::seconds kGatePatience{4};

/// What one record is about, and what becomes of it.
class Settlement {
 public:
  /// On branch `target` of `set`, under `name` in its root.
  Settlement(Pool& pool, const BranchSet& set, std::size_t target, int root, std::string name,
             const MoveRecord& record)
      : pool_(pool),
        set_(set),
        target_(target),
        root_(root),
        name_(std::move(name)),
        record_(record),
        moved_(name_.ends_with(kMovedSuffix)) {}

  /// Whether the record is of no more use.
  bool run() {
    origin_ = find_origin();
    if (origin_ == set_.size()) {
      wait("came from branch " + record_.origin_path +
           ", which is not there or not in the pool, when a crash ended its move: until it is, " +
           set_[target_].path() + "/" + name_ + " stays");
      return false;
    }
    bool over = false;
    {
      const Gate::Closure alone(pool_.gate, kGatePatience);
      if (!alone.closed()) return false;
      look();
      over = !unknown_ && decide();
    }
    for (const DirRef* const directory : changed_)
      over = sync_directory(pool_, directory->fd()).has_value() && over;
    return over;
  }

 private:
  /// A name under which one of the two files is there.
  struct Found {
    DirRef directory;
    const NodeTable::PlaceName* place = nullptr;
    FileId file;
  };
  struct File {
    std::vector<Found> names;
    /// Since the record was written.
    bool changed = false;
  };

  /// Roots of disks that were made alike, in the same second, are alike: the one at the old place
  /// is meant. A disk that is mounted elsewhere now must be the only one, with nobody missing.
  [[nodiscard]] std::size_t find_origin() const {
    std::size_t found = set_.size();
    bool doubtful = false;
    for (std::size_t i = 0; i < set_.size(); ++i) {
      if (i == target_) continue;
      const bool at_its_place = set_[i].path() == record_.origin_path;
      const FileId root = set_[i].root_id();
      const bool same = !set_[i].absent() && root.ino == record_.origin.ino &&
                        root.birth_ns == record_.origin.birth_ns;
      if (same && at_its_place) return i;
      if (at_its_place && set_[i].absent()) doubtful = true;
      if (!same || root.birth_ns == 0) continue;
      doubtful = doubtful || found != set_.size();
      found = i;
    }
    return doubtful ? set_.size() : found;
  }

  void look() {
    for (const auto& place : record_.names) {
      look_at(place, target_, record_.to, record_.to_looks, fresh_);
      look_at(place, origin_, record_.from, record_.from_looks, old_);
    }
    // A name less and a name more change it as well, so it tells only while all are as they were.
    if (!moved_ && has_all(old_) && old_links_ == old_.names.size() && old_ctime_differs_)
      old_.changed = true;
  }
  void look_at(const NodeTable::PlaceName& place, std::size_t branch, const FileId& file,
               const FileLooks& looks, File& into) {
    auto directory = open_directory(pool_, set_[branch], place.directory);
    const auto stat = directory ? pool_.backing.stat_at(directory->fd(), place.name.c_str())
                                : Result<FileStat>(directory.error());
    if (!stat) {
      unknown_ = unknown_ || !means_absent(stat.error());
      return;
    }
    if (!stat->is_regular() || stat->id.ino != file.ino || stat->id.birth_ns != file.birth_ns)
      return;
    const FileLooks now = looks_of(*stat);
    const bool same = same_looks(now, looks);
    // Without a birth time the number may mean another file by now.
    if (!same && file.birth_ns == 0) return;
    into.changed = into.changed || !same;
    into.names.push_back({*std::move(directory), &place, stat->id});
    if (&into != &old_) return;
    old_links_ = stat->nlink;
    old_ctime_differs_ = now.ctime.seconds != looks.ctime.seconds ||
                         now.ctime.nanoseconds != looks.ctime.nanoseconds;
  }
  [[nodiscard]] bool has_all(const File& file) const {
    return file.names.size() == record_.names.size();
  }
  [[nodiscard]] bool in_use(const File& file) const {
    return !file.names.empty() && pool_.handles.is_open(file.names.front().file);
  }

  bool decide() {
    const bool new_is_whole = moved_ || has_all(fresh_);
    if (old_.names.empty()) {
      if (!new_is_whole && !fresh_.names.empty()) leave_both();
      return true;
    }
    if (fresh_.changed && old_.changed) return leave_both();
    if (old_.changed || !new_is_whole) return take_back();
    return go_on();
  }
  bool leave_both() {
    say("was changed after a crash ended its move: what is left of both copies stays", target_);
    return true;
  }
  /// The old file is the file.
  bool take_back() {
    if (!has_all(old_) || fresh_.changed) return fresh_.names.empty() || leave_both();
    if (in_use(fresh_)) return wait_for_users();
    if (!fresh_.names.empty()) say("stays here: a crash ended its move", origin_);
    return let_go(fresh_, old_, target_);
  }
  /// The new file is.
  bool go_on() {
    if (in_use(old_)) {
      const bool either = has_all(old_) && !fresh_.changed && !in_use(fresh_);
      return either ? take_back() : wait_for_users();
    }
    if (!moved_ || pool_.unsettled.first_time(name_))
      say("was on two branches after a crash; it is on this one now", target_);
    if (let_go(old_, fresh_, origin_)) return true;
    mark_as_moved(pool_, root_, name_);
    return false;
  }
  bool wait_for_users() {
    wait("was on two branches after a crash, and both copies are open: that is settled later");
    return false;
  }

  /// All names of `loser` go; what cannot is hidden.
  bool let_go(const File& loser, const File& winner, std::size_t branch) {
    if (!winner.names.empty()) pool_.unsettled.show(winner.names.front().file);
    if (loser.names.empty()) return true;
    bool all = set_.mode(branch) != BranchMode::kReadOnly;
    for (const Found& each : loser.names) {
      if (!all) break;
      all = pool_.backing.unlink_at(each.directory.fd(), each.place->name.c_str()).has_value();
      if (all) changed_.push_back(&each.directory);
    }
    if (all)
      pool_.unsettled.show(loser.names.front().file);
    else
      pool_.unsettled.hide(loser.names.front().file);
    return all;
  }

  void wait(const std::string& what) {
    if (pool_.unsettled.first_time(name_)) say(what, target_);
  }
  void say(const std::string& what, std::size_t branch) {
    const auto& place = record_.names.front();
    pool_.complain(set_[branch].path() + "/" + place.directory +
                   (place.directory.empty() ? "" : "/") + place.name + " " + what);
  }

  Pool& pool_;
  const BranchSet& set_;
  const std::size_t target_;
  const int root_;
  const std::string name_;
  const MoveRecord& record_;
  const bool moved_;
  std::size_t origin_ = 0;
  File fresh_;
  File old_;
  std::uint32_t old_links_ = 0;
  bool old_ctime_differs_ = false;
  /// A branch could not be asked.
  bool unknown_ = false;
  /// Directories that lost names.
  std::vector<const DirRef*> changed_;
};

/// What lies in the root of one branch.
class Leftovers {
 public:
  Leftovers(Pool& pool, const BranchSet& set, std::size_t index)
      : pool_(pool), set_(set), index_(index) {}

  void settle() {
    auto root = set_[index_].root();
    if (!root) return;
    root_ = *std::move(root);
    for (const std::string& name : names()) {
      const auto file = open_with_relief(pool_, [&] {
        return pool_.backing.open_at(root_.fd(), name.c_str(), O_RDONLY | O_NONBLOCK, 0);
      });
      if (!file) continue;
      const auto stat = pool_.backing.stat(file->get());
      if (!stat || !stat->is_regular() || !is_ours(*stat)) continue;
      // Somebody works with it.
      if (pool_.backing.lock(file->get()).error() == Errno{EWOULDBLOCK}) continue;
      if (!name.ends_with(kPartSuffix) && !settle_record(file->get(), stat->size, name)) continue;
      const KeptTimes kept(pool_.backing, root_.fd());
      (void)pool_.backing.unlink_at(root_.fd(), name.c_str());
    }
  }

 private:
  /// Who may write to the branch's root could have made it as well.
  [[nodiscard]] bool is_ours(const FileStat& stat) const noexcept {
    constexpr std::uint32_t kWritten = 022;
    return stat.uid == pool_.own.uid && stat.nlink == 1 && (stat.mode & kWritten) == 0;
  }

  [[nodiscard]] std::vector<std::string> names() {
    std::vector<std::string> found;
    const auto directory = set_[index_].readable_directory("");
    if (!directory) return found;
    alignas(8) std::array<std::byte, 16384> buffer;
    for (;;) {
      const auto got = pool_.backing.list(directory->get(), buffer);
      if (!got || *got == 0) return found;
      RawDirents records{std::span(buffer).first(*got)};
      while (const auto entry = records.next())
        if (is_of_a_move(entry->name)) found.emplace_back(entry->name);
    }
  }

  /// Whether the record is of no more use.
  bool settle_record(int file, std::uint64_t size, const std::string& name) {
    if (size > kLongest) return false;
    std::string text(size, '\0');
    for (std::size_t at = 0; at < text.size();) {
      const auto got =
          pool_.backing.read(file, std::as_writable_bytes(std::span(text).subspan(at)), at);
      if (!got) return false;
      if (*got == 0) break;
      at += *got;
    }
    // Not whole: it did not come to names.
    const auto record = parse_move_record(text);
    return !record || Settlement(pool_, set_, index_, root_.fd(), name, *record).run();
  }

  Pool& pool_;
  const BranchSet& set_;
  const std::size_t index_;
  DirRef root_;
};

}  // namespace

void finish_moves(Pool& pool) {
  const std::lock_guard alone(pool.unsettled.settling);
  const auto set = pool.branches.snapshot();
  for (std::size_t i = 0; i < set->size(); ++i)
    if (!(*set)[i].absent() && set->mode(i) != BranchMode::kReadOnly)
      Leftovers(pool, *set, i).settle();
}

}  // namespace bough::ops
