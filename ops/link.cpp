#include "ops/attributes.hpp"
#include "ops/operations.hpp"
#include "ops/place.hpp"

namespace bough::ops {

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
  if (branch.mode() == BranchMode::kReadOnly) return Errno{EROFS};

  if (keeps_to_paths(pool) && !facts.exists(index)) return unanswered(facts).value_or(Errno{EXDEV});
  const auto parent = or_exdev(reach_or_clone(pool, *set, index, path.view(), facts));
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
