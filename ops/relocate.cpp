#include "ops/relocate.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "ops/anywhere_facts.hpp"
#include "ops/copy_metadata.hpp"
#include "ops/file_copy.hpp"
#include "ops/handle_switch.hpp"
#include "ops/hidden_copy.hpp"
#include "ops/locate.hpp"
#include "ops/move_record.hpp"
#include "ops/place.hpp"

namespace bough::ops {
namespace {

using PlaceName = NodeTable::PlaceName;

/// For requests that are on their way through the gate. Everybody waits meanwhile, so that it is
/// better to come back when a disk has spun up.
constexpr std::chrono::seconds kGatePatience{4};
constexpr std::chrono::seconds kGatePause{2};
constexpr int kGateTries = 5;
constexpr std::uint64_t kBlock = 512;

bool same_time(const Time& a, const Time& b) noexcept {
  return a.seconds == b.seconds && a.nanoseconds == b.nanoseconds;
}

/// What MoveWatch::reserve() took.
struct Reserved {
  Reserved(const MoveWatch& of, BranchId on, std::uint64_t size)
      : watch(of), branch(on), bytes(size) {}
  ~Reserved() { watch.give_back(branch, bytes); }
  Reserved(const Reserved&) = delete;
  Reserved& operator=(const Reserved&) = delete;
  const MoveWatch& watch;
  const BranchId branch;
  const std::uint64_t bytes;
};

/// The file systems that a batch of moves works on, each to be synced as a whole.
class Syncs {
 public:
  explicit Syncs(Pool& pool) noexcept : pool_(pool) {}

  /// From now on what cannot be written there is an error of sync().
  Result<void> watch(Branch& branch) {
    for (const auto& [known, root] : roots_)
      if (known == &branch) return {};
    auto root = branch.readable_directory("");
    if (!root) return root.error();
    roots_.emplace_back(&branch, *std::move(root));
    return {};
  }
  Result<void> sync(const Branch& branch) {
    for (const auto& [known, root] : roots_)
      if (known == &branch) return pool_.backing.sync_file_system(root.get());
    return Errno{EIO};
  }
  Result<void> sync_all() {
    for (const auto& [branch, root] : roots_)
      if (const auto done = pool_.backing.sync_file_system(root.get()); !done) return done;
    return {};
  }

 private:
  Pool& pool_;
  std::vector<std::pair<Branch*, Fd>> roots_;
};

/// The thread asks disks when nobody else does, for as long as this lives.
struct IdleThread {
  IdleThread(Backing& calls, bool idles) : backing(calls), idle(idles) {
    if (idle) backing.act_idle(true);
  }
  ~IdleThread() {
    if (idle) backing.act_idle(false);
  }
  IdleThread(const IdleThread&) = delete;
  IdleThread& operator=(const IdleThread&) = delete;
  Backing& backing;
  const bool idle;
};

/// A directory in which a name comes or goes. To users nothing is new in it, so its times stay.
class Timeless {
 public:
  Timeless(Backing& backing, DirRef directory)
      : backing_(backing), directory_(std::move(directory)) {
    if (const auto stat = backing.stat(directory_.fd())) times_ = times_of(*stat);
  }
  [[nodiscard]] int fd() const noexcept { return directory_.fd(); }
  void restore() const noexcept {
    if (times_) (void)backing_.set_times(directory_.fd(), *times_);
  }

 private:
  Backing& backing_;
  DirRef directory_;
  std::optional<TimesChange> times_;
};

/// One name of the file on its way from one branch to the other.
struct NameMove {
  PlaceName place;
  Timeless from;
  Timeless to;
};

class Relocation {
 public:
  Relocation(Pool& pool, NodeId node, const MoveAim& aim, const MoveWatch& watch)
      : pool_(pool), backing_(pool.backing), node_(node), aim_(aim), watch_(watch) {}

  Result<void> run() {
    if (const auto planned = plan(); !planned) return planned;
    std::optional<Errno> failed;
    for (;;) {
      const auto target = choose();
      if (!target) return failed ? *failed : target.error();
      const Reserved reserved{watch_, (*set_)[*target].id(), needed_};
      const auto moved = move_to((*set_)[*target]);
      if (moved || !is_about_target(moved.error())) return moved;
      if (!failed) failed = moved.error();
      tried_.push_back(*target);
    }
  }

  // --- as one of several: these in turn, each of all that came so far. After a failure the file is
  // where it was.

