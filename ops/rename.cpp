#include <algorithm>
#include <optional>
#include <vector>

#include "ops/followed_path.hpp"
#include "ops/operations.hpp"
#include "ops/place.hpp"
#include "ops/rename_exdev.hpp"
#include "ops/shown_copy.hpp"

namespace bough::ops {
namespace {

/// renameat2(2)'s, as the wire carries them.
constexpr std::uint32_t kNoReplace = 1;
constexpr std::uint32_t kExchange = 2;
constexpr std::uint32_t kWhiteout = 4;

using Directories = PoolFacts::Directories;

/// One RENAME. It looks at both names on every branch first; only then does it act.
class Renaming {
 public:
  /// The paths are those of the two directories. `new_is_free`: no branch has the new name.
  Renaming(Pool& pool, const Context& context, const proto::RenameRequest& request,
           std::string_view old_path, std::string_view new_path, Directories directories,
           bool new_is_free)
      : pool_(pool),
        context_(context),
        request_(request),
        set_(pool.branches.snapshot()),
        new_path_(new_path),
        same_parent_(context.node == request.new_parent),
        new_is_free_(new_is_free),
        old_(pool, *set_, old_path, request.old_name.c_str(), directories),
        new_(pool, *set_, new_path, request.new_name.c_str(), directories) {}

  /// `acted`: a name was changed.
  Result<void> run(bool& acted) {
    acted_ = &acted;
    if (const auto looked = look(); !looked) return looked;
    shown_old_ = shown(old_);
    if (!new_is_free_) shown_new_ = shown(new_);
    if (!shown_old_) return old_is_missing();
    if ((request_.flags & kExchange) != 0) return exchange();
    return move();
  }

 private:
  struct Step {
    std::size_t branch = 0;
    DirRef cloned;
    int new_parent = -1;
  };

  /// The copy that users see.
  std::optional<std::size_t> shown(PoolFacts& facts) const {
    const policy::Choice choice = choose_shown(pool_.settings, facts, pool_.random);
    if (choice.empty()) return std::nullopt;
    return choice[0];
  }
  const char* old_name() const noexcept { return request_.old_name.c_str(); }
  const char* new_name() const noexcept { return request_.new_name.c_str(); }
  bool has_new(std::size_t branch) { return !new_is_free_ && new_.exists(branch); }
  int old_parent(std::size_t branch) { return old_.directory(branch).fd(); }
  int new_parent(std::size_t branch) { return (same_parent_ ? old_ : new_).directory(branch).fd(); }
  /// Both directories on a branch, as they are now.
  Result<void> reach_now(std::size_t branch) {
    if (const auto reached = old_.reach_now(branch); !reached || same_parent_) return reached;
    return new_.reach_now(branch);
  }

  /// A branch that cannot be asked may hold either name: nothing is done then.
  Result<void> look() {
    for (std::size_t i = 0; i < set_->size(); ++i) {
      (void)old_.exists(i);
      (void)has_new(i);
    }
    if (const auto failed = unanswered(old_)) return *failed;
    if (const auto failed = unanswered(new_)) return *failed;
    return {};
  }

  /// A resent RENAME that finds only the new name has done its work before. (An exchange leaves no
  /// such trace: a resent one is done as if it were the first.)
  Result<void> old_is_missing() {
    if (!context_.unique.resent() || !shown_new_ || (request_.flags & kExchange) != 0)
      return Errno{ENOENT};
    pool_.figures.replays.fetch_add(1, std::memory_order_relaxed);
    return {};
  }

  // --- exchange

  /// Only where each branch that has one name has the other too: else a copy would be left under
  /// the name that it must not have, or would have to change its branch.
  Result<void> exchange() {
    if (!shown_new_) return Errno{ENOENT};
    std::vector<std::size_t> branches;
    for (std::size_t i = 0; i < set_->size(); ++i) {
      if (old_.exists(i) != has_new(i)) return Errno{EXDEV};
      if (!old_.exists(i)) continue;
      if (set_->mode(i) == BranchMode::kReadOnly) return Errno{EROFS};
      if (const auto reached = reach_now(i); !reached) return reached;
      branches.push_back(i);
    }
    for (std::size_t done = 0; done < branches.size(); ++done) {
      const auto exchanged = exchange_on(branches[done]);
      *acted_ = *acted_ || exchanged;
      if (exchanged) continue;
      while (done-- > 0) (void)exchange_on(branches[done]);
      return exchanged;
    }
    pool_.nodes.exchange_names(context_.node, request_.old_name.view(), request_.new_parent,
                               request_.new_name.view());
    note_branch(context_, (*set_)[branches.front()]);
    return {};
  }
  Result<void> exchange_on(std::size_t branch) {
    return pool_.backing.rename_at(old_parent(branch), old_name(), new_parent(branch), new_name(),
                                   kExchange);
  }

  // --- move

