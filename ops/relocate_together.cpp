#include "ops/relocate_together.hpp"

#include <algorithm>
#include <cerrno>
#include <optional>

#include "ops/idle_thread.hpp"
#include "ops/moving_file.hpp"
#include "ops/moving_names.hpp"

namespace bough::ops {
namespace {

/// As in relocate().
constexpr std::chrono::seconds kGatePatience{4};
/// All others wait while the gate is closed: after so long what has its new names is synced, and
/// the rest waits for another closure.
constexpr std::chrono::milliseconds kMostNaming{10};

}  // namespace

/// The file systems that a batch works on, each to be synced as a whole.
class RelocationBatch::Syncs {
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

/// One of the files. Its steps in turn, each of all that came so far; after a failure the file is
/// where it was.
class RelocationBatch::Member {
 public:
  Member(Pool& pool, NodeId node, const MoveAim& aim, MoveWatch watch, bool& moved)
      : pool_(pool),
        node_(node),
        watch_(std::move(watch)),
        file_(pool, node, aim, watch_, false),
        moved_(moved) {}

  /// The copy and the record are there, but not on the disk for certain.
  Result<void> prepare(Syncs& syncs) {
    if (const auto found = file_.look(); !found) return found;
    if (file_.like().size > kMovesTogether || pool_.handles.is_open(file_.like().id))
      return Errno{EBUSY};
    const auto target = file_.choose();
    if (!target) return target.error();
    to_ = *target;
    for (Branch* const each : {to_, &from()})
      if (const auto watched = syncs.watch(*each); !watched) return watched;
    auto parent = file_.make_parents(*to_);
    if (!parent) return parent.error();
    // Nobody is told that it begins: so many would be a long text, and each is over soon.
    copy_.emplace(pool_, *to_);
    if (const auto made = copy_->make(parent->fd()); !made) return made;
    const auto copied = file_.copy_data(*copy_);
    if (!copied) return copied.error();
    record_.emplace(pool_, *to_);
    about_ = file_.record_of(*copied);
    names_.emplace(pool_, file_, *record_, about_);
    return record_->write(about_, false);
  }
  /// Nobody makes it a file of its own (link-cow) from now on.
  void keep_links() { unbroken_.emplace(pool_.link_breaks, node_); }
  /// Both are on the disk, and the gate is closed: the copy has all names.
  Result<void> give_names() {
    if (const auto same = file_.is_unchanged(*to_, *copy_); !same) return same;
    if (pool_.handles.is_open(file_.like().id)) return Errno{EBUSY};
    if (const auto found = names_->find(*to_); !found) return found;
    return names_->make(*copy_);
  }
  void take_names_back() { names_->take_back(); }
  /// The names are on the disk, and the gate is still closed: the old ones go.
  Result<void> leave() {
    HandleSwitch none(pool_);
    auto done = file_.has_no_other_writers(none);
    if (done) done = names_->remove_old();
    if (!done) {
      names_->take_back();
      return done;
    }
    file_.settle_in(*to_, about_.to);
    moved_ = true;
    return {};
  }
  /// That the old ones went is not on the disk: the record stays.
  void stay_on_record() { record_->keep_as_moved(); }
  [[nodiscard]] Branch& from() const { return file_.from(); }
  [[nodiscard]] Branch& to() const { return *to_; }

 private:
  Pool& pool_;
  const NodeId node_;
  const MoveWatch watch_;
  MovingFile file_;
  bool& moved_;
  Branch* to_ = nullptr;
  std::optional<HiddenCopy> copy_;
  std::optional<RecordFile> record_;
  MoveRecord about_;
  std::optional<MovingNames> names_;
  std::optional<NodeLocks::Alone> unbroken_;
};

RelocationBatch::RelocationBatch(Pool& pool, const MoveAim& aim)
    : pool_(pool), aim_(aim), syncs_(std::make_unique<Syncs>(pool)) {}

RelocationBatch::~RelocationBatch() = default;

Result<void> RelocationBatch::add(NodeId node, MoveWatch watch, bool& moved) {
  auto member = std::make_unique<Member>(pool_, node, aim_, std::move(watch), moved);
  if (const auto prepared = member->prepare(*syncs_); !prepared) return prepared;
  going_.push_back(std::move(member));
  return {};
}

void RelocationBatch::run() {
  if (going_.empty()) return;
  {
    const IdleThread idle(pool_.backing, aim_.idle);
    if (!syncs_->sync_all()) return;
  }
  for (const auto& each : going_) each->keep_links();
  gone_.reserve(going_.size());
  while (!going_.empty() && commit_some()) {
  }
  finish();
}

/// With one closure of the gate. False: it could not be closed, or a branch fails.
bool RelocationBatch::commit_some() {
  const Gate::Closure alone(pool_.gate, kGatePatience);
  if (!alone.closed()) return false;
  const auto until = std::chrono::steady_clock::now() + kMostNaming;
  std::vector<std::unique_ptr<Member>> named;
  named.reserve(going_.size());
  std::vector<const Branch*> targets;
  targets.reserve(going_.size());
  do {
    std::unique_ptr<Member> next = std::move(going_.back());
    going_.pop_back();
    if (next->give_names()) named.push_back(std::move(next));
  } while (!going_.empty() && std::chrono::steady_clock::now() < until);
  for (const auto& each : named)
    if (std::find(targets.begin(), targets.end(), &each->to()) == targets.end())
      targets.push_back(&each->to());
  for (const Branch* const target : targets) {
    if (syncs_->sync(*target)) continue;
    for (const auto& each : named) each->take_names_back();
    return false;
  }
  for (auto& each : named)
    if (each->leave()) gone_.push_back(std::move(each));
  return true;
}

/// Until this is on the disk a crash would show both.
void RelocationBatch::finish() {
  std::vector<std::pair<Branch*, bool>> sources;
  for (const auto& each : gone_) {
    Branch* const from = &each->from();
    auto found = std::find_if(sources.begin(), sources.end(),
                              [from](const auto& one) { return one.first == from; });
    if (found == sources.end())
      found = sources.insert(sources.end(), {from, syncs_->sync(*from).has_value()});
    if (!found->second) each->stay_on_record();
    from->forget_statfs();
    each->to().forget_statfs();
  }
}

}  // namespace bough::ops