  /// The copy and the record are there, but not on the disk for certain.
  Result<void> prepare(Syncs& syncs) {
    shared_ = true;
    if (const auto planned = plan(); !planned) return planned;
    if (like_.size > kMovesTogether || pool_.handles.is_open(like_.id)) return Errno{EBUSY};
    const auto target = choose();
    if (!target) return target.error();
    target_ = &(*set_)[*target];
    reserved_.emplace(watch_, target_->id(), needed_);
    for (Branch* const each : {target_, &from()})
      if (const auto watched = syncs.watch(*each); !watched) return watched;
    auto parent = make_parents(*target_);
    if (!parent) return parent.error();
    // Nobody is told that it begins: so many would be a long text, and each is over soon.
    copy_.emplace(pool_, *target_);
    if (const auto made = copy_->make(parent->fd()); !made) return made;
    const auto copied = copy_data(*copy_);
    if (!copied) return copied.error();
    record_.emplace(pool_, *target_);
    about_ = {from().root_id(), from().path(),     like_.id, looks_of(like_),
              copied->id,       looks_of(*copied), names_};
    return record_->write(about_, false);
  }
  /// Both are on the disk, and the gate is closed: the copy has all names.
  Result<void> give_names() {
    if (const auto same = is_unchanged(*target_, *copy_); !same) return same;
    if (pool_.handles.is_open(like_.id)) return Errno{EBUSY};
    if (const auto found = find_names(*target_, moves_); !found) return found;
    if (const auto told = renew(*record_, about_, moves_); !told) return told;
    return make_names(*copy_, moves_, about_.to, *record_);
  }
  void take_names_back() { remove_names(moves_, moves_.size(), about_.to, *record_); }
  /// The names are on the disk, and the gate is still closed: the old ones go.
  Result<void> leave() {
    HandleSwitch none(pool_);
    auto done = has_no_other_writers(none);
    if (done) done = remove_old(moves_, *record_);
    if (!done) {
      take_names_back();
      return done;
    }
    settle_in(*target_, about_);
    return {};
  }
  /// That the old ones went is not on the disk: the record stays.
  void stay_on_record() { record_->keep_as_moved(); }
  [[nodiscard]] Branch& from() const { return (*set_)[source_]; }
  [[nodiscard]] Branch& to() const { return *target_; }

 private:
  /// Another branch may do better.
  static bool is_about_target(Errno error) noexcept {
    switch (error.value()) {
      case ENOSPC:
      case EDQUOT:
      case EROFS:
      case EFBIG:
      case EMLINK:
      case ENAMETOOLONG:
      case EINVAL:
      case EPERM:
      case EACCES:
      case ENOTDIR:
      case ELOOP:
      case EXDEV:
        return true;
      default:
        return false;
    }
  }

  // --- before

  Result<void> plan() {
    const Gate::Passage passage(pool_.gate);
    if (pool_.passthrough.bound(node_)) return Errno{EBUSY};
    set_ = pool_.branches.snapshot();
    const auto file = reach(pool_, node_);
    if (!file) return file.error();
    if (!file->stat.is_regular()) return Errno{EMEDIUMTYPE};
    if (file->stat.nlink == 0) return Errno{ENOENT};
    // What is outside of the branches stays there.
    if (file->followed) return Errno{EXDEV};
    // What is encrypted on its disk is not to lie on another as it is.
    constexpr std::uint64_t kStays =
        STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND | STATX_ATTR_ENCRYPTED;
    if ((file->stat.attributes & kStays) != 0) return Errno{EPERM};
    while (source_ < set_->size() && (*set_)[source_].id() != file->branch) ++source_;
    if (source_ == set_->size()) return Errno{ESTALE};
    if (aim_.from && *aim_.from != file->branch) return Errno{EXDEV};
    if (set_->mode(source_) == BranchMode::kReadOnly) return Errno{EROFS};
    auto opened = open_source(pool_, file->fd());
    if (!opened) return opened.error();
    file_ = *std::move(opened);
    const auto like = backing_.stat(file_.get());
    if (!like) return like.error();
    like_ = *like;
    if (!pool_.handles.are_all_of(like_.id, node_)) return Errno{EBUSY};
    needed_ = like_.blocks * kBlock + aim_.asked;
    auto names = all_names(like_);
    if (!names) return names.error();
    names_ = *std::move(names);
    for (const PlaceName& each : names_)
      if (const auto alone = has_no_copy(each); !alone) return alone;
    return {};
  }

