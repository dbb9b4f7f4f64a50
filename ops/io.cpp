#include <fcntl.h>

#include <algorithm>

#include "ops/credentials.hpp"
#include "ops/locate.hpp"
#include "ops/operations.hpp"

namespace bough::ops {
namespace {

constexpr std::uint32_t kSetUid = 04000;
constexpr std::uint32_t kSetGid = 02000;
constexpr std::uint32_t kGroupExecute = 00010;
constexpr std::uint32_t kPermissionBits = 07777;

/// MAX_RW_COUNT: no single call moves more.
constexpr std::uint64_t kCopyMax = 0x7ffff000;

struct Owner {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
};

/// Who pays for data: the caller; for what comes from the page cache, long after any caller, the
/// file's owner.
Result<Owner> who_pays(Pool& pool, const Context& context, int fd, bool from_cache) {
  if (!from_cache || !pool.may_become) return Owner{context.uid, context.gid};
  const auto stat = pool.backing.stat(fd);
  if (!stat) return stat.error();
  return Owner{stat->uid, stat->gid};
}

CallerGuard allocate_as(Pool& pool, Owner owner) {
  return CallerGuard(pool, owner.uid, owner.gid, std::nullopt, 0, CallerGuard::Purpose::kAllocate);
}

Result<std::size_t> write_all(Backing& backing, int fd, const proto::WriteRequest& request) {
  const bool append = !request.from_cache && (request.flags & O_APPEND) != 0;
  std::size_t written = 0;
  while (written < request.data.size()) {
    const auto done =
        backing.write(fd, request.data.subspan(written), request.offset + written, append);
    if (!done) {
      if (done.error() == Errno{EINTR}) continue;
      // The kernel never retries what was short from its cache: a lost page must be an error.
      if (written == 0 || request.from_cache) return done.error();
      break;
    }
    if (*done == 0) {
      if (written == 0 || request.from_cache) return Errno{EIO};
      break;
    }
    written += *done;
  }
  return written;
}

}  // namespace

Result<std::size_t> read(Pool& pool, const Context& context, const proto::ReadRequest& request,
                         std::span<std::byte> out) {
  const auto handle = pool.handles.file(request.handle);
  if (!handle) return Errno{EBADF};
  note_branch(context, pool, handle->branch);
  out = out.first(std::min<std::size_t>(out.size(), request.size));
  // Fewer bytes than asked mean the end of the file to the kernel, so a short count that is not the
  // end must not get there.
  std::size_t filled = 0;
  while (filled < out.size()) {
    const auto got =
        pool.backing.read(handle->fd.get(), out.subspan(filled), request.offset + filled);
    if (!got) {
      if (got.error() == Errno{EINTR}) continue;
      return got.error();
    }
    if (*got == 0) break;
    filled += *got;
  }
  return filled;
}

Result<std::uint32_t> write(Pool& pool, const Context& context,
                            const proto::WriteRequest& request) {
  const auto handle = pool.handles.file(request.handle);
  if (!handle) return Errno{EBADF};
  note_branch(context, pool, handle->branch);
  const int fd = handle->fd.get();
  const auto owner = who_pays(pool, context, fd, request.from_cache);
  if (!owner) return owner.error();
  // For a thread without CAP_FSETID the branch's own kernel clears set-ids on a write.
  const std::uint32_t acting = pool.may_become ? owner->uid : pool.own.uid;
  if (request.kill_suidgid && acting == 0)
    if (const auto cleared = clear_set_ids(pool, fd); !cleared) return cleared.error();

  const CallerGuard guard = allocate_as(pool, *owner);
  if (!guard.ready()) return guard.ready().error();
  const auto written = write_all(pool.backing, fd, request);
  if (!written) return written.error();
  return static_cast<std::uint32_t>(*written);
}

Result<void> fsync(Pool& pool, const Context& context, const proto::FsyncRequest& request) {
  const auto handle = pool.handles.file(request.handle);
  if (!handle) return Errno{EBADF};
  note_branch(context, pool, handle->branch);
  return pool.backing.sync(handle->fd.get(), request.data_only);
}

Result<void> fallocate(Pool& pool, const Context& context, const proto::FallocateRequest& request) {
  const auto handle = pool.handles.file(request.handle);
  if (!handle) return Errno{EBADF};
  note_branch(context, pool, handle->branch);
  const CallerGuard guard = allocate_as(pool, Owner{context.uid, context.gid});
  if (!guard.ready()) return guard.ready();
  const auto done =
      pool.backing.allocate(handle->fd.get(), request.mode, request.offset, request.length);
  // Several branches may be on one disk.
  for (const auto& branch : *pool.branches.snapshot()) branch->forget_statfs();
  return done;
}

Result<std::uint64_t> lseek(Pool& pool, const Context& context,
                            const proto::LseekRequest& request) {
  const auto handle = pool.handles.file(request.handle);
  if (!handle) return Errno{EBADF};
  note_branch(context, pool, handle->branch);
  return pool.backing.seek(handle->fd.get(), request.offset, request.whence);
}

Result<std::uint64_t> copy_file_range(Pool& pool, const Context& context,
                                      const proto::CopyFileRangeRequest& request) {
  const auto in = pool.handles.file(request.handle_in);
  const auto out = pool.handles.file(request.handle_out);
  if (!in || !out) return Errno{EBADF};
  if (request.flags != 0) return Errno{EINVAL};
  note_branch(context, pool, out->branch);
  const CallerGuard guard = allocate_as(pool, Owner{context.uid, context.gid});
  if (!guard.ready()) return guard.ready().error();
  const auto copied =
      pool.backing.copy_range(in->fd.get(), request.offset_in, out->fd.get(), request.offset_out,
                              static_cast<std::size_t>(std::min(request.length, kCopyMax)));
  if (!copied) return copied.error();
  return std::uint64_t{*copied};
}

Result<void> clear_set_ids(Pool& pool, int path_fd) {
  const auto stat = pool.backing.stat(path_fd);
  if (!stat) return stat.error();
  if (stat->is_directory() || stat->is_symlink()) return {};
  std::uint32_t mode = stat->mode & kPermissionBits & ~kSetUid;
  if ((mode & kGroupExecute) != 0) mode &= ~kSetGid;
  if (mode == (stat->mode & kPermissionBits)) return {};
  return pool.backing.chmod(path_fd, mode);
}

}  // namespace bough::ops
