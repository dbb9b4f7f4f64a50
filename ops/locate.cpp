#include "ops/locate.hpp"

#include <fcntl.h>

#include <algorithm>
#include <optional>

#include "ops/all_copies.hpp"
#include "ops/converted_link.hpp"
#include "ops/followed_link.hpp"
#include "ops/followed_path.hpp"
#include "ops/operations.hpp"
#include "ops/pool_facts.hpp"
#include "ops/shown_copy.hpp"

namespace bough::ops {
namespace {

using Directories = PoolFacts::Directories;

bool out_of_descriptors(Errno error) noexcept {
  return error == Errno{EMFILE} || error == Errno{ENFILE};
}

/// Asks `pick` (policy::Choice(PoolFacts&)), a policy; a branch that could not be asked for want of
/// descriptors is asked once more, so that a shortage does not make the choice.
template <class Pick, class Use>
auto choose(Pool& pool, Pick pick, const BranchSet& set, std::string_view path, const char* name,
            PoolFacts::Directories directories, Use use)
    -> decltype(use(std::declval<PoolFacts&>(), std::declval<const policy::Choice&>())) {
  for (bool again = false;; again = true) {
    PoolFacts facts(pool, set, path, name, directories);
    const policy::Choice choice = pick(facts);
    if (!again && facts.first_error() && out_of_descriptors(*facts.first_error())) {
      relieve_descriptors(pool);
      continue;
    }
    return use(facts, choice);
  }
}

/// Why nothing was chosen: what a branch failed with, else the policy's refusal. A branch whose
/// disk is gone (ESTALE from its root) takes no part: the pool of the others goes on.
Errno why_none(const PoolFacts& facts, const policy::Choice& choice) noexcept {
  const auto& failed = facts.first_error();
  if (failed && (*failed != Errno{ESTALE} || facts.is_followed())) return *failed;
  return refusal_errno(choice.refusal());
}

/// `of_all`: the attributes are to be those of all copies together.
Result<NodeFile> reach_directory(Pool& pool, const NodeView& view, Directories directories,
                                 bool of_all = false) {
  const auto set = pool.branches.snapshot();
  const auto pick = [&](PoolFacts& facts) {
    return pool.settings.search[SearchFunction::kGetattr].choose(facts, pool.random);
  };
  return choose(pool, pick, *set, view.path.view(), nullptr, directories,
                [&](PoolFacts& facts, const policy::Choice& choice) -> Result<NodeFile> {
                  if (choice.empty()) return why_none(facts, choice);
                  NodeFile found;
                  found.directory = facts.take_directory(choice[0]);
                  const auto stat = pool.backing.stat(found.directory.fd());
                  if (!stat) return stat.error();
                  found.stat = *stat;
                  if (of_all)
                    add_all_copies(pool, *set, facts, choice[0], view.path.view(), {}, found.stat);
                  found.branch = (*set)[choice[0]].id();
                  found.ino = view.ino;
                  return found;
                });
}

/// Offers every name of a file in turn to `look` (Result<FileStat>(Branch&, int directory, const
/// char* name)), until one of them is the file itself: on its branch; of what is outside of the
/// branches then on the others, too, since the name may be a link of theirs.
template <class Look>
Result<FileStat> by_names(Pool& pool, NodeView& view, Look look) {
  const auto set = pool.branches.snapshot();
  std::optional<Errno> failed;
  const auto is_on = [&](Branch& branch) -> std::optional<FileStat> {
    const auto stat = [&]() -> Result<FileStat> {
      const auto directory = recent_directory(pool, branch, view.path.view());
      if (!directory) return directory.error();
      return look(branch, directory->fd(), view.name_c_str());
    }();
    if (stat && stat->id == view.location.file) return *stat;
    if (!stat && !means_absent(stat.error()) && !failed) failed = stat.error();
    return std::nullopt;
  };
  Branch* const own = set->by_id(view.location.branch);
  std::uint32_t tried = 0;
  while (view.named) {
    if (own != nullptr)
      if (const auto stat = is_on(*own)) return *stat;
    for (std::size_t i = 0; view.followed && i < set->size(); ++i)
      if (&(*set)[i] != own)
        if (const auto stat = is_on((*set)[i])) return *stat;
    if (!pool.nodes.next_name(view.node, ++tried, view)) break;
  }
  return failed.value_or(Errno{ESTALE});
}

/// O_PATH of what a name of a node is now.
Result<Fd> open_name(Pool& pool, Branch& branch, const NodeView& view, int directory,
                     const char* name) {
  if (view.followed && !is_followed(view.path.view()))
    return follow_link(pool, branch, directory, name);
  if (view.followed)
    if (const auto allowed = stat_name(pool, branch, view.path.view(), directory, name); !allowed)
      return allowed.error();
  return open_with_relief(pool, [&] { return pool.backing.open_at(directory, name, O_PATH, 0); });
}

Result<NodeFile> reach_file(Pool& pool, NodeView& view) {
  NodeFile found;
  found.ino = view.ino;
  found.link = view.link;
  found.followed = view.followed;
  const auto stat = by_names(
      pool, view, [&](Branch& branch, int directory, const char* name) -> Result<FileStat> {
        auto fd = open_name(pool, branch, view, directory, name);
        if (!fd) return fd.error();
        found.own = std::move(*fd);
        found.branch = branch.id();
        return pool.backing.stat(found.own.get());
      });
  if (!stat) return stat.error();
  found.stat = *stat;
  return found;
}

Result<NodeFile> reach_victim(Pool& pool, const NodeView& view) {
  const auto stat = pool.backing.stat(view.victim->get());
  if (!stat) return stat.error();
  NodeFile found;
  found.shared = view.victim;
  found.stat = *stat;
  found.branch = view.location.branch;
  found.ino = view.ino;
  found.link = view.link;
  found.followed = view.followed;
  return found;
}

/// By its names, by what is kept of an unlinked one, by an open handle.
Result<FileStat> stat_file(Pool& pool, NodeView& view) {
  if (view.named) {
    const auto stat = by_names(
        pool, view, [&](Branch& branch, int directory, const char* name) -> Result<FileStat> {
          if (!view.followed || is_followed(view.path.view()))
            return stat_name(pool, branch, view.path.view(), directory, name);
          const auto target = follow_link(pool, branch, directory, name);
          if (!target) return target.error();
          return pool.backing.stat(target->get());
        });
    if (stat || (!view.victim && stat.error() != Errno{ESTALE})) return stat;
  }
  if (view.victim) return pool.backing.stat(view.victim->get());
  if (const auto handle = pool.handles.any_file_of(view.node))
    return pool.backing.stat(handle->fd.get());
  return Errno{ESTALE};
}

/// The root answers even when no branch does: a pool whose disks are all gone must still be
/// reachable, to be asked about and unmounted.
FileStat bare_root() noexcept {
  FileStat stat;
  stat.mode = 0040755;
  stat.nlink = 2;
  stat.block_size = 4096;
  stat.mask = 0x7ff;
  return stat;
}

Errno as_stale(Errno error) noexcept {
  return means_absent(error) ? Errno{ESTALE} : error;
}

/// The copies of a directory that the action policy chooses, but the one on `except`.
Result<std::vector<NodeFile>> directory_targets(Pool& pool, const policy::Policy& policy,
                                                const NodeView& view, BranchId except) {
  const auto set = pool.branches.snapshot();
  const auto pick = [&](PoolFacts& facts) { return policy.choose(facts, pool.random); };
  return choose(
      pool, pick, *set, view.path.view(), nullptr, Directories::kNow,
      [&](PoolFacts& facts, const policy::Choice& choice) -> Result<std::vector<NodeFile>> {
        if (choice.empty()) return why_none(facts, choice);
        std::vector<NodeFile> targets;
        for (std::size_t i = 0; i < choice.size(); ++i) {
          const Branch& branch = (*set)[choice[i]];
          if (branch.id() == except) continue;
          NodeFile target;
          target.directory = facts.take_directory(choice[i]);
          const auto stat = pool.backing.stat(target.directory.fd());
          if (!stat) continue;
          target.stat = *stat;
          target.branch = branch.id();
          target.ino = view.ino;
          targets.push_back(std::move(target));
        }
        return targets;
      });
}

std::vector<NodeFile> file_targets(Pool& pool, const policy::Policy& policy, const NodeView& view,
                                   const NodeFile& own) {
  std::vector<NodeFile> targets;
  const auto name = Name::check(view.name());
  if (!name) return targets;
  const auto set = pool.branches.snapshot();
  PoolFacts facts(pool, *set, view.path.view(), name->c_str(), Directories::kRecent);
  facts.use(pool.name_index.ask(pool, *set, view.parent, view.path.view(), view.name()));
  // All but one: that one need not be asked for.
  for (std::size_t i = 0; policy.takes == policy::Takes::kAll && i < set->size(); ++i)
    if ((*set)[i].id() == own.branch) facts.rule_out(i);
  const policy::Choice others = policy.choose(facts, pool.random);
  for (std::size_t i = 0; i < others.size(); ++i) {
    if ((*set)[others[i]].id() == own.branch) continue;
    if (((facts.stat(others[i]).mode ^ own.stat.mode) & kTypeBits) != 0) continue;
    if (!facts.reach_now(others[i])) continue;
    const int parent = facts.directory(others[i]).fd();
    auto fd = open_with_relief(
        pool, [&] { return pool.backing.open_at(parent, name->c_str(), O_PATH, 0); });
    if (!fd) continue;
    const auto stat = pool.backing.stat(fd->get());
    if (!stat || stat->id != facts.stat(others[i]).id || stat->id == own.stat.id) continue;
    NodeFile target;
    target.own = std::move(*fd);
    target.stat = *stat;
    target.branch = (*set)[others[i]].id();
    target.ino = own.ino;
    targets.push_back(std::move(target));
  }
  return targets;
}

}  // namespace

void relieve_descriptors(Pool& pool) noexcept {
  pool.figures.descriptor_shortages.fetch_add(1, std::memory_order_relaxed);
  for (const auto& branch : *pool.branches.snapshot()) branch->let_go();
  pool.directories.clear();
  let_go_of_listings(pool);
}

Result<DirRef> open_directory(Pool& pool, Branch& branch, std::string_view path) {
  if (!is_followed(path)) return open_with_relief(pool, [&] { return branch.directory(path); });
  auto followed = follow_path(pool, branch, path, O_PATH);
  if (!followed) return followed.error();
  return DirRef(*std::move(followed));
}

Result<Fd> open_readable_directory(Pool& pool, Branch& branch, std::string_view path) {
  if (is_followed(path)) return follow_path(pool, branch, path, O_RDONLY);
  return open_with_relief(pool, [&] { return branch.readable_directory(path); });
}

Result<DirRef> recent_directory(Pool& pool, Branch& branch, std::string_view path) {
  constexpr std::chrono::seconds kLongest{1};
  const auto valid = std::min<std::chrono::nanoseconds>(pool.settings.entry_valid, kLongest);
  if (path.empty() || valid.count() == 0 || branch.retired() || is_followed(path))
    return open_directory(pool, branch, path);
  DirectoryCache& cache = pool.directories;
  if (auto kept = cache.find(branch.id(), path, valid)) return DirRef(std::move(kept));
  const std::uint64_t changes = cache.changes();
  auto opened = open_directory(pool, branch, path);
  if (!opened) return opened;
  auto shared = std::make_shared<const Fd>(std::move(*opened).take());
  cache.put(branch.id(), path, shared, changes);
  if (branch.retired()) cache.clear();
  return DirRef(std::move(shared));
}

Result<void> directory_path(Pool& pool, NodeId directory, PathText& into) {
  if (pool.nodes.directory_path(directory, into)) return {};
  NodeView view;
  if (!pool.nodes.view(directory, view)) return Errno{ESTALE};
  // The name leads to another directory now, or is gone: the kernel looks it up again.
  if (view.followed && view.directory && !view.victim) return Errno{ESTALE};
  return view.directory ? Errno{ENOENT} : Errno{ENOTDIR};
}

Errno refusal_errno(policy::Refusal why) noexcept {
  switch (why) {
    case policy::Refusal::kReadOnly:
      return Errno{EROFS};
    case policy::Refusal::kNoSpace:
      return Errno{ENOSPC};
    case policy::Refusal::kNotFound:
      break;
  }
  return Errno{ENOENT};
}

bool means_absent(Errno error) noexcept {
  return error == Errno{ENOENT} || error == Errno{ENOTDIR} || error == Errno{ELOOP};
}

Result<Copy> find_copy(Pool& pool, NodeId parent, std::string_view path, Name name) {
  auto set = pool.branches.snapshot();
  const auto known = pool.name_index.ask(pool, *set, parent, path, name.view());
  const auto pick = [&](PoolFacts& facts) {
    facts.use(known);
    return choose_shown(pool.settings, facts, pool.random);
  };
  return choose(pool, pick, *set, path, name.c_str(), Directories::kRecent,
                [&](PoolFacts& facts, const policy::Choice& choice) -> Result<Copy> {
                  if (choice.empty()) return why_none(facts, choice);
                  const std::size_t index = choice[0];
                  FileStat stat = facts.stat(index);
                  if (stat.is_directory())
                    add_all_copies(pool, *set, facts, index, path, name.view(), stat);
                  return Copy{std::move(set), index, facts.take_directory(index), stat};
                });
}

Result<std::vector<DirectoryCopy>> find_directory_copies(Pool& pool, const BranchSet& set,
                                                         std::string_view path) {
  std::vector<DirectoryCopy> copies;
  std::optional<Errno> failed;
  for (std::size_t i = 0; i < set.size(); ++i) {
    auto directory = open_directory(pool, set[i], path);
    const auto stat =
        directory ? pool.backing.stat(directory->fd()) : Result<FileStat>(directory.error());
    if (stat)
      copies.push_back(DirectoryCopy{i, std::move(*directory), *stat});
    else if (!means_absent(stat.error()) && stat.error() != Errno{ESTALE} && !failed)
      failed = stat.error();
  }
  if (copies.empty()) return failed.value_or(Errno{ENOENT});
  return copies;
}

Result<NodeFile> reach(Pool& pool, NodeId node) {
  NodeView view;
  if (!pool.nodes.view(node, view)) return Errno{ESTALE};
  if (!view.named && node != proto::kRootNode)
    return view.victim ? reach_victim(pool, view) : Errno{ESTALE};
  auto found =
      view.directory ? reach_directory(pool, view, Directories::kNow) : reach_file(pool, view);
  if (!found && view.victim) return reach_victim(pool, view);
  if (!found) return as_stale(found.error());
  return found;
}

Result<NodeFile> reach_open(Pool& pool, NodeId node) {
  auto found = reach(pool, node);
  if (found || found.error() != Errno{ESTALE}) return found;
  const auto handle = pool.handles.any_file_of(node);
  NodeView view;
  if (!handle || !pool.nodes.view(node, view)) return found;
  auto fd = open_with_relief(pool, [&] { return pool.backing.reopen(handle->fd.get(), O_PATH); });
  if (!fd) return fd.error();
  const auto stat = pool.backing.stat(fd->get());
  if (!stat) return stat.error();
  NodeFile file;
  file.own = std::move(*fd);
  file.stat = *stat;
  file.branch = handle->branch;
  file.ino = view.ino;
  file.followed = view.followed;
  return file;
}

Result<OpenFile> open_by_name(Pool& pool, NodeId node, int flags) {
  NodeView view;
  if (!pool.nodes.view(node, view) || view.directory || view.link || view.followed || !view.named)
    return Errno{ESTALE};
  const auto set = pool.branches.snapshot();
  Branch* const branch = set->by_id(view.location.branch);
  if (branch == nullptr) return Errno{ESTALE};
  // Elsewhere O_NONBLOCK may mean something.
  if (!branch->closes_quietly()) return Errno{EOPNOTSUPP};
  OpenFile file;
  file.branch = branch->id();
  const auto stat =
      by_names(pool, view, [&](Branch&, int directory, const char* name) -> Result<FileStat> {
        auto fd = open_with_relief(
            pool, [&] { return pool.backing.open_at(directory, name, flags | O_NONBLOCK, 0); });
        if (!fd) return fd.error();
        file.fd = std::move(*fd);
        return pool.backing.stat(file.fd.get());
      });
  if (!stat) return stat.error();
  file.stat = *stat;
  return file;
}

Result<FileStat> stat_node(Pool& pool, NodeId node, std::uint64_t& ino, BranchId& branch) {
  NodeView view;
  if (!pool.nodes.view(node, view)) return Errno{ESTALE};
  ino = view.ino;
  branch = view.location.branch;
  if (view.directory && (view.named || node == proto::kRootNode)) {
    auto found = reach_directory(pool, view, Directories::kRecent, true);
    // Removed or moved behind the pool, or out of reach for the moment.
    if (!found || found->stat.nlink == 0)
      found = reach_directory(pool, view, Directories::kNow, true);
    if (found) {
      branch = found->branch;
      return found->stat;
    }
    if (node == proto::kRootNode) return bare_root();
    return as_stale(found.error());
  }
  auto stat = stat_file(pool, view);
  if (stat && view.link) *stat = as_link(*stat, link_size(pool, view));
  return stat;
}

std::unique_lock<std::mutex> hold_copies(Pool& pool, NodeId node) {
  NodeView view;
  if (!pool.nodes.view(node, view) || !view.directory) return {};
  return std::unique_lock(pool.directory_copies);
}

Result<Subject> find_subject(Pool& pool, NodeId node, ActionFunction function) {
  return find_subject(pool, node, function, reach_open(pool, node));
}

Result<Subject> find_subject(Pool& pool, NodeId node, ActionFunction function,
                             Result<NodeFile> own) {
  const policy::Policy& policy = pool.settings.action[function];
  if (policy.takes == policy::Takes::kNone) return Errno{EROFS};
  if (!own) return own.error();
  Subject subject;
  subject.own = std::move(*own);
  // A directory whose name is gone has no branch on record; it was removed, so it can be changed.
  subject.change_own = subject.own.branch == kNoBranch || writable(pool, subject.own.branch);
  const bool directory = subject.own.stat.is_directory();
  if (!subject.change_own && !directory) return Errno{EROFS};
  NodeView view;
  if (pool.branches.snapshot()->size() > 1 && !subject.own.followed &&
      pool.nodes.view(node, view) && (view.named || node == proto::kRootNode)) {
    if (directory) {
      auto others = directory_targets(pool, policy, view, subject.own.branch);
      if (others) subject.others = std::move(*others);
    } else {
      subject.others = file_targets(pool, policy, view, subject.own);
    }
  }
  if (!subject.change_own && subject.others.empty()) return Errno{EROFS};
  return subject;
}

bool writable(Pool& pool, BranchId branch) {
  return pool.branches.snapshot()->writable(branch);
}

void note_branch(const Context& context, const Branch& branch) {
  if (context.note != nullptr) context.note->branch = branch.path();
}

void note_branch(const Context& context, const Pool& pool, BranchId branch) {
  if (context.note == nullptr) return;
  const auto set = pool.branches.snapshot();
  if (const Branch* const found = set->by_id(branch)) note_branch(context, *found);
}

}  // namespace bough::ops