  /// All names of the file on its branch, each seen to be one. EBUSY: the pool does not know all.
  Result<std::vector<PlaceName>> all_names(const FileStat& now) {
    std::vector<PlaceName> names;
    for (PlaceName& each : pool_.nodes.names_of(node_)) {
      const auto is = leads_here(each);
      if (!is) return is.error();
      if (*is) names.push_back(std::move(each));
    }
    if (names.empty() || names.size() != now.nlink) return Errno{EBUSY};
    return names;
  }
  Result<bool> leads_here(const PlaceName& place) {
    const auto directory = open_directory(pool_, from(), place.directory);
    const auto stat = directory ? backing_.stat_at(directory->fd(), place.name.c_str())
                                : Result<FileStat>(directory.error());
    if (stat) return stat->id == like_.id;
    if (means_absent(stat.error())) return false;
    return stat.error();
  }
  /// Users would find it where they find this file now, or this file would come to lie on it.
  Result<void> has_no_copy(const PlaceName& place) {
    PoolFacts facts(pool_, *set_, place.directory, place.name.c_str());
    for (std::size_t i = 0; i < set_->size(); ++i)
      if (i != source_ && facts.exists(i)) return Errno{EEXIST};
    if (const auto failed = unanswered(facts)) return *failed;
    return {};
  }

  Result<std::size_t> choose() {
    const Gate::Passage passage(pool_.gate);
    for (;;) {
      const auto target = aim_.to ? fixed_target() : by_policy();
      if (!target) return target;
      if (watch_.reserve((*set_)[*target].id(), needed_, available(*target))) return target;
      tried_.push_back(*target);
    }
  }
  Result<std::size_t> by_policy() {
    PoolFacts facts(pool_, *set_, names_.front().directory);
    for (std::size_t i = 0; i < set_->size(); ++i)
      if (!has_room(i)) facts.rule_out(i);
    AnywhereFacts anywhere(facts);
    const policy::Choice choice = aim_.any_path ? aim_.policy->choose(anywhere, pool_.random)
                                                : aim_.policy->choose(facts, pool_.random);
    if (choice.empty()) return Errno{ENOSPC};
    return choice[0];
  }
  Result<std::size_t> fixed_target() {
    std::size_t target = 0;
    while (target < set_->size() && (*set_)[target].id() != *aim_.to) ++target;
    if (target == set_->size() || target == source_) return Errno{ENODEV};
    if (set_->mode(target) == BranchMode::kReadOnly) return Errno{EROFS};
    if (!has_room(target)) return Errno{ENOSPC};
    return target;
  }
  bool has_room(std::size_t branch) {
    if (branch == source_ || (*set_)[branch].absent()) return false;
    if (std::find(tried_.begin(), tried_.end(), branch) != tried_.end()) return false;
    (*set_)[branch].forget_statfs();
    return available(branch) > needed_;
  }
  std::uint64_t available(std::size_t branch) {
    const auto space = (*set_)[branch].statfs();
    return space ? space->blocks_available * space->fragment_size : 0;
  }

  // --- the copy

  Result<void> move_to(Branch& to) {
    auto parent = make_parents(to);
    if (!parent) return parent.error();
    watch_.begins(joined(names_.front()), from().path(), to.path(), like_.blocks * kBlock);
    HiddenCopy copy(pool_, to);
    if (const auto made = copy.make(parent->fd()); !made) return made;
    const auto copied = copy_data(copy);
    if (!copied) return copied.error();
    // The record tells the old file by its size and times, which must be on the disk as well.
    if (const auto synced = backing_.sync(file_.get(), false); !synced) return synced;
    RecordFile record(pool_, to);
    MoveRecord about{from().root_id(), from().path(),     like_.id, looks_of(like_),
                     copied->id,       looks_of(*copied), names_};
    if (const auto written = record.write(about); !written) return written;
    // What the switch leaves over is closed when the gate is open again: the old file's blocks are
    // freed then, which may take long.
    HandleSwitch handles(pool_);
    for (int tries = 1;; ++tries) {
      const auto done = commit(to, copy, record, about, handles);
      if (done || done.error() != Errno{ETIMEDOUT} || tries == kGateTries) return done;
      std::this_thread::sleep_for(kGatePause);
    }
  }
  Result<FileStat> copy_data(const HiddenCopy& copy) {
    const IdleThread idle(backing_, aim_.idle && !shared_);
    // In the owner's name: his quota pays, and blocks that are reserved are not his.
    auto copied = copy_into(
        pool_, file_.get(), like_, copy.fd(), Payer{like_.uid, like_.gid},
        [this](std::uint64_t at) { return watch_.goes_on(at); }, aim_.step, !shared_);
    if (!copied || !aim_.verify) return copied;
    const auto same = reads_back(pool_, file_.get(), copy.fd(), like_.size,
                                 [this] { return watch_.goes_on(like_.size); });
    if (!same) return same.error();
    if (!*same) return Errno{EIO};
    return copied;
  }
  /// The directories of all names; that of the first.
  Result<DirRef> make_parents(Branch& to) {
    const Gate::Passage passage(pool_.gate);
    DirRef first;
    for (const PlaceName& each : names_) {
      auto made = directory_on(to, each.directory);
      if (!made) return made.error();
      if (!first) first = *std::move(made);
    }
    return first;
  }
  /// The way to it is to be on the disk before the old names go.
  Result<DirRef> directory_on(Branch& to, const std::string& path) {
    std::size_t index = 0;
    while (&(*set_)[index] != &to) ++index;
    return reach_or_clone_synced(pool_, *set_, index, path);
  }

