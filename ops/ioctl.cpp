#include <fcntl.h>
#include <linux/fs.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "ops/credentials.hpp"
#include "ops/locate.hpp"
#include "ops/operations.hpp"

namespace bough::ops {
namespace {

/// One ioctl that the daemon makes for others: its argument is a plain structure of known size,
/// which a local user may pass to any file of his.
struct Allowed {
  /// As the file system of the branch wants it.
  std::uint32_t command = 0;
  /// What the kernel moves, whatever the number says: FS_IOC_*FLAGS and GETVERSION are declared
  /// with a long and move an int.
  std::size_t size = 0;
  bool changes = false;
};

std::optional<Allowed> allowed(std::uint32_t command) noexcept {
  switch (command) {
    case FS_IOC_GETFLAGS:
    case FS_IOC32_GETFLAGS:
      return Allowed{FS_IOC_GETFLAGS, sizeof(int), false};
    case FS_IOC_SETFLAGS:
    case FS_IOC32_SETFLAGS:
      return Allowed{FS_IOC_SETFLAGS, sizeof(int), true};
    case FS_IOC_GETVERSION:
    case FS_IOC32_GETVERSION:
      return Allowed{FS_IOC_GETVERSION, sizeof(int), false};
    case FS_IOC_FSGETXATTR:
      return Allowed{FS_IOC_FSGETXATTR, sizeof(fsxattr), false};
    case FS_IOC_FSSETXATTR:
      return Allowed{FS_IOC_FSSETXATTR, sizeof(fsxattr), true};
    default:
      return std::nullopt;
  }
}

Result<proto::IoctlReply> run(Pool& pool, const Context& context, int fd, const Allowed& what,
                              const proto::IoctlRequest& request, std::span<std::byte> out) {
  // FS_IOC_*FLAGS fill an int, but a file system may believe the declared long.
  alignas(8) std::array<std::byte, std::max(sizeof(fsxattr), sizeof(long))> argument{};
  if (what.changes) {
    if (request.in.size() < what.size) return Errno{EINVAL};
    std::memcpy(argument.data(), request.in.data(), what.size);
  } else if (std::min<std::size_t>(request.out_size, out.size()) < what.size) {
    return Errno{EINVAL};
  }
  const auto result = [&]() -> Result<int> {
    if (!what.changes) return pool.backing.control(fd, what.command, argument);
    // Flags such as immutable and append-only want a capability that his own call would have
    // lacked.
    const CallerGuard guard(pool, context.uid, context.gid, std::nullopt, 0,
                            CallerGuard::Purpose::kAllocate);
    if (!guard.ready()) return guard.ready().error();
    return pool.backing.control(fd, what.command, argument);
  }();
  if (!result) return result.error();
  proto::IoctlReply reply;
  reply.result = *result;
  if (!what.changes) {
    std::memcpy(out.data(), argument.data(), what.size);
    reply.out_size = what.size;
  }
  return reply;
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
  // A directory's handle has no descriptor of one branch: the copy that shows its attributes
  // answers.
  const auto handle = pool.handles.directory(request.handle);
  if (!handle) return Errno{EBADF};
  const auto directory = reach(pool, handle->node);
  if (!directory) return directory.error();
  note_branch(context, pool, directory->branch);
  const bool removed = directory->branch == kNoBranch;
  if (what->changes && !removed && !writable(pool, directory->branch)) return Errno{EROFS};
  const auto fd = open_with_relief(pool, [&] {
    return pool.backing.reopen(directory->fd(), O_RDONLY | O_DIRECTORY | O_NONBLOCK);
  });
  if (!fd) return fd.error();
  return run(pool, context, fd->get(), *what, request, out);
}

}  // namespace bough::ops
