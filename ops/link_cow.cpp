#include "ops/link_cow.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <utility>

#include "ops/copy_metadata.hpp"
#include "ops/file_copy.hpp"
#include "ops/locate.hpp"
#include "ops/place.hpp"

namespace bough::ops {
namespace {

constexpr std::uint32_t kExchange = 2;

/// What is needed to copy a file beside its name and to give it that name, wherever the directory
/// is moved meanwhile.
struct Break {
  std::shared_ptr<const BranchSet> set;
  Branch* branch = nullptr;
  DirRef directory;
  Fd source;
  NodeView view;
  FileStat before;
};

/// A whole copy beside the name.
Result<FileStat> copy_beside(Pool& pool, int source, int directory, HiddenName& name, Payer payer) {
  constexpr int kTries = 4;
  for (int tries = 1;; ++tries) {
    name = hidden_name(pool.random);
    auto copied = copy_file(pool, source, directory, name.data(), payer);
    const bool again =
        !copied && (copied.error() == Errno{EBUSY} || copied.error() == Errno{EEXIST});
    if (!again || tries == kTries) return copied;
  }
}

/// `hidden` takes the place of `name`, which is `expected`; ESTALE if it is not any more. `undo` is
/// to remove what has the name `hidden` then.
Result<void> take_place(Pool& pool, int directory, const char* hidden, const char* name,
                        const FileId& expected, UndoName& undo) {
  Backing& backing = pool.backing;
  const auto exchanged = backing.rename_at(directory, hidden, directory, name, kExchange);
  if (exchanged) {
    const auto old = backing.stat_at(directory, hidden);
    if (old && old->id == expected) return {};
    if (const auto back = backing.rename_at(directory, hidden, directory, name, kExchange); !back) {
      // Somebody else's file.
      undo.dismiss();
      return back.error();
    }
    return old ? Errno{ESTALE} : old.error();
  }
  if (exchanged.error() == Errno{ENOENT}) return Errno{ESTALE};
  if (exchanged.error() != Errno{EINVAL}) return exchanged;
  // A file system without exchanges.
  const auto now = backing.stat_at(directory, name);
  if (!now) return means_absent(now.error()) ? Errno{ESTALE} : now.error();
  if (now->id != expected) return Errno{ESTALE};
  return backing.rename_at(directory, hidden, directory, name, 0);
}

/// Nothing: the node's file may be written as it is.
Result<std::optional<Break>> plan_break(Pool& pool, NodeId node) {
  const Gate::Passage passage(pool.gate);
  const auto file = reach(pool, node);
  // No name leads to it: an open fails as well, and what a handle may still do harms no name.
  if (!file && file.error() == Errno{ESTALE}) return std::optional<Break>();
  if (!file) return file.error();
  const bool own_name = !file->link && !file->followed;
  if (!file->stat.is_regular() || !own_name || file->stat.nlink < 2 ||
      !writable(pool, file->branch))
    return std::optional<Break>();
  Break plan;
  if (!pool.nodes.view(node, plan.view)) return Errno{ESTALE};
  if (!plan.view.named) return std::optional<Break>();
  const NodeId writer = pool.handles.writer_of(file->stat.id);
  if (writer == node) return std::optional<Break>();
  // Looked up before the option was set, or before somebody wrote. Looked up again each name gets
  // its own node, or the writer's.
  if (writer != proto::kNoNode || plan.view.names > 1) return Errno{ESTALE};
  if ((file->stat.attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) != 0)
    return Errno{EPERM};

  plan.set = pool.branches.snapshot();
  plan.branch = plan.set->by_id(file->branch);
  plan.before = file->stat;
  if (plan.branch == nullptr) return Errno{ESTALE};
  auto directory = open_directory(pool, *plan.branch, plan.view.path.view());
  if (!directory) return directory.error();
  plan.directory = *std::move(directory);
  auto source = open_source(pool, file->fd());
  if (!source) return source.error();
  plan.source = *std::move(source);
  return std::optional<Break>(std::move(plan));
}

Result<void> break_link(Pool& pool, const proto::Context& context, NodeId node) {
  const NodeLocks::Alone alone(pool.link_breaks, node);
  const auto planned = plan_break(pool, node);
  if (!planned) return planned.error();
  if (!*planned) return {};
  const Break& plan = **planned;
  const int directory = plan.directory.fd();
  HiddenName hidden{};
  const auto copied = copy_beside(pool, plan.source.get(), directory, hidden,
                                  payer_for(context, plan.before, false, pool.own));
  if (!copied) return copied.error();
  UndoName undo(pool.backing, directory, hidden.data(), false);
  if (const auto taken =
          take_place(pool, directory, hidden.data(), plan.view.name_c_str(), plan.before.id, undo);
      !taken)
    return taken;
  note_branch(context, *plan.branch);
  if (plan.view.holds > 0) return Errno{ESTALE};
  pool.nodes.replace(node, Location{plan.branch->id(), copied->id},
                     plan.branch->user_ino(copied->id));
  // Number and link count are others now.
  (void)pool.port->notify(proto::InvalidateInode{node});
  return {};
}

}  // namespace

Result<NodeLocks::Shared> own_file(Pool& pool, const proto::Context& context, NodeId node,
                                   bool changes) {
  if (!pool.settings.links.cow) return NodeLocks::Shared();
  if (changes)
    if (const auto alone = break_link(pool, context, node); !alone) return alone.error();
  return NodeLocks::Shared(pool.link_breaks, node);
}

}  // namespace bough::ops