  // --- the move

  /// ETIMEDOUT: the gate or a handle was not to be had. With the gate closed names and open files
  /// stay as they are.
  Result<void> commit(Branch& to, HiddenCopy& copy, RecordFile& record, MoveRecord& about,
                      HandleSwitch& handles) {
    const NodeLocks::Alone unbroken(pool_.link_breaks, node_);
    std::vector<NameMove> moves;
    {
      const Gate::Closure alone(pool_.gate, kGatePatience);
      if (!alone.closed()) return Errno{ETIMEDOUT};
      if (const auto same = is_unchanged(to, copy); !same) return same;
      if (const auto found = find_names(to, moves); !found) return found;
      if (const auto told = renew(record, about, moves); !told) return told;
      if (const auto taken = handles.take(node_); !taken) return taken;
      const auto done = change(to, copy, moves, about, record, handles);
      handles.let_go();
      if (!done) return done;
    }
    // Until this is on the disk a crash would show both: the record stays for the next start.
    for (const NameMove& each : moves)
      if (!sync_directory(pool_, each.from.fd())) record.keep_as_moved();
    from().forget_statfs();
    to.forget_statfs();
    return {};
  }

  /// Nobody has changed the file behind the pool, and both branches are what they were.
  Result<void> is_unchanged(const Branch& to, const HiddenCopy& copy) {
    const auto set = pool_.branches.snapshot();
    if (set->by_id(from().id()) == nullptr || !set->writable(from().id()) ||
        set->by_id(to.id()) == nullptr || !set->writable(to.id()) || from().absent() || to.absent())
      return Errno{ESTALE};
    const auto now = backing_.stat(file_.get());
    if (!now) return now.error();
    if (!pool_.handles.are_all_of(like_.id, node_)) return Errno{EBUSY};
    if (!same_content(*now, like_) || now->mode != like_.mode || now->uid != like_.uid ||
        now->gid != like_.gid)
      return Errno{EBUSY};
    if (same_time(now->ctime, like_.ctime)) return {};
    // Names came or went; or somebody has changed its xattrs behind the pool.
    if (const auto copied = copy_xattrs(backing_, file_.get(), copy.fd()); !copied) return copied;
    if (const auto timed = backing_.set_times(copy.fd(), times_of(like_));
        !timed && !cannot_hold(timed.error()))
      return timed;
    like_.ctime = now->ctime;
    return backing_.sync(copy.fd(), false);
  }

  Result<void> find_names(Branch& to, std::vector<NameMove>& moves) {
    const auto now = backing_.stat(file_.get());
    if (!now) return now.error();
    const auto names = all_names(*now);
    if (!names) return names.error();
    for (const PlaceName& each : *names) {
      const bool planned = std::find(names_.begin(), names_.end(), each) != names_.end();
      if (!planned)
        if (const auto alone = has_no_copy(each); !alone) return alone;
      auto old_parent = open_directory(pool_, from(), each.directory);
      if (!old_parent) return old_parent.error();
      auto new_parent = directory_on(to, each.directory);
      if (!new_parent) return new_parent.error();
      moves.push_back({each, Timeless(backing_, *std::move(old_parent)),
                       Timeless(backing_, *std::move(new_parent))});
    }
    return {};
  }
  Result<void> renew(RecordFile& record, MoveRecord& about,
                     const std::vector<NameMove>& moves) const {
    std::vector<PlaceName> names;
    names.reserve(moves.size());
    for (const NameMove& each : moves) names.push_back(each.place);
    if (names == about.names && same_time(about.from_looks.ctime, like_.ctime)) return {};
    about.names = std::move(names);
    about.from_looks.ctime = like_.ctime;
    return record.write(about);
  }