  Result<void> move() {
    if (const auto allowed = check(); !allowed) return allowed;
    if (same_file_) return {};
    auto steps = plan();
    if (!steps) return steps.error();
    std::shared_ptr<Fd> victim = pin_replaced();
    const auto moved = move_all(*steps);
    pool_.free_names.found(request_.new_parent, request_.new_name.view());
    if (!moved) return moved;
    const auto cleared = remove_hiding_copies(*steps);
    move_edge(*steps, std::move(victim));
    note_branch(context_, (*set_)[steps->front().branch]);
    return cleared;
  }

  /// POSIX's rules for the two names as the pool shows them.
  Result<void> check() {
    if (!shown_new_) return {};
    if ((request_.flags & kNoReplace) != 0) return Errno{EEXIST};
    const FileStat& from = old_.stat(*shown_old_);
    const FileStat& to = new_.stat(*shown_new_);
    if (shown_old_ == shown_new_ && from.id == to.id) {
      same_file_ = true;
      return {};
    }
    if (from.is_directory() && !to.is_directory()) return Errno{ENOTDIR};
    if (!from.is_directory() && to.is_directory()) return Errno{EISDIR};
    if (!to.is_directory()) return {};
    for (std::size_t i = 0; i < set_->size(); ++i) {
      if (!has_new(i) || !new_.stat(i).is_directory()) continue;
      const auto empty = is_empty_directory(pool_, new_.directory(i).fd(), new_name());
      if (!empty && empty.error() == Errno{ENOENT}) continue;
      if (!empty) return empty.error();
      if (!*empty) return Errno{ENOTEMPTY};
    }
    return {};
  }

  /// The branches to rename on, with the new parent made where it is missing. Those where something
  /// is replaced come last: they cannot be taken back.
  Result<std::vector<Step>> plan() {
    const policy::Choice targets =
        pool_.settings.action[ActionFunction::kRename].choose(old_, pool_.random);
    if (targets.empty()) return unanswered(old_).value_or(refusal_errno(targets.refusal()));
    std::vector<Step> steps;
    for (const bool replacing : {false, true})
      for (std::size_t i = 0; i < targets.size(); ++i)
        if (has_new(targets[i]) == replacing) steps.push_back(Step{targets[i], {}, -1});

    // What users see under the old name must be among what moves, and no copy of the new name that
    // must stay may hide it there: else they would find another file than the one they moved.
    const std::size_t hiding = hiding_before(steps);
    if (const auto may = may_leave_others(old_, targets, *shown_old_); !may) return may.error();
    for (std::size_t i = 0; i < hiding; ++i)
      if (has_new(i) && !moves(steps, i) && !new_.stat(i).is_directory() &&
          set_->mode(i) == BranchMode::kReadOnly)
        return Errno{EROFS};

    for (Step& step : steps)
      if (const auto ready = reach_both(step); !ready) return ready.error();
    // So that no hiding copy is out of reach when the others have moved.
    for (std::size_t i = 0; i < hiding; ++i)
      if (has_new(i) && !moves(steps, i))
        if (const auto reached = new_.reach_now(i); !reached) return reached.error();
    return steps;
  }
  Result<void> reach_both(Step& step) {
    const auto reached = reach_now(step.branch);
    if (reached) {
      step.new_parent = new_parent(step.branch);
      return {};
    }
    if (same_parent_ || !means_absent(reached.error()) || !old_.reach_now(step.branch))
      return reached;
    if (keeps_to_paths(pool_) || is_followed(new_path_)) return Errno{EXDEV};
    auto made = or_exdev(clone_parents(pool_, *set_, step.branch, new_path_));
    if (!made) return made.error();
    step.cloned = *std::move(made);
    step.new_parent = step.cloned.fd();
    return {};
  }
  /// A copy of the new name that stays hides what moved if it is on a branch before this one: the
  /// first of those moved on, where the search goes in list order; else any may.
  std::size_t hiding_before(const std::vector<Step>& steps) const {
    if (!shows_first_copy(pool_.settings)) return set_->size();
    return std::min_element(steps.begin(), steps.end(),
                            [](const Step& a, const Step& b) { return a.branch < b.branch; })
        ->branch;
  }
  static bool moves(const std::vector<Step>& steps, std::size_t branch) {
    return std::any_of(steps.begin(), steps.end(),
                       [branch](const Step& step) { return step.branch == branch; });
  }

  /// The file that loses the new name, if its node is known.
  std::shared_ptr<Fd> pin_replaced() {
    if (!shown_new_) return nullptr;
    NodeView node;
    const NodeId child = pool_.nodes.child(request_.new_parent, request_.new_name.view());
    if (child == proto::kNoNode || !pool_.nodes.view(child, node)) return nullptr;
    // A link goes, not the directory that it leads to.
    if (node.directory && !new_.stat(*shown_new_).is_directory()) return nullptr;
    if (node.directory)
      return pin_victim(pool_, new_.directory(*shown_new_).fd(), new_name(),
                        new_.stat(*shown_new_).id);
    for (std::size_t i = 0; i < set_->size(); ++i)
      if (has_new(i) && (*set_)[i].id() == node.location.branch &&
          new_.stat(i).id == node.location.file)
        return pin_victim(pool_, new_.directory(i).fd(), new_name(), new_.stat(i).id);
    return nullptr;
  }

