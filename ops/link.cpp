#include <string>

#include "ops/attributes.hpp"
#include "ops/followed_path.hpp"
#include "ops/operations.hpp"
#include "ops/place.hpp"
#include "ops/rename_exdev.hpp"

namespace bough::ops {
namespace {

/// The kernel takes an answer only if it has the type of what was to be linked. So it says that the
/// name is the node, and for no time at all: it is looked up again before it is used.
Result<proto::EntryReply> as_old_node(Pool& pool, NodeId old_node) {
  std::uint64_t ino = 0;
  BranchId branch = kNoBranch;
  const auto stat = stat_node(pool, old_node, ino, branch);
  if (!stat) return stat.error();
  const auto counted = pool.nodes.count_again(old_node);
  if (!counted) return Errno{ESTALE};
  proto::EntryReply reply;
  reply.claim = proto::LookupClaim(pool.owner, counted->node);
  reply.entry.node = counted->node;
  reply.entry.generation = pool.nodes.generation(counted->node);
  reply.entry.attr = to_attr(pool, *stat, number_of(pool, old_node, ino, *stat, branch));
  return reply;
}

/// link-exdev: a symbolic link to the file.
Result<proto::EntryReply> link_by_symlink(Pool& pool, const Context& context,
                                          const proto::LinkRequest& request, const Branch& branch,
                                          std::string_view new_path) {
  const LinkExdev how = pool.settings.links.link_exdev;
  NodeView view;
  if (how == LinkExdev::kPassthrough || !pool.nodes.view(request.old_node, view) || !view.named)
    return Errno{EXDEV};
  if (is_followed(view.path.view()) || is_followed(new_path)) return Errno{EXDEV};
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
  return as_old_node(pool, request.old_node);
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
  // A file outside of the branches gets no name in one, nor a file of a branch one outside.
  if (file->followed != is_followed(path.view())) return Errno{EXDEV};
  std::size_t index = 0;
  while (index < set->size() && (*set)[index].id() != file->branch) ++index;
  if (index == set->size()) return Errno{ESTALE};
  Branch& branch = (*set)[index];
  if (existing->has_value()) {
    const Existing& found = **existing;
    if (found.branch != index || found.stat.id != file->stat.id) return Errno{EEXIST};
    pool.figures.replays.fetch_add(1, std::memory_order_relaxed);
    if (file->link) return as_old_node(pool, request.old_node);
    return make_entry(pool, context.node, name.view(), branch, found.stat);
  }
  if (set->mode(index) == BranchMode::kReadOnly) return Errno{EROFS};

  const auto parent = [&]() -> Result<DirRef> {
    if ((keeps_to_paths(pool) || is_followed(path.view())) && !facts.exists(index))
      return unanswered(facts).value_or(Errno{EXDEV});
    return or_exdev(reach_or_clone(pool, *set, index, path.view(), facts));
  }();
  if (!parent && parent.error() == Errno{EXDEV})
    return link_by_symlink(pool, context, request, branch, path.view());
  if (!parent) return parent.error();
  if (const auto linked = pool.backing.link_fd(file->fd(), parent->fd(), name.c_str()); !linked)
    return linked.error();
  UndoName undo(pool.backing, parent->fd(), name.c_str(), false);
  const auto stat = pool.backing.stat(file->fd());
  if (!stat) return stat.error();
  auto reply = file->link ? as_old_node(pool, request.old_node)
                          : make_entry(pool, context.node, name.view(), branch, *stat);
  if (!reply) return reply.error();
  if (file->link) pool.free_names.found(context.node, name.view());
  undo.dismiss();
  note_branch(context, branch);
  return reply;
}

}  // namespace bough::ops
