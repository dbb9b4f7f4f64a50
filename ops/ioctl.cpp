#include <fcntl.h>
#include <linux/fs.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "ops/caller.hpp"
#include "ops/chosen_copy.hpp"
#include "ops/credentials.hpp"
#include "ops/locate.hpp"
#include "ops/operations.hpp"

namespace bough::ops {
namespace {

/// FS_IOC_*FLAGS fill an int, but a file system may believe the declared long.
struct alignas(8) Argument {
  std::array<std::byte, std::max(sizeof(fsxattr), sizeof(long))> bytes{};

  template <class T>
  [[nodiscard]] T as() const noexcept {
    T value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  template <class T>
  void put(const T& value) noexcept {
    std::memcpy(bytes.data(), &value, sizeof value);
  }
};

/// One ioctl that the daemon makes for others: its argument is a plain structure of known size,
/// which a local user may pass to any file of his.
struct Allowed {
  /// As the file system of the branch wants it.
  std::uint32_t command = 0;
  /// What the kernel moves, whatever the number says: FS_IOC_*FLAGS and GETVERSION are declared
  /// with a long and move an int.
  std::size_t size = 0;
  bool changes = false;
  /// What reads the same argument, for those that change it.
  std::uint32_t reader = 0;
};

std::optional<Allowed> allowed(std::uint32_t command) noexcept {
  switch (command) {
    case FS_IOC_GETFLAGS:
    case FS_IOC32_GETFLAGS:
      return Allowed{FS_IOC_GETFLAGS, sizeof(int), false};
    // Not FS_IOC32_SETFLAGS: the kernel gives us the call of a 32-bit program as FS_IOC_SETFLAGS,
    // and looks at the caller's rights before that alone.
    case FS_IOC_SETFLAGS:
      return Allowed{FS_IOC_SETFLAGS, sizeof(int), true, FS_IOC_GETFLAGS};
    case FS_IOC_GETVERSION:
    case FS_IOC32_GETVERSION:
      return Allowed{FS_IOC_GETVERSION, sizeof(int), false};
    case FS_IOC_FSGETXATTR:
      return Allowed{FS_IOC_FSGETXATTR, sizeof(fsxattr), false};
    case FS_IOC_FSSETXATTR:
      return Allowed{FS_IOC_FSSETXATTR, sizeof(fsxattr), true, FS_IOC_FSGETXATTR};
    default:
      return std::nullopt;
  }
}

/// Flags such as immutable and append-only want a capability that the caller's own call would have
/// lacked. A kernel that keeps the caller to itself (ALLOW_IDMAP, Linux 6.12) has checked that
/// (vfs_fileattr_set()), so the daemon sets them.
Result<int> change(Pool& pool, const Context& context, int fd, const Allowed& what,
                   Argument& argument) {
  const Payer who =
      is_anonymous(context) ? Payer{pool.own.uid, pool.own.gid} : Payer{context.uid, context.gid};
  const CallerGuard guard(pool, who.uid, who.gid, std::nullopt, 0, CallerGuard::Purpose::kAllocate);
  if (!guard.ready()) return guard.ready().error();
  return pool.backing.control(fd, what.command, argument.bytes);
}

Result<proto::IoctlReply> run(Pool& pool, const Context& context, int fd, const Allowed& what,
                              const proto::IoctlRequest& request, std::span<std::byte> out) {
  Argument argument;
  if (what.changes) {
    if (request.in.size() < what.size) return Errno{EINVAL};
    std::memcpy(argument.bytes.data(), request.in.data(), what.size);
  } else if (std::min<std::size_t>(request.out_size, out.size()) < what.size) {
    return Errno{EINVAL};
  }
  const auto result = what.changes ? change(pool, context, fd, what, argument)
                                   : pool.backing.control(fd, what.command, argument.bytes);
  if (!result) return result.error();
  proto::IoctlReply reply;
  reply.result = *result;
  if (!what.changes) {
    std::memcpy(out.data(), argument.bytes.data(), what.size);
    reply.out_size = what.size;
  }
  return reply;
}

/// `other` with all that `wanted` changes of `before`, and nothing else: the copies may stand on
/// file systems that know different flags, and each refuses those that it does not know.
Argument carried_over(const Allowed& what, const Argument& before, const Argument& wanted,
                      const Argument& other) {
  const auto bits = [](std::uint32_t from, std::uint32_t to, std::uint32_t on) {
    return (on & ~(from ^ to)) | (to & (from ^ to));
  };
  const auto field = [](std::uint32_t from, std::uint32_t to, std::uint32_t on) {
    return from == to ? on : to;
  };
  Argument result = other;
  if (what.command == FS_IOC_SETFLAGS) {
    result.put(
        bits(before.as<std::uint32_t>(), wanted.as<std::uint32_t>(), other.as<std::uint32_t>()));
    return result;
  }
  const auto from = before.as<fsxattr>();
  const auto to = wanted.as<fsxattr>();
  auto on = other.as<fsxattr>();
  on.fsx_xflags = bits(from.fsx_xflags, to.fsx_xflags, on.fsx_xflags);
  on.fsx_extsize = field(from.fsx_extsize, to.fsx_extsize, on.fsx_extsize);
  on.fsx_projid = field(from.fsx_projid, to.fsx_projid, on.fsx_projid);
  on.fsx_cowextsize = field(from.fsx_cowextsize, to.fsx_cowextsize, on.fsx_cowextsize);
  result.put(on);
  return result;
}

Result<Fd> readable(Pool& pool, int directory) {
  return open_with_relief(
      pool, [&] { return pool.backing.reopen(directory, O_RDONLY | O_DIRECTORY | O_NONBLOCK); });
}

/// All copies of a directory that may be changed; the shown one decides, as for its attributes.
Result<proto::IoctlReply> change_directory(Pool& pool, const Context& context, NodeId node,
                                           const Allowed& what,
                                           const proto::IoctlRequest& request) {
  if (request.in.size() < what.size) return Errno{EINVAL};
  Argument wanted;
  std::memcpy(wanted.bytes.data(), request.in.data(), what.size);
  const auto no_new_copies = hold_copies(pool, node);
  auto subject = find_subject(pool, node, ActionFunction::kChmod);
  if (!subject) return subject.error();
  note_branch(context, pool, subject->own.branch);
  Argument before;
  if (!subject->others.empty()) {
    const auto fd = readable(pool, subject->own.fd());
    if (!fd) return fd.error();
    const auto read = pool.backing.control(fd->get(), what.reader, before.bytes);
    if (!read) return read.error();
  }
  const auto done = subject->apply([&](NodeFile& file) -> Result<void> {
    const auto fd = readable(pool, file.fd());
    if (!fd) return fd.error();
    Argument argument = wanted;
    if (&file != &subject->own) {
      Argument now;
      const auto read = pool.backing.control(fd->get(), what.reader, now.bytes);
      if (!read) return read.error();
      argument = carried_over(what, before, wanted, now);
    }
    const auto changed = change(pool, context, fd->get(), what, argument);
    if (!changed) return changed.error();
    return {};
  });
  if (!done) return done.error();
  return proto::IoctlReply{};
}

}  // namespace

Result<proto::IoctlReply> ioctl(Pool& pool, const Context& context,
                                const proto::IoctlRequest& request, std::span<std::byte> out) {
  const auto what = allowed(request.command);
  if (!what || (request.flags & proto::IoctlRequest::kUnrestricted) != 0) return Errno{ENOTTY};

  if (const auto file = pool.handles.file(request.handle)) {
    note_branch(context, pool, file->branch);
    if (what->changes && !writable(pool, file->branch)) return Errno{EROFS};
    return run(pool, context, file->fd.get(), *what, request, out);
  }
  // A directory's handle has no descriptor of one branch.
  const auto handle = pool.handles.directory(request.handle);
  if (!handle) return Errno{EBADF};
  if (what->changes) return change_directory(pool, context, handle->node, *what, request);
  const auto directory = reach_by(pool, handle->node, SearchFunction::kOpen);
  if (!directory) return directory.error();
  note_branch(context, pool, directory->branch);
  const auto fd = readable(pool, directory->fd());
  if (!fd) return fd.error();
  return run(pool, context, fd->get(), *what, request, out);
}

}  // namespace bough::ops