  Result<void> move_all(const std::vector<Step>& steps) {
    for (std::size_t done = 0; done < steps.size(); ++done) {
      const Step& step = steps[done];
      const auto moved = pool_.backing.rename_at(old_parent(step.branch), old_name(),
                                                 step.new_parent, new_name(), request_.flags);
      *acted_ = *acted_ || moved;
      if (moved) continue;
      bool all_back = true;
      while (done-- > 0)
        all_back = !has_new(steps[done].branch) && take_back(steps[done]) && all_back;
      if (all_back) *acted_ = false;
      return moved;
    }
    return {};
  }
  /// False: the copy of this branch stays under the new name.
  bool take_back(const Step& step) {
    const auto back = pool_.backing.rename_at(step.new_parent, new_name(), old_parent(step.branch),
                                              old_name(), kNoReplace);
    if (back || back.error() != Errno{EINVAL}) return back.has_value();
    return pool_.backing
        .rename_at(step.new_parent, new_name(), old_parent(step.branch), old_name(), 0)
        .has_value();
  }

  /// Copies of the new name on branches that nothing moved on. One that would still hide what moved
  /// is an error; one behind it is not seen.
  Result<void> remove_hiding_copies(const std::vector<Step>& steps) {
    const std::size_t hiding = hiding_before(steps);
    Result<void> first_failure;
    for (std::size_t i = 0; i < set_->size(); ++i) {
      if (!has_new(i) || moves(steps, i) || set_->mode(i) == BranchMode::kReadOnly) continue;
      if (!new_.reach_now(i)) continue;
      const auto removed = new_.stat(i).is_directory()
                               ? pool_.backing.rmdir_at(new_.directory(i).fd(), new_name())
                               : pool_.backing.unlink_at(new_.directory(i).fd(), new_name());
      if (!removed && removed.error() != Errno{ENOENT} && i < hiding && first_failure)
        first_failure = removed;
    }
    return first_failure;
  }

  void move_edge(const std::vector<Step>& steps, std::shared_ptr<Fd> victim) {
    NodeView node;
    const NodeId child = pool_.nodes.child(context_.node, request_.old_name.view());
    const bool known = child != proto::kNoNode && pool_.nodes.view(child, node);
    const BranchId own = node.followed ? (*set_)[*shown_old_].id() : node.location.branch;
    const bool stays = known && !node.directory && !moved_on(steps, own);
    if (stays)
      pool_.nodes.remove_name(request_.new_parent, request_.new_name.view(), std::move(victim));
    else
      pool_.nodes.move_name(context_.node, request_.old_name.view(), request_.new_parent,
                            request_.new_name.view(), std::move(victim));
  }
  bool moved_on(const std::vector<Step>& steps, BranchId branch) const {
    return std::any_of(steps.begin(), steps.end(),
                       [&](const Step& step) { return (*set_)[step.branch].id() == branch; });
  }

  Pool& pool_;
  const Context& context_;
  const proto::RenameRequest& request_;
  const std::shared_ptr<const BranchSet> set_;
  const std::string_view new_path_;
  const bool same_parent_;
  const bool new_is_free_;
  bool* acted_ = nullptr;
  PoolFacts old_;
  PoolFacts new_;
  std::optional<std::size_t> shown_old_;
  std::optional<std::size_t> shown_new_;
  bool same_file_ = false;
};

}  // namespace

/// A file never changes its branch: each copy is renamed where it is, and copies of the old name
/// that the action policy leaves out stay. A WHITEOUT puts something under the old name of each
/// copy, which no pool of several branches has a meaning for.
Result<void> rename(Pool& pool, const Context& context, const proto::RenameRequest& request) {
  const std::uint32_t flags = request.flags;
  if ((flags & ~(kNoReplace | kExchange | kWhiteout)) != 0) return Errno{EINVAL};
  if ((flags & kExchange) != 0 && flags != kExchange) return Errno{EINVAL};
  if ((flags & kWhiteout) != 0 && pool.branches.snapshot()->size() > 1) return Errno{EINVAL};
  if (request.new_name.size() > kNameMax) return Errno{ENAMETOOLONG};
  PathText old_path;
  PathText new_path;
  if (const auto known = directory_path(pool, context.node, old_path); !known) return known.error();
  if (const auto known = directory_path(pool, request.new_parent, new_path); !known)
    return known.error();
  // What is outside of the branches is not moved into one, nor out of one, by its name alone.
  if (is_followed(old_path.view()) != is_followed(new_path.view())) return Errno{EXDEV};
  const bool new_is_free =
      !context.unique.resent() && pool.free_names.take(request.new_parent, request.new_name.view());
  const auto done = as_lately_or_now([&](Directories directories, bool& acted) {
    const bool lately = directories == Directories::kRecent;
    return Renaming(pool, context, request, old_path.view(), new_path.view(), directories,
                    lately && new_is_free)
        .run(acted);
  });
  if (done || done.error() != Errno{EXDEV} || (flags & ~kNoReplace) != 0) return done;
  return rename_aside(pool, context, request, old_path.view(), new_path.view());
}

}  // namespace bough::ops
