#include "ops/moving_names.hpp"

#include <cerrno>
#include <exception>
#include <utility>

#include "ops/copy_metadata.hpp"
#include "ops/locate.hpp"
#include "ops/place.hpp"

namespace bough::ops {

using PlaceName = MovingFile::PlaceName;

Timeless::Timeless(Backing& backing, DirRef directory)
    : backing_(backing), directory_(std::move(directory)) {
  if (const auto stat = backing.stat(directory_.fd())) times_ = times_of(*stat);
}

void Timeless::restore() const noexcept {
  if (times_) (void)backing_.set_times(directory_.fd(), *times_);
}

Result<void> MovingNames::find(Branch& to) {
  auto names = file_.names_now();
  if (!names) return names.error();
  moves_.clear();
  for (PlaceName& each : *names) {
    auto old_parent = open_directory(pool_, file_.from(), each.directory);
    if (!old_parent) return old_parent.error();
    auto new_parent = file_.directory_on(to, each.directory);
    if (!new_parent) return new_parent.error();
    moves_.push_back({std::move(each), Timeless(backing_, *std::move(old_parent)),
                      Timeless(backing_, *std::move(new_parent))});
  }
  return renew_record();
}

Result<void> MovingNames::renew_record() {
  std::vector<PlaceName> names;
  names.reserve(moves_.size());
  for (const NameMove& each : moves_) names.push_back(each.place);
  const Time& ctime = file_.like().ctime;
  Time& recorded = about_.from_looks.ctime;
  if (names == about_.names && ctime.seconds == recorded.seconds &&
      ctime.nanoseconds == recorded.nanoseconds)
    return {};
  about_.names = std::move(names);
  recorded = ctime;
  return record_.write(about_);
}

Result<void> MovingNames::make(HiddenCopy& copy) {
  const bool synced = file_.synced();
  Result<void> done;
  std::size_t made = 0;
  while (made < moves_.size()) {
    const char* const name = moves_[made].place.name.c_str();
    const int directory = moves_[made].to.fd();
    done =
        made == 0 ? copy.give_name(directory, name) : backing_.link_fd(copy.fd(), directory, name);
    if (!done) break;
    ++made;
  }
  for (const NameMove& each : moves_) each.to.restore();
  // Its link count as well as its names.
  if (done && synced) done = backing_.sync(copy.fd(), false);
  for (std::size_t i = 0; done && synced && i < moves_.size(); ++i)
    done = sync_directory(pool_, moves_[i].to.fd());
  if (!done) remove_new(made);
  return done;
}

/// The first `count`, which were made a moment ago.
void MovingNames::remove_new(std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const NameMove& each = moves_[i];
    const char* const name = each.place.name.c_str();
    const auto stat = backing_.stat_at(each.to.fd(), name);
    if (stat && stat->id != about_.to) continue;
    const auto removed = backing_.unlink_at(each.to.fd(), name);
    each.to.restore();
    if (removed || means_absent(removed.error())) continue;
    record_.keep();
    hide(about_.to);
    tell("a copy that is not in use could not be removed, and will be at the next start: ",
         each.place);
  }
}

Result<void> MovingNames::remove_old() {
  for (std::size_t gone = 0; gone < moves_.size(); ++gone) {
    const auto removed = remove_old(moves_[gone]);
    moves_[gone].from.restore();
    if (removed) continue;
    while (gone-- > 0) {
      const NameMove& each = moves_[gone];
      const auto back = backing_.link_fd(file_.fd(), each.from.fd(), each.place.name.c_str());
      each.from.restore();
      if (back) continue;
      leave_old_behind();
      return {};
    }
    return removed;
  }
  return {};
}

Result<void> MovingNames::remove_old(const NameMove& move) {
  const auto stat = backing_.stat_at(move.from.fd(), move.place.name.c_str());
  if (!stat) return stat.error();
  if (stat->id != file_.like().id) return Errno{EBUSY};
  return backing_.unlink_at(move.from.fd(), move.place.name.c_str());
}

void MovingNames::leave_old_behind() noexcept {
  hide(file_.like().id);
  try {
    record_.keep_as_moved();
    file_.demote_source();
  } catch (const std::exception&) {
    record_.keep();
  }
  for (const NameMove& each : moves_)
    tell("an old copy is left on the branch that it was to leave, until it can be removed: ",
         each.place);
}

void MovingNames::sync_old() {
  for (const NameMove& each : moves_)
    if (!sync_directory(pool_, each.from.fd())) record_.keep_as_moved();
}

/// In the middle of a change, which goes on whatever happens here.
void MovingNames::hide(const FileId& file) noexcept {
  try {
    pool_.unsettled.hide(file);
  } catch (const std::exception&) {
    // It is shown.
  }
}

void MovingNames::tell(const char* what, const PlaceName& place) noexcept {
  try {
    pool_.complain(what + path_of(place));
  } catch (const std::exception&) {
    // Nobody can be told.
  }
}

std::string path_of(const PlaceName& place) {
  return place.directory.empty() ? place.name : place.directory + "/" + place.name;
}

}  // namespace bough::ops
