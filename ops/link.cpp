#include <string>

#include "ops/attributes.hpp"
#include "ops/operations.hpp"
#include "ops/place.hpp"
#include "ops/rename_exdev.hpp"

namespace bough::ops {
namespace {

/// link-exdev: a symbolic link to the file. The kernel takes the answer only if it has the type of
/// the file that was to be linked, so it says that the name is the file, and for no time at all.
Result<proto::EntryReply> link_by_symlink(Pool& pool, const Context& context,
                                          const proto::LinkRequest& request, const NodeFile& file,
                                          const Branch& branch, std::string_view new_path) {
  const LinkExdev how = pool.settings.links.link_exdev;
  NodeView view;
  if (how == LinkExdev::kPassthrough || !pool.nodes.view(request.old_node, view) || !view.named)
    return Errno{EXDEV};
  const std::string old_path = joined(view.path.view(), view.name());
  std::string target;
  switch (how) {
    case LinkExdev::kRelative:
      target = relative_target(new_path, old_path);
      break;
    case LinkExdev::kOnBranch:
      target = joined(branch.path(), old_path);
      break;
    default:
      if (pool.mountpoint.empty()) return Errno{EXDEV};
      target = joined(pool.mountpoint, old_path);
      break;
  }
  const auto made = symlink(pool, context, {request.new_name, target, {}});
  if (!made) return made.error();
  const auto counted = pool.nodes.count_again(request.old_node);
  if (!counted) return Errno{ESTALE};
  proto::EntryReply reply;
  reply.claim = proto::LookupClaim(pool.owner, counted->node);
  reply.entry.node = counted->node;
  reply.entry.generation = pool.nodes.generation(counted->node);
  reply.entry.attr = to_attr(pool, file.stat, counted->ino);
  return reply;
}

}  // namespace

/// Only the node's own file gets the name, on its own branch. Copies of its old path on further
/// branches are other files, which happen to lie under the same name: a link to one of them would
/// be a link to a file that the caller never saw. So there is nothing for func.link to choose.
Result<proto::EntryReply> link(Pool& pool, const Context& context,
                               const proto::LinkRequest& request) {
  const Name name = request.new_name;
  if (pool.settings.action[ActionFunction::kLink].takes == policy::Takes::kNone)
    return Errno{EROFS};
  if (name.size() > kNameMax) return Errno{ENAMETOOLONG};
  PathText path;
  if (const auto known = directory_path(pool, context.node, path); !known) return known.error();
  const auto set = pool.branches.snapshot();
  PoolFacts facts(pool, *set, path.view());
  const auto existing = find_existing(pool, context, facts, name);
  if (!existing) return existing.error();
  if (existing->has_value() && !context.unique.resent()) return Errno{EEXIST};

  const auto file = reach(pool, request.old_node);
  if (!file) return file.error();
  if (file->stat.is_directory()) return Errno{EPERM};
  std::size_t index = 0;
  while (index < set->size() && (*set)[index].id() != file->branch) ++index;
  if (index == set->size()) return Errno{ESTALE};
  Branch& branch = (*set)[index];
  if (existing->has_value()) {
    const Existing& found = **existing;
    if (found.branch != index || found.stat.id != file->stat.id) return Errno{EEXIST};
    pool.figures.replays.fetch_add(1, std::memory_order_relaxed);
    return make_entry(pool, context.node, name.view(), branch, found.stat);
  }
  if (set->mode(index) == BranchMode::kReadOnly) return Errno{EROFS};

  const auto parent = [&]() -> Result<DirRef> {
    if (keeps_to_paths(pool) && !facts.exists(index))
      return unanswered(facts).value_or(Errno{EXDEV});
    return or_exdev(reach_or_clone(pool, *set, index, path.view(), facts));
  }();
  if (!parent && parent.error() == Errno{EXDEV})
    return link_by_symlink(pool, context, request, *file, branch, path.view());
  if (!parent) return parent.error();
  if (const auto linked = pool.backing.link_fd(file->fd(), parent->fd(), name.c_str()); !linked)
    return linked.error();
  UndoName undo(pool.backing, parent->fd(), name.c_str(), false);
  const auto stat = pool.backing.stat(file->fd());
  if (!stat) return stat.error();
  auto reply = make_entry(pool, context.node, name.view(), branch, *stat);
  if (!reply) return reply.error();
  undo.dismiss();
  note_branch(context, branch);
  return reply;
}

}  // namespace bough::ops
