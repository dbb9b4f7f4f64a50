#include "ops/relocate.hpp"

#include <cerrno>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "ops/handle_switch.hpp"
#include "ops/hidden_copy.hpp"
#include "ops/moving_file.hpp"
#include "ops/moving_names.hpp"

namespace bough::ops {
namespace {

/// For requests that are on their way through the gate. Everybody waits meanwhile, so that it is
/// better to come back when a disk has spun up.
constexpr std::chrono::seconds kGatePatience{4};
constexpr std::chrono::seconds kGatePause{2};
constexpr int kGateTries = 5;

/// Another branch may do better.
bool is_about_target(Errno error) noexcept {
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

/// The move of one file by itself.
class Relocation {
 public:
  Relocation(Pool& pool, NodeId node, const MoveAim& aim, const MoveWatch& watch)
      : pool_(pool), node_(node), watch_(watch), file_(pool, node, aim, watch, true) {}

  Result<void> run() {
    if (const auto found = file_.look(); !found) return found;
    std::optional<Errno> failed;
    for (;;) {
      const auto target = file_.choose();
      if (!target) return failed ? *failed : target.error();
      const auto moved = move_to(**target);
      if (moved || !is_about_target(moved.error())) return moved;
      if (!failed) failed = moved.error();
      file_.rule_out(**target);
    }
  }

 private:
  Result<void> move_to(Branch& to) {
    auto parent = file_.make_parents(to);
    if (!parent) return parent.error();
    watch_.begins(path_of(file_.names().front()), file_.from().path(), to.path(), file_.bytes());
    HiddenCopy copy(pool_, to);
    if (const auto made = copy.make(parent->fd()); !made) return made;
    const auto copied = file_.copy_data(copy);
    if (!copied) return copied.error();
    // The record tells the old file by its size and times, which must be on the disk as well.
    if (const auto synced = pool_.backing.sync(file_.fd(), false); !synced) return synced;
    RecordFile record(pool_, to);
    MoveRecord about = file_.record_of(*copied);
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

  /// ETIMEDOUT: the gate or a handle was not to be had. With the gate closed names and open files
  /// stay as they are.
  Result<void> commit(Branch& to, HiddenCopy& copy, RecordFile& record, MoveRecord& about,
                      HandleSwitch& handles) {
    const NodeLocks::Alone unbroken(pool_.link_breaks, node_);
    MovingNames names(pool_, file_, record, about);
    {
      const Gate::Closure alone(pool_.gate, kGatePatience);
      if (!alone.closed()) return Errno{ETIMEDOUT};
      if (const auto same = file_.is_unchanged(to, copy); !same) return same;
      if (const auto found = names.find(to); !found) return found;
      if (const auto taken = handles.take(node_); !taken) return taken;
      const auto done = change(copy, names, handles);
      if (done) file_.settle_in(to, about.to);
      handles.let_go();
      if (!done) return done;
    }
    names.sync_old();
    file_.from().forget_statfs();
    to.forget_statfs();
    return {};
  }

  Result<void> change(HiddenCopy& copy, MovingNames& names, HandleSwitch& handles) {
    if (const auto named = names.make(copy); !named) return named;
    auto done = handles.prepare(copy.fd());
    if (done) done = handles.run();
    if (done) {
      done = file_.has_no_other_writers(handles);
      if (done) done = names.remove_old();
      // One that cannot come back has all go on with the copy, which has all the names.
      if (!done && !handles.back(file_.fd())) {
        names.leave_old_behind();
        done = {};
      }
    }
    if (!done) names.take_back();
    return done;
  }

  Pool& pool_;
  const NodeId node_;
  const MoveWatch& watch_;
  MovingFile file_;
};

}  // namespace

Result<void> relocate(Pool& pool, NodeId node, const MoveAim& aim, const MoveWatch& watch) {
  return Relocation(pool, node, aim, watch).run();
}

}  // namespace bough::ops
