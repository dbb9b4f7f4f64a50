#include <fcntl.h>

#include <algorithm>

#include "ops/caller.hpp"
#include "ops/credentials.hpp"
#include "ops/file_handle.hpp"
#include "ops/locate.hpp"
#include "ops/operations.hpp"
#include "ops/room.hpp"

namespace bough::ops {
namespace {

constexpr std::uint32_t kSetUid = 04000;
constexpr std::uint32_t kSetGid = 02000;
constexpr std::uint32_t kGroupExecute = 00010;
constexpr std::uint32_t kPermissionBits = 07777;

/// MAX_RW_COUNT: no single call moves more.
constexpr std::uint64_t kCopyMax = 0x7ffff000;

/// Who pays for data: the caller; for what comes from the page cache, long after any caller, the
/// file's owner. See payer_for().
Result<Payer> who_pays(Pool& pool, const Context& context, int fd, bool from_cache,
                       bool keeps_set_ids) {
  const bool named = !from_cache && !is_anonymous(context);
  if (named || !pool.may_become) return Payer{context.uid, context.gid};
  const auto stat = pool.backing.stat(fd);
  if (!stat) return stat.error();
  if (from_cache) return Payer{stat->uid, stat->gid};
  return payer_for(context, *stat, keeps_set_ids, pool.own);
}

CallerGuard allocate_as(Pool& pool, Payer payer) {
  return CallerGuard(pool, payer.uid, payer.gid, std::nullopt, 0, CallerGuard::Purpose::kAllocate);
}

std::uint64_t longest_read(const Pool& pool) noexcept {
  return std::uint64_t{pool.agreement.max_pages} * pool.agreement.page_size;
}

/// proxy-ioprio. The page cache's readahead and writeback bear somebody's or nobody's id.
void adopt_priority(Pool& pool, const Context& context) {
  pool.backing.act_with_priority_of(pool.settings.files.proxy_ioprio ? context.pid : 0);
}

/// A caller's own range: direct I/O sends the caller's lock owner along, the page cache has none to
/// send. Its count, short or not, is the caller's to see.
template <class Request>
bool is_callers_range(const Request& request) noexcept {
  return request.lock_owner.has_value();
}

/// Makes one call of the caller's range. O_DIRECT reaches the branch; `call` (Result<size_t>(int
/// fd)) may come a second time, with a descriptor that needs no alignment.
template <class Call>
Result<std::size_t> in_one_call(Pool& pool, FileHandle& handle, std::uint32_t flags,
                                std::uint64_t offset, std::uint64_t size, std::uint64_t limit,
                                Call call) {
  const bool direct = (flags & O_DIRECT) != 0;
  const auto fd = descriptor_for(pool, handle, direct);
  if (!fd) return fd.error();
  if (direct) note_cut(pool, handle, offset, size, limit);
  const auto done = call(*fd);
  if (done || !direct || done.error() != Errno{EINVAL} ||
      !is_cut_piece(pool, handle, offset, size, limit))
    return done;
  const auto buffered = descriptor_for(pool, handle, false);
  if (!buffered) return buffered.error();
  return call(*buffered);
}

template <class Call>
Result<std::size_t> in_buffered_call(Pool& pool, FileHandle& handle, Call call) {
  const auto fd = descriptor_for(pool, handle, false);
  if (!fd) return fd.error();
  return call(*fd);
}

/// The whole range, since the page cache takes fewer bytes than it asked for as the file's end.
Result<std::size_t> read_all(Pool& pool, FileHandle& handle, std::span<std::byte> out,
                             std::uint64_t offset) {
  const auto fd = descriptor_for(pool, handle, false);
  if (!fd) return fd.error();
  std::size_t filled = 0;
  while (filled < out.size()) {
    const auto got = pool.backing.read(*fd, out.subspan(filled), offset + filled);
    if (!got) {
      if (got.error() == Errno{EINTR}) continue;
      return got.error();
    }
    if (*got == 0) break;
    filled += *got;
  }
  return filled;
}

/// What is left of a WRITE of which `written` bytes are done, which counts along. The caller has
/// been made the thread's own identity.
Result<void> write_rest(Pool& pool, FileHandle& handle, const proto::WriteRequest& request,
                        std::size_t& written) {
  // With writeback the kernel knows the end: what belongs before it may still be in its cache.
  const bool append =
      !request.from_cache && (request.flags & O_APPEND) != 0 && !pool.settings.files.writeback;
  const bool callers = !request.from_cache && is_callers_range(request);
  // A short count is the caller's to see, unless there may be room elsewhere for the rest.
  const bool all = !callers || pool.settings.move_when_full != nullptr;
  while (written < request.data.size()) {
    const auto rest = request.data.subspan(written);
    const std::uint64_t offset = request.offset + written;
    const auto put = [&](int fd) { return pool.backing.write(fd, rest, offset, append); };
    const auto done = callers ? in_one_call(pool, handle, request.flags, offset, rest.size(),
                                            pool.agreement.max_write, put)
                              : in_buffered_call(pool, handle, put);
    if (!done && done.error() == Errno{EINTR} && !callers) continue;
    if (!done) return done.error();
    // The kernel never retries what was short from its cache: a lost page must be an error.
    if (*done == 0 && !callers) return Errno{EIO};
    written += *done;
    if (!all || *done == 0) return {};
  }
  return {};
}

Result<void> write_as_payer(Pool& pool, const Context& context, FileHandle& handle,
                            const proto::WriteRequest& request, std::size_t& written) {
  const int fd = handle.fd.get();
  const auto payer = who_pays(pool, context, fd, request.from_cache, !request.kill_suidgid);
  if (!payer) return payer.error();
  // For a thread without CAP_FSETID the branch's own kernel clears set-ids on a write.
  const std::uint32_t acting = pool.may_become ? payer->uid : pool.own.uid;
  if (request.kill_suidgid && acting == 0)
    if (const auto cleared = clear_set_ids(pool, fd); !cleared) return cleared;

  const CallerGuard guard = allocate_as(pool, *payer);
  if (!guard.ready()) return guard.ready();
  return write_rest(pool, handle, request, written);
}

}  // namespace

Result<std::size_t> read(Pool& pool, const Context& context, const proto::ReadRequest& request,
                         std::span<std::byte> out) {
  const auto handle = pool.handles.file(request.handle);
  if (!handle) return Errno{EBADF};
  note_branch(context, pool, handle->branch);
  out = out.first(std::min<std::size_t>(out.size(), request.size));
  if (pool.settings.files.null_rw) {
    std::fill(out.begin(), out.end(), std::byte{0});
    return out.size();
  }
  adopt_priority(pool, context);
  if (!is_callers_range(request)) return read_all(pool, *handle, out, request.offset);
  return in_one_call(pool, *handle, request.flags, request.offset, out.size(), longest_read(pool),
                     [&](int fd) { return pool.backing.read(fd, out, request.offset); });
}

Result<std::uint32_t> write(Pool& pool, const Context& context,
                            const proto::WriteRequest& request) {
  const auto handle = pool.handles.file(request.handle);
  if (!handle) return Errno{EBADF};
  note_branch(context, pool, handle->branch);
  if (pool.settings.files.null_rw) return static_cast<std::uint32_t>(request.data.size());
  adopt_priority(pool, context);
  std::size_t written = context.put_off != nullptr ? context.put_off->done : 0;
  const auto result = with_room(pool, context, *handle, request.data.size() - written, [&] {
    return write_as_payer(pool, context, *handle, request, written);
  });
  if (context.put_off != nullptr) context.put_off->done = written;
  if (!result && (written == 0 || request.from_cache)) return result.error();
  return static_cast<std::uint32_t>(written);
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
  const auto done = with_room(pool, context, *handle, request.length, [&]() -> Result<void> {
    const auto payer = who_pays(pool, context, handle->fd.get(), false, true);
    if (!payer) return payer.error();
    const CallerGuard guard = allocate_as(pool, *payer);
    if (!guard.ready()) return guard.ready();
    return pool.backing.allocate(handle->fd.get(), request.mode, request.offset, request.length);
  });
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
  const auto length = static_cast<std::size_t>(std::min(request.length, kCopyMax));
  const auto copied = with_room(pool, context, *out, length, [&]() -> Result<std::size_t> {
    const auto payer = who_pays(pool, context, out->fd.get(), false, true);
    if (!payer) return payer.error();
    const CallerGuard guard = allocate_as(pool, *payer);
    if (!guard.ready()) return guard.ready().error();
    return pool.backing.copy_range(in->fd.get(), request.offset_in, out->fd.get(),
                                   request.offset_out, length);
  });
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