  Result<void> change(Branch& to, HiddenCopy& copy, const std::vector<NameMove>& moves,
                      const MoveRecord& about, RecordFile& record, HandleSwitch& handles) {
    if (const auto named = make_names(copy, moves, about.to, record); !named) return named;
    auto done = handles.prepare(copy.fd());
    if (done) done = handles.run();
    if (done) {
      done = has_no_other_writers(handles);
      if (done) done = remove_old(moves, record);
      // One that cannot come back has all go on with the copy, which has all the names.
      if (!done && !handles.back(file_.get())) done = left_behind(moves, record);
    }
    if (!done) {
      remove_names(moves, moves.size(), about.to, record);
      return done;
    }
    settle_in(to, about);
    return {};
  }
  void settle_in(const Branch& to, const MoveRecord& about) {
    const Location where{to.id(), about.to};
    pool_.nodes.relocate(node_, where);
    pool_.handles.relocate(node_, where);
  }

  Result<void> make_names(HiddenCopy& copy, const std::vector<NameMove>& moves, const FileId& fresh,
                          RecordFile& record) {
    Result<void> done;
    std::size_t made = 0;
    while (made < moves.size()) {
      const char* const name = moves[made].place.name.c_str();
      const int directory = moves[made].to.fd();
      done = made == 0 ? copy.give_name(directory, name)
                       : backing_.link_fd(copy.fd(), directory, name);
      if (!done) break;
      ++made;
    }
    for (const NameMove& each : moves) each.to.restore();
    // Its link count as well as its names.
    if (done && !shared_) done = backing_.sync(copy.fd(), false);
    for (std::size_t i = 0; done && !shared_ && i < moves.size(); ++i)
      done = sync_directory(pool_, moves[i].to.fd());
    if (!done) remove_names(moves, made, fresh, record);
    return done;
  }
  /// Of the copy, the first `count`, which were made a moment ago.
  void remove_names(const std::vector<NameMove>& moves, std::size_t count, const FileId& fresh,
                    RecordFile& record) {
    for (std::size_t i = 0; i < count; ++i) {
      const NameMove& each = moves[i];
      const char* const name = each.place.name.c_str();
      const auto stat = backing_.stat_at(each.to.fd(), name);
      if (stat && stat->id != fresh) continue;
      const auto removed = backing_.unlink_at(each.to.fd(), name);
      each.to.restore();
      if (removed || means_absent(removed.error())) continue;
      record.keep();
      hide(fresh);
      tell("a copy that is not in use could not be removed, and will be at the next start: ",
           each.place);
    }
  }

  /// ETXTBSY: somebody else has the old file open for writing, and would go on writing to it when
  /// it has no names any more. Where that cannot be told nobody is taken to be there.
  Result<void> has_no_other_writers(HandleSwitch& handles) {
    // A call that reads by one of our own descriptors still has the file open.
    constexpr int kTries = 50;
    constexpr std::chrono::milliseconds kNap{2};
    handles.leave();
    for (int tries = 1;; ++tries) {
      const auto others = backing_.has_writers(file_.get());
      if (!others || !*others) return {};
      if (tries == kTries) return Errno{ETXTBSY};
      std::this_thread::sleep_for(kNap);
    }
  }

  /// The old names go, all or none.
  Result<void> remove_old(const std::vector<NameMove>& moves, RecordFile& record) {
    for (std::size_t gone = 0; gone < moves.size(); ++gone) {
      const auto removed = remove_old(moves[gone]);
      moves[gone].from.restore();
      if (removed) continue;
      while (gone-- > 0) {
        const NameMove& each = moves[gone];
        const auto back = backing_.link_fd(file_.get(), each.from.fd(), each.place.name.c_str());
        each.from.restore();
        if (!back) return left_behind(moves, record);
      }
      return removed;
    }
    return {};
  }
  Result<void> remove_old(const NameMove& move) {
    const auto stat = backing_.stat_at(move.from.fd(), move.place.name.c_str());
    if (!stat) return stat.error();
    if (stat->id != like_.id) return Errno{EBUSY};
    return backing_.unlink_at(move.from.fd(), move.place.name.c_str());
  }
  /// Old names stay, or some do, and the handles are of the new file, which has all of them: it is
  /// the file, and the old one is hidden until it can be removed.
  Result<void> left_behind(const std::vector<NameMove>& moves, RecordFile& record) noexcept {
    hide(like_.id);
    try {
      record.keep_as_moved();
      demote_if_read_only(pool_, *set_, source_);
    } catch (const std::exception&) {
      record.keep();
    }
    for (const NameMove& each : moves)
      tell("an old copy is left on the branch that it was to leave, until it can be removed: ",
           each.place);
    return {};
  }
  /// In the middle of a change, which goes on whatever happens here.
  void hide(const FileId& file) noexcept {
    try {
      pool_.unsettled.hide(file);
    } catch (const std::exception&) {
      // It is shown.
    }
  }
  void tell(const char* what, const PlaceName& place) noexcept {
    try {
      pool_.complain(what + joined(place));
    } catch (const std::exception&) {
      // Nobody can be told.
    }
  }

