#include <fcntl.h>
#include <sys/stat.h>

#include <chrono>
#include <cstring>
#include <optional>
#include <string>

#include "ops/attributes.hpp"
#include "ops/caller.hpp"
#include "ops/credentials.hpp"
#include "ops/freed_space.hpp"
#include "ops/lanes.hpp"
#include "ops/lent_write.hpp"
#include "ops/locate.hpp"
#include "ops/open_mode.hpp"
#include "ops/operations.hpp"
#include "ops/room.hpp"

namespace bough::ops {
namespace {

std::int64_t wall_clock_ns() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// The kernel opens and writes a backing file with the rights of the thread that registers it: the
/// owner of the file has to be bound by reserved blocks, which the daemon is not. A file system
/// that may ask a server for its rights gets to see the daemon itself, whose open(2) it has just
/// granted. In no case are set-ids kept: with HANDLE_KILLPRIV_V2 the kernel neither tells us of
/// such a write nor clears them in the writer's name.
Result<std::int32_t> open_backing(Pool& pool, int fd, const FileStat& stat, bool local) {
  const std::uint32_t uid = local ? stat.uid : pool.own.uid;
  const std::uint32_t gid = local ? stat.gid : pool.own.gid;
  const CallerGuard guard(pool, uid, gid, std::nullopt, 0, CallerGuard::Purpose::kRegister);
  if (!guard.ready()) return guard.ready().error();
  return pool.port->open_backing(fd);
}

void note_refusal(Pool& pool, BranchId on, Errno error) {
  if (pool.figures.backing_refusals.fetch_add(1, std::memory_order_relaxed) != 0) return;
  const auto set = pool.branches.snapshot();
  const Branch* const branch = set->by_id(on);
  std::string line = "files on branch " + (branch != nullptr ? branch->path() : std::string()) +
                     " are not passed through: " + std::strerror(error.value());
  if (error == Errno{ELOOP}) line += ", a stacked file system; see passthrough.max-stack-depth";
  pool.complain(line);
}

/// What open_mode() asks about, but for the file's history, which a bound node has none of.
OpenFacts facts_of(Pool& pool, BranchId on, const FileStat& stat, std::uint32_t flags) {
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
  return facts;
}

/// For a file that the kernel caches or asks us for.
void ask_history(Pool& pool, const Context& context, NodeId node, const FileStat& stat,
                 OpenFacts& facts) {
  if (asks_process(facts.mode)) {
    const auto listed = open_with_relief(
        pool, [&] { return pool.settings.files.process_names.listed(context.pid); });
    facts.listed = listed && *listed;
  }
  // What O_TRUNC leaves is another file.
  if (asks_history(facts.mode, facts.auto_cache) && (facts.flags & O_TRUNC) == 0)
    facts.unchanged = pool.seen_files.unchanged(node, stat, wall_clock_ns());
}

/// Whether an open that empties the file takes its set-ids. Without HANDLE_KILLPRIV_V2 the kernel
/// neither says so nor sends a SETATTR, as it does before a write.
bool truncation_kills(const Pool& pool, const Context& context, const proto::OpenRequest& request) {
  if (pool.settings.files.handle_killpriv) return request.kill_suidgid;
  return uid_of_caller(context) != 0U;
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
  if (pool.settings.search[SearchFunction::kOpen].takes == policy::Takes::kNone)
    return Errno{EROFS};
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
  if (file->link) return Errno{ELOOP};
  // The kernel opens fifos, sockets and devices itself; reopening a link would follow it.
  if (!file->stat.is_regular()) return Errno{file->stat.is_symlink() ? ELOOP : ENXIO};
  if (changes && !writable(pool, file->branch)) return Errno{EROFS};
  auto fd = reopen_file(pool, file->fd(), flags, request.flags);
  if (!fd && fd.error() == Errno{EACCES} && changes)
    fd = reopen_with_lent_bits(pool, context.node, *file, flags, request.flags);
  if (!fd) return fd.error();
  const bool any_set_id = (file->stat.mode & (S_ISUID | S_ISGID)) != 0;
  if (any_set_id && (flags & O_TRUNC) != 0 && truncation_kills(pool, context, request))
    if (const auto cleared = clear_set_ids(pool, fd->get()); !cleared) return cleared.error();
  return add_file_handle(pool, context, context.node, *std::move(fd), file->branch, file->stat,
                         request.flags);
}

Result<proto::OpenReply> add_file_handle(Pool& pool, const Context& context, NodeId node, Fd fd,
                                         BranchId on, const FileStat& stat, std::uint32_t flags) {
  OpenFacts facts = facts_of(pool, on, stat, flags);
  const bool writes = (flags & O_ACCMODE) != O_RDONLY;
  // Neither would a store into a mapping wait: SIGBUS. In the page cache it does.
  const bool may_wait = writes && may_need_freed_space(pool, fd.get());
  const bool writes_to_us = may_wait || (writes && has_set_ids(stat));
  const bool moves = may_move(pool);
  const bool wants = !may_wait && wanted_path(pool.settings.files.passthrough, facts.mode, flags,
                                              writes_to_us, stat.size, moves) != IoPath::kToUs;
  std::optional<Errno> refusal;
  auto share = pool.passthrough.enter(node, stat.id, wants, [&] {
    const auto id = open_backing(pool, fd.get(), stat, facts.closes_quietly);
    if (!id) refusal = id.error();
    return id;
  });
  if (!share) return share.error();
  if (refusal) note_refusal(pool, on, *refusal);
  facts.bound = share->backing_id() != 0;
  // Of a bound node, small files as well.
  facts.past = wanted_path(pool.settings.files.passthrough, facts.mode, flags, writes_to_us,
                           kSmallFile) == IoPath::kPast;
  // History is asked only now, when nobody can bind the node any more while this file is open.
  if (facts.bound)
    pool.seen_files.forget(node);
  else
    ask_history(pool, context, node, stat, facts);
  proto::OpenReply reply;
  reply.flags = open_mode(facts);
  reply.backing_id = share->backing_id();
  const proto::HandleId handle = pool.handles.add(
      std::make_unique<FileHandle>(node, std::move(fd), on, flags, *std::move(share), stat.id),
      lane_of(on));
  pool.relocations.attend(handle);
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
  NodeId directory_node = proto::kNoNode;
  if (const auto file = pool.handles.file(id)) {
    if (pool.settings.files.drop_on_close)
      pool.backing.drop_cache(file->fd.get(), (file->flags & O_ACCMODE) != O_RDONLY);
  } else if (const auto directory = pool.handles.directory(id)) {
    directory_node = directory->node;
  }
  // Only the one who takes it out gives the hold back; a file does so itself.
  if (pool.handles.remove(id) && directory_node != proto::kNoNode)
    pool.nodes.unhold(directory_node);
}

}  // namespace bough::ops
