#include <fcntl.h>
#include <sys/stat.h>

#include "ops/locate.hpp"
#include "ops/operations.hpp"
#include "proto/kernel_abi.hpp"

namespace bough::ops {
namespace {

/// What only one branch can hold up shares a lane of it; names have lane 0.
constexpr std::uint8_t lane_of(BranchId branch) noexcept {
  constexpr BranchId kBranchLanes = 128;
  return static_cast<std::uint8_t>(1 + branch % kBranchLanes);
}

}  // namespace

int branch_open_flags(std::uint32_t flags) noexcept {
  constexpr std::uint32_t kKept = O_ACCMODE | O_TRUNC | O_NONBLOCK | O_SYNC | O_DSYNC | O_NOATIME;
  return static_cast<int>(flags & kKept);
}

Result<proto::OpenReply> open(Pool& pool, const Context& context,
                              const proto::OpenRequest& request) {
  const int flags = branch_open_flags(request.flags);
  const bool changes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
  if ((flags & O_TRUNC) == 0) {
    auto file = open_by_name(pool, context.node, flags);
    if (file && file->stat.is_regular()) {
      note_branch(context, pool, file->branch);
      if (changes && !writable(pool, file->branch)) return Errno{EROFS};
      return add_file_handle(pool, context.node, std::move(file->fd),
                             Location{file->branch, file->stat.id}, request.flags);
    }
  }
  const auto file = reach(pool, context.node);
  if (!file) return file.error();
  note_branch(context, pool, file->branch);
  if (file->stat.is_directory()) return Errno{EISDIR};
  // The kernel opens fifos, sockets and devices itself; reopening a link would follow it.
  if (!file->stat.is_regular()) return Errno{file->stat.is_symlink() ? ELOOP : ENXIO};
  if (changes && !writable(pool, file->branch)) return Errno{EROFS};
  auto fd = open_with_relief(pool, [&] { return pool.backing.reopen(file->fd(), flags); });
  // Files with the append-only attribute open for writing with O_APPEND alone; every write to them
  // goes to their end anyway.
  if (!fd && fd.error() == Errno{EPERM} && (request.flags & O_APPEND) != 0)
    fd = open_with_relief(pool, [&] { return pool.backing.reopen(file->fd(), flags | O_APPEND); });
  if (!fd) return fd.error();
  const bool has_set_ids = (file->stat.mode & (S_ISUID | S_ISGID)) != 0;
  if (request.kill_suidgid && has_set_ids && (flags & O_TRUNC) != 0)
    if (const auto cleared = clear_set_ids(pool, fd->get()); !cleared) return cleared.error();
  return add_file_handle(pool, context.node, std::move(*fd), Location{file->branch, file->stat.id},
                         request.flags);
}

proto::OpenReply add_file_handle(Pool& pool, NodeId node, Fd fd, const Location& where,
                                 std::uint32_t flags) {
  proto::OpenReply reply;
  const auto set = pool.branches.snapshot();
  const Branch* const branch = set->by_id(where.branch);
  // Something else may be mounted inside the branch.
  if (branch != nullptr && branch->closes_quietly() && where.file.device == branch->device())
    reply.flags |= proto::abi::open_reply::kNoflush;
  const proto::HandleId handle =
      pool.handles.add(std::make_unique<FileHandle>(node, std::move(fd), where.branch, flags),
                       lane_of(where.branch));
  (void)pool.nodes.hold(node);
  reply.claim = proto::HandleClaim(pool.owner, handle);
  return reply;
}

Result<void> flush(Pool& pool, const Context& context, const proto::FlushRequest& request) {
  const auto handle = pool.handles.file(request.handle);
  if (!handle) return Errno{EBADF};
  note_branch(context, pool, handle->branch);
  return pool.backing.flush(handle->fd.get());
}

void close_handle(Pool& pool, proto::HandleId id) noexcept {
  NodeId node = proto::kNoNode;
  if (const auto file = pool.handles.file(id))
    node = file->node;
  else if (const auto directory = pool.handles.directory(id))
    node = directory->node;
  // Only the one who takes it out gives the hold back.
  if (pool.handles.remove(id)) pool.nodes.unhold(node);
}

}  // namespace bough::ops
