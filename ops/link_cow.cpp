#include "ops/link_cow.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <mutex>
#include <utility>

#include "ops/copy_metadata.hpp"
#include "ops/file_copy.hpp"
#include "ops/locate.hpp"
#include "ops/place.hpp"

namespace bough::ops {
namespace {

constexpr std::uint32_t kExchange = 2;

std::shared_mutex& lock_of(Pool& pool, NodeId node) noexcept {
  return pool.link_breaks[node.value % pool.link_breaks.size()];
}

bool is_open_for_writing(Pool& pool, const FileId& file) {
  bool found = false;
  pool.handles.each_file([&](const FileHandle& handle) {
    NodeView view;
    found = found || ((handle.flags & O_ACCMODE) != O_RDONLY &&
                      pool.nodes.view(handle.node, view) && view.location.file == file);
  });
  return found;
}

Result<Fd> open_source(Pool& pool, int path_fd) {
  return open_with_relief(pool, [&] {
    auto fd = pool.backing.reopen(path_fd, O_RDONLY | O_NOATIME);
    if (!fd && fd.error() == Errno{EPERM}) fd = pool.backing.reopen(path_fd, O_RDONLY);
    return fd;
  });
}

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

}  // namespace

std::shared_lock<std::shared_mutex> keep_file(Pool& pool, NodeId node) {
  if (!pool.settings.links.cow) return {};
  return std::shared_lock(lock_of(pool, node));
}

Result<void> break_link(Pool& pool, const proto::Context& context, NodeId node) {
  if (!pool.settings.links.cow) return {};
  const std::lock_guard alone(lock_of(pool, node));
  const auto file = reach(pool, node);
  // No name leads to it: an open fails as well, and what a handle may still do harms no name.
  if (!file && file.error() == Errno{ESTALE}) return {};
  if (!file) return file.error();
  if (!file->stat.is_regular() || file->stat.nlink < 2 || !writable(pool, file->branch)) return {};
  NodeView view;
  if (!pool.nodes.view(node, view)) return Errno{ESTALE};
  if (!view.named || is_open_for_writing(pool, file->stat.id)) return {};
  // Looked up before the option was set. Looked up again each name gets its own node.
  if (view.names > 1) return Errno{ESTALE};
  if ((file->stat.attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) != 0)
    return Errno{EPERM};

  const auto set = pool.branches.snapshot();
  Branch* const branch = set->by_id(file->branch);
  if (branch == nullptr) return Errno{ESTALE};
  const auto directory = open_directory(pool, *branch, view.path.view());
  if (!directory) return directory.error();
  const auto source = open_source(pool, file->fd());
  if (!source) return source.error();
  HiddenName hidden{};
  const auto copied =
      copy_beside(pool, source->get(), directory->fd(), hidden, Payer{context.uid, context.gid});
  if (!copied) return copied.error();
  UndoName undo(pool.backing, directory->fd(), hidden.data(), false);
  if (const auto taken =
          take_place(pool, directory->fd(), hidden.data(), view.name_c_str(), file->stat.id, undo);
      !taken)
    return taken;
  note_branch(context, *branch);
  if (view.holds > 0) return Errno{ESTALE};
  pool.nodes.replace(node, Location{branch->id(), copied->id}, branch->user_ino(copied->id));
  // Number and link count are others now.
  (void)pool.port->notify(proto::InvalidateInode{node});
  return {};
}

}  // namespace bough::ops