  static std::string joined(const PlaceName& place) {
    return place.directory.empty() ? place.name : place.directory + "/" + place.name;
  }
  Pool& pool_;
  Backing& backing_;
  const NodeId node_;
  const MoveAim& aim_;
  const MoveWatch& watch_;
  std::shared_ptr<const BranchSet> set_;
  std::size_t source_ = 0;
  Fd file_;
  FileStat like_;
  std::uint64_t needed_ = 0;
  std::vector<PlaceName> names_;
  std::vector<std::size_t> tried_;
  /// It is one of several, whose syncs are made for all of them.
  bool shared_ = false;
  Branch* target_ = nullptr;
  std::optional<Reserved> reserved_;
  std::optional<HiddenCopy> copy_;
  std::optional<RecordFile> record_;
  MoveRecord about_;
  std::vector<NameMove> moves_;
};

/// Moves of several files, step by step. Those that fail leave at the step.
class Batch {
 public:
  Batch(Pool& pool, std::span<Together> files, const MoveAim& aim)
      : pool_(pool), files_(files), aim_(aim), syncs_(pool) {}

  void run() {
    {
      const IdleThread idle(pool_.backing, aim_.idle);
      for (Together& file : files_) {
        auto move = std::make_unique<Relocation>(pool_, file.node, aim_, file.watch);
        if (move->prepare(syncs_)) going_.push_back({&file, std::move(move)});
      }
      if (going_.empty() || !syncs_.sync_all()) return;
    }
    std::deque<NodeLocks::Alone> unbroken;
    for (const One& one : going_) unbroken.emplace_back(pool_.link_breaks, one.file->node);
    {
      const Gate::Closure alone(pool_.gate, kGatePatience);
      if (!alone.closed()) return;
      if (!commit()) return;
    }
    finish();
  }

 private:
  struct One {
    Together* file = nullptr;
    std::unique_ptr<Relocation> move;
  };

  bool commit() {
    std::erase_if(going_, [](const One& one) { return !one.move->give_names(); });
    std::vector<const Branch*> targets;
    for (const One& one : going_)
      if (std::find(targets.begin(), targets.end(), &one.move->to()) == targets.end())
        targets.push_back(&one.move->to());
    for (const Branch* const target : targets) {
      if (syncs_.sync(*target)) continue;
      for (const One& one : going_) one.move->take_names_back();
      return false;
    }
    std::erase_if(going_, [](const One& one) {
      one.file->moved = one.move->leave().has_value();
      return !one.file->moved;
    });
    return true;
  }
  /// Until this is on the disk a crash would show both.
  void finish() {
    std::vector<std::pair<Branch*, bool>> sources;
    for (const One& one : going_) {
      Branch* const from = &one.move->from();
      auto found = std::find_if(sources.begin(), sources.end(),
                                [from](const auto& each) { return each.first == from; });
      if (found == sources.end())
        found = sources.insert(sources.end(), {from, syncs_.sync(*from).has_value()});
      if (!found->second) one.move->stay_on_record();
      from->forget_statfs();
      one.move->to().forget_statfs();
    }
  }

  Pool& pool_;
  const std::span<Together> files_;
  const MoveAim& aim_;
  Syncs syncs_;
  std::vector<One> going_;
};

}  // namespace

Result<void> relocate(Pool& pool, NodeId node, const MoveAim& aim, const MoveWatch& watch) {
  return Relocation(pool, node, aim, watch).run();
}

void relocate_together(Pool& pool, std::span<Together> files, const MoveAim& aim) {
  Batch(pool, files, aim).run();
}

}  // namespace bough::ops
