#include <optional>

#include "ops/followed_link.hpp"
#include "ops/operations.hpp"
#include "ops/place.hpp"
#include "ops/shown_copy.hpp"

namespace bough::ops {
namespace {

using Directories = PoolFacts::Directories;

/// A resent UNLINK or RMDIR that finds nothing has done its work before.
Result<void> not_there(Pool& pool, const Context& context, Errno error) {
  if (error != Errno{ENOENT} || !context.unique.resent()) return error;
  pool.figures.replays.fetch_add(1, std::memory_order_relaxed);
  return {};
}

/// Hidden copies on branches that the action policy leaves out (read-only ones) stay, and the name
/// with them. While a branch cannot be asked nothing is removed: it may hold a copy, which would
/// come back as the file that users removed.
Result<void> unlink_now(Pool& pool, const Context& context, Name name, std::string_view path,
                        Directories directories, bool& acted) {
  const auto set = pool.branches.snapshot();
  PoolFacts facts(pool, *set, path, name.c_str(), directories);
  facts.use(pool.name_index.ask(pool, *set, context.node, path, name.view()));
  const policy::Choice shown = choose_shown(pool.settings, facts, pool.random);
  if (shown.empty()) return unanswered(facts).value_or(refusal_errno(shown.refusal()));
  const policy::Choice targets =
      pool.settings.action[ActionFunction::kUnlink].choose(facts, pool.random);
  if (const auto may = may_leave_others(facts, targets, shown[0]); !may) return may;
  if (const auto failed = unanswered(facts)) return *failed;
  if (targets.empty()) return refusal_errno(targets.refusal());
  for (std::size_t i = 0; i < targets.size(); ++i)
    if (const auto reached = facts.reach_now(targets[i]); !reached) return reached;

  NodeView node;
  const NodeId child = pool.nodes.child(context.node, name.view());
  const bool known = child != proto::kNoNode && pool.nodes.view(child, node);
  // Several branches may have links to one file.
  const BranchId own_branch = node.followed ? (*set)[shown[0]].id() : node.location.branch;
  std::shared_ptr<Fd> victim;
  if (known && !node.directory) {
    std::size_t own = 0;
    while (own < set->size() && (*set)[own].id() != own_branch) ++own;
    if (own < set->size() && facts.exists(own) && facts.stat(own).id == node.location.file)
      victim = pin_victim(pool, facts.directory(own).fd(), name.c_str(), node.location.file);
    else if (node.followed)
      if (auto target = reach(pool, child)) victim = std::make_shared<Fd>(std::move(target->own));
  }

  std::optional<Errno> failure;
  bool own_is_gone = known && node.directory;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const Branch& branch = (*set)[targets[i]];
    const auto removed = pool.backing.unlink_at(facts.directory(targets[i]).fd(), name.c_str());
    acted = acted || removed;
    if (removed || removed.error() == Errno{ENOENT}) {
      own_is_gone = own_is_gone || branch.id() == own_branch;
      note_branch(context, branch);
    } else if (!failure) {
      failure = removed.error();
    }
  }
  if (!acted && !failure && directories == Directories::kRecent) return Errno{ENOENT};
  if (known && own_is_gone) pool.nodes.remove_name(context.node, name.view(), std::move(victim));
  if (failure) return *failure;
  return {};
}

/// Where a link is shown, as the directory that it leads to, the links of that name go, and no
/// directory.
///
/// Every copy is looked at before the first goes. Copies on branches that the action policy leaves
/// out stay; the kernel's directory is dead all the same, so the name means another node from then
/// on.
Result<void> rmdir_now(Pool& pool, const Context& context, Name name, std::string_view path,
                       Directories directories, bool& acted) {
  const auto set = pool.branches.snapshot();
  PoolFacts facts(pool, *set, path, name.c_str(), directories);
  const policy::Choice shown = choose_shown(pool.settings, facts, pool.random);
  if (shown.empty()) return unanswered(facts).value_or(refusal_errno(shown.refusal()));
  const bool link = follows_directories(pool.settings) && facts.stat(shown[0]).is_symlink();
  const auto is_copy = [&](std::size_t i) {
    return facts.exists(i) && (link ? facts.stat(i).is_symlink() : facts.stat(i).is_directory());
  };
  if (!is_copy(shown[0])) return Errno{ENOTDIR};
  std::size_t copies = 0;
  for (std::size_t i = 0; i < set->size(); ++i) copies += is_copy(i) ? 1 : 0;
  // Of a single copy rmdir(2) itself says whether it is empty.
  for (std::size_t i = 0; !link && copies > 1 && i < set->size(); ++i) {
    if (!is_copy(i)) continue;
    const auto empty = is_empty_directory(pool, facts.directory(i).fd(), name.c_str());
    if (!empty && empty.error() == Errno{ENOENT}) continue;
    if (!empty) return empty.error();
    if (!*empty) return Errno{ENOTEMPTY};
  }
  if (const auto failed = unanswered(facts)) return *failed;
  const policy::Choice targets =
      pool.settings.action[ActionFunction::kRmdir].choose(facts, pool.random);
  if (const auto may = may_leave_others(facts, targets, shown[0]); !may) return may;
  if (targets.empty()) return refusal_errno(targets.refusal());
  for (std::size_t i = 0; i < targets.size(); ++i)
    if (const auto reached = facts.reach_now(targets[i]); !reached) return reached;

  std::shared_ptr<Fd> victim;
  if (pool.nodes.child(context.node, name.view()) != proto::kNoNode && !link)
    victim =
        pin_victim(pool, facts.directory(shown[0]).fd(), name.c_str(), facts.stat(shown[0]).id);
  // The copy that users see goes last: if a removal fails, what they see is unchanged.
  bool any = false;
  for (std::size_t i = targets.size(); i-- > 0;) {
    const std::size_t index = targets[i];
    if (!is_copy(index)) continue;
    const int parent = facts.directory(index).fd();
    const auto removed = link ? pool.backing.unlink_at(parent, name.c_str())
                              : pool.backing.rmdir_at(parent, name.c_str());
    if (!removed && removed.error() != Errno{ENOENT}) return removed.error();
    acted = acted || removed;
    any = true;
    note_branch(context, (*set)[index]);
  }
  if (!any) return Errno{EROFS};
  if (!acted && directories == Directories::kRecent) return Errno{ENOENT};
  pool.nodes.remove_name(context.node, name.view(), std::move(victim));
  return {};
}

}  // namespace

Result<void> unlink(Pool& pool, const Context& context, const proto::UnlinkRequest& request) {
  PathText path;
  if (const auto known = directory_path(pool, context.node, path); !known) return known.error();
  const auto done = as_lately_or_now([&](Directories directories, bool& acted) {
    return unlink_now(pool, context, request.name, path.view(), directories, acted);
  });
  return done ? done : not_there(pool, context, done.error());
}

Result<void> rmdir(Pool& pool, const Context& context, const proto::RmdirRequest& request) {
  PathText path;
  if (const auto known = directory_path(pool, context.node, path); !known) return known.error();
  const auto done = as_lately_or_now([&](Directories directories, bool& acted) {
    return rmdir_now(pool, context, request.name, path.view(), directories, acted);
  });
  PathText whole;
  whole.prepend(request.name.view());
  if (!path.empty()) whole.prepend(path.view());
  for (const auto& branch : *pool.branches.snapshot())
    pool.directories.removed(branch->id(), whole.view());
  return done ? done : not_there(pool, context, done.error());
}

}  // namespace bough::ops
