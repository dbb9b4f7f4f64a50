#include <fcntl.h>
#include <sys/stat.h>

#include <chrono>

#include "ops/locate.hpp"
#include "ops/open_mode.hpp"
#include "ops/operations.hpp"

namespace bough::ops {
namespace {

/// What only one branch can hold up shares a lane of it; names have lane 0.
constexpr std::uint8_t lane_of(BranchId branch) noexcept {
  constexpr BranchId kBranchLanes = 128;
  return static_cast<std::uint8_t>(1 + branch % kBranchLanes);
}

std::int64_t wall_clock_ns() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::uint32_t mode_of(Pool& pool, const Context& context, NodeId node, BranchId on,
                      const FileStat& stat, std::uint32_t flags) {
  FileSettings& settings = pool.settings.files;
  OpenFacts facts;
  facts.mode = settings.cache;
  facts.direct_io = settings.direct_io;
  facts.kernel_cache = settings.kernel_cache;
  facts.auto_cache = settings.auto_cache;
  facts.parallel_direct_writes = settings.parallel_direct_writes;
  facts.flush = settings.flush;
  facts.direct_mmap = pool.agreement.features.has(proto::Feature::kDirectIoAllowMmap);
  facts.writeback = settings.writeback;
  facts.append_only = (stat.attributes & STATX_ATTR_APPEND) != 0;
  facts.flags = flags;
  const auto set = pool.branches.snapshot();
  const Branch* const branch = set->by_id(on);
  // Something else may be mounted inside the branch.
  facts.closes_quietly =
      branch != nullptr && branch->closes_quietly() && stat.id.device == branch->device();
  if (asks_process(facts.mode)) {
    const auto listed =
        open_with_relief(pool, [&] { return settings.process_names.listed(context.pid); });
    facts.listed = listed && *listed;
  }
  // What O_TRUNC leaves is another file.
  if (asks_history(facts.mode, facts.auto_cache) && (flags & O_TRUNC) == 0)
    facts.unchanged = pool.seen_files.unchanged(node, stat, wall_clock_ns());
  return open_mode(facts);
}

}  // namespace

int branch_open_flags(std::uint32_t flags, bool writeback) noexcept {
  constexpr std::uint32_t kKept =
      O_ACCMODE | O_TRUNC | O_NONBLOCK | O_SYNC | O_DSYNC | O_NOATIME | O_DIRECT;
  std::uint32_t kept = flags & kKept;
  if (writeback && (kept & O_ACCMODE) == O_WRONLY)
    kept = (kept & ~static_cast<std::uint32_t>(O_ACCMODE)) | O_RDWR;
  return static_cast<int>(kept);
}

Result<Fd> reopen_file(Pool& pool, int path_fd, int flags, std::uint32_t asked) {
  const auto attempt = [&](int with) {
    return open_with_relief(pool, [&] { return pool.backing.reopen(path_fd, with); });
  };
  auto fd = attempt(flags);
  // Files with the append-only attribute open for writing with O_APPEND alone; every write to them
  // goes to their end anyway.
  if (!fd && fd.error() == Errno{EPERM} && (asked & O_APPEND) != 0) fd = attempt(flags | O_APPEND);
  // A file that may be written only: then the kernel cannot fill up its pages.
  const bool widened = (flags & O_ACCMODE) == O_RDWR && (asked & O_ACCMODE) == O_WRONLY;
  if (!fd && fd.error() == Errno{EACCES} && widened) fd = attempt((flags & ~O_ACCMODE) | O_WRONLY);
  return fd;
}

Result<proto::OpenReply> open(Pool& pool, const Context& context,
                              const proto::OpenRequest& request) {
  const int flags = branch_open_flags(request.flags, pool.settings.files.writeback);
  const bool changes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
  if ((flags & O_TRUNC) == 0) {
    auto file = open_by_name(pool, context.node, flags);
    if (file && file->stat.is_regular()) {
      note_branch(context, pool, file->branch);
      if (changes && !writable(pool, file->branch)) return Errno{EROFS};
      return add_file_handle(pool, context, context.node, std::move(file->fd), file->branch,
                             file->stat, request.flags);
    }
  }
  const auto file = reach(pool, context.node);
  if (!file) return file.error();
  note_branch(context, pool, file->branch);
  if (file->stat.is_directory()) return Errno{EISDIR};
  // The kernel opens fifos, sockets and devices itself; reopening a link would follow it.
  if (!file->stat.is_regular()) return Errno{file->stat.is_symlink() ? ELOOP : ENXIO};
  if (changes && !writable(pool, file->branch)) return Errno{EROFS};
  auto fd = reopen_file(pool, file->fd(), flags, request.flags);
  if (!fd) return fd.error();
  const bool has_set_ids = (file->stat.mode & (S_ISUID | S_ISGID)) != 0;
  if (request.kill_suidgid && has_set_ids && (flags & O_TRUNC) != 0)
    if (const auto cleared = clear_set_ids(pool, fd->get()); !cleared) return cleared.error();
  return add_file_handle(pool, context, context.node, *std::move(fd), file->branch, file->stat,
                         request.flags);
}

proto::OpenReply add_file_handle(Pool& pool, const Context& context, NodeId node, Fd fd,
                                 BranchId on, const FileStat& stat, std::uint32_t flags) {
  proto::OpenReply reply;
  reply.flags = mode_of(pool, context, node, on, stat, flags);
  const proto::HandleId handle =
      pool.handles.add(std::make_unique<FileHandle>(node, std::move(fd), on, flags), lane_of(on));
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
  if (const auto file = pool.handles.file(id)) {
    node = file->node;
    if (pool.settings.files.drop_on_close)
      pool.backing.drop_cache(file->fd.get(), (file->flags & O_ACCMODE) != O_RDONLY);
  } else if (const auto directory = pool.handles.directory(id)) {
    node = directory->node;
  }
  // Only the one who takes it out gives the hold back.
  if (pool.handles.remove(id)) pool.nodes.unhold(node);
}

}  // namespace bough::ops
