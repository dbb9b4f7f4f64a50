#include "ops/moving_file.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "ops/anywhere_facts.hpp"
#include "ops/copy_metadata.hpp"
#include "ops/file_copy.hpp"
#include "ops/idle_thread.hpp"
#include "ops/locate.hpp"
#include "ops/place.hpp"

namespace bough::ops {
namespace {

constexpr std::uint64_t kBlock = 512;

bool same_time(const Time& a, const Time& b) noexcept {
  return a.seconds == b.seconds && a.nanoseconds == b.nanoseconds;
}

std::size_t index_of(const BranchSet& set, const Branch& branch) {
  std::size_t index = 0;
  while (&set[index] != &branch) ++index;
  return index;
}

}  // namespace

Result<void> MovingFile::look() {
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
  constexpr std::uint64_t kStays = STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND | STATX_ATTR_ENCRYPTED;
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
  needed_ = bytes() + aim_.asked;
  auto names = all_names(like_);
  if (!names) return names.error();
  names_ = *std::move(names);
  for (const PlaceName& each : names_)
    if (const auto alone = has_no_copy(each); !alone) return alone;
  return {};
}

std::uint64_t MovingFile::bytes() const noexcept {
  return like_.blocks * kBlock;
}

/// All names of the file on its branch, each seen to be one. EBUSY: the pool does not know all.
Result<std::vector<MovingFile::PlaceName>> MovingFile::all_names(const FileStat& now) {
  std::vector<PlaceName> names;
  for (PlaceName& each : pool_.nodes.names_of(node_)) {
    const auto is = leads_here(each);
    if (!is) return is.error();
    if (*is) names.push_back(std::move(each));
  }
  if (names.empty() || names.size() != now.nlink) return Errno{EBUSY};
  return names;
}

Result<bool> MovingFile::leads_here(const PlaceName& place) {
  const auto directory = open_directory(pool_, from(), place.directory);
  const auto stat = directory ? backing_.stat_at(directory->fd(), place.name.c_str())
                              : Result<FileStat>(directory.error());
  if (stat) return stat->id == like_.id;
  if (means_absent(stat.error())) return false;
  return stat.error();
}

/// Users would find it where they find this file now, or this file would come to lie on it.
Result<void> MovingFile::has_no_copy(const PlaceName& place) {
  PoolFacts facts(pool_, *set_, place.directory, place.name.c_str());
  for (std::size_t i = 0; i < set_->size(); ++i)
    if (i != source_ && facts.exists(i)) return Errno{EEXIST};
  if (const auto failed = unanswered(facts)) return *failed;
  return {};
}

Result<Branch*> MovingFile::choose() {
  const Gate::Passage passage(pool_.gate);
  for (;;) {
    const auto target = aim_.to ? fixed_target() : by_policy();
    if (!target) return target.error();
    Branch& branch = (*set_)[*target];
    if (watch_.reserve(branch.id(), needed_, available(*target))) {
      reserved_.emplace(watch_, branch.id(), needed_);
      return &branch;
    }
    ruled_out_.push_back(*target);
  }
}

void MovingFile::rule_out(const Branch& branch) {
  reserved_.reset();
  ruled_out_.push_back(index_of(*set_, branch));
}

Result<std::size_t> MovingFile::by_policy() {
  PoolFacts facts(pool_, *set_, names_.front().directory);
  for (std::size_t i = 0; i < set_->size(); ++i)
    if (!has_room(i)) facts.rule_out(i);
  AnywhereFacts anywhere(facts);
  const policy::Choice choice = aim_.any_path ? aim_.policy->choose(anywhere, pool_.random)
                                              : aim_.policy->choose(facts, pool_.random);
  if (choice.empty()) return Errno{ENOSPC};
  return choice[0];
}

Result<std::size_t> MovingFile::fixed_target() {
  std::size_t target = 0;
  while (target < set_->size() && (*set_)[target].id() != *aim_.to) ++target;
  if (target == set_->size() || target == source_) return Errno{ENODEV};
  if (set_->mode(target) == BranchMode::kReadOnly) return Errno{EROFS};
  if (!has_room(target)) return Errno{ENOSPC};
  return target;
}

bool MovingFile::has_room(std::size_t branch) {
  if (branch == source_ || (*set_)[branch].absent()) return false;
  if (std::find(ruled_out_.begin(), ruled_out_.end(), branch) != ruled_out_.end()) return false;
  (*set_)[branch].forget_statfs();
  return available(branch) > needed_;
}

std::uint64_t MovingFile::available(std::size_t branch) {
  const auto space = (*set_)[branch].statfs();
  return space ? space->blocks_available * space->fragment_size : 0;
}

Result<DirRef> MovingFile::make_parents(Branch& to) {
  const Gate::Passage passage(pool_.gate);
  DirRef first;
  for (const PlaceName& each : names_) {
    auto made = directory_on(to, each.directory);
    if (!made) return made.error();
    if (!first) first = *std::move(made);
  }
  return first;
}

Result<DirRef> MovingFile::directory_on(const Branch& to, const std::string& path) {
  const std::size_t index = index_of(*set_, to);
  if (synced_) return reach_or_clone_synced(pool_, *set_, index, path);
  auto there = open_directory(pool_, (*set_)[index], path);
  if (there || there.error() != Errno{ENOENT}) return there;
  return clone_parents(pool_, *set_, index, path);
}

Result<FileStat> MovingFile::copy_data(const HiddenCopy& copy) {
  const IdleThread idle(backing_, aim_.idle);
  // In the owner's name: his quota pays, and blocks that are reserved are not his.
  auto copied = copy_into(
      pool_, file_.get(), like_, copy.fd(), Payer{like_.uid, like_.gid},
      [this](std::uint64_t at) { return watch_.goes_on(at); }, aim_.step, synced_);
  if (!copied || !aim_.verify) return copied;
  const auto same = reads_back(pool_, file_.get(), copy.fd(), like_.size,
                               [this] { return watch_.goes_on(like_.size); });
  if (!same) return same.error();
  if (!*same) return Errno{EIO};
  return copied;
}

MoveRecord MovingFile::record_of(const FileStat& copied) const {
  return {from().root_id(), from().path(),    like_.id, looks_of(like_),
          copied.id,        looks_of(copied), names_};
}

Result<void> MovingFile::is_unchanged(const Branch& to, const HiddenCopy& copy) {
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

Result<std::vector<MovingFile::PlaceName>> MovingFile::names_now() {
  const auto now = backing_.stat(file_.get());
  if (!now) return now.error();
  auto names = all_names(*now);
  if (!names) return names;
  for (const PlaceName& each : *names) {
    const bool planned = std::find(names_.begin(), names_.end(), each) != names_.end();
    if (planned) continue;
    if (const auto alone = has_no_copy(each); !alone) return alone.error();
  }
  return names;
}

Result<void> MovingFile::has_no_other_writers(HandleSwitch& handles) {
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

void MovingFile::settle_in(const Branch& to, const FileId& fresh) {
  const Location where{to.id(), fresh};
  pool_.nodes.relocate(node_, where);
  pool_.handles.relocate(node_, where);
}

void MovingFile::demote_source() {
  demote_if_read_only(pool_, *set_, source_);
}

}  // namespace bough::ops
