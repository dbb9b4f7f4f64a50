#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>

#include "ops/caller.hpp"
#include "ops/chosen_copy.hpp"
#include "ops/control_names.hpp"
#include "ops/locate.hpp"
#include "ops/operations.hpp"

namespace bough::ops {
namespace {

constexpr std::uint32_t kSetGid = 02000;
constexpr std::uint32_t kPermissionBits = 07777;

/// A set ACL takes the set-group-id bit with it when its setter is not of the group (SETXATTR_EXT).
Result<void> clear_set_gid(Pool& pool, int path_fd) {
  const auto stat = pool.backing.stat(path_fd);
  if (!stat) return stat.error();
  if ((stat->mode & kSetGid) == 0) return {};
  return pool.backing.chmod(path_fd, stat->mode & kPermissionBits & ~kSetGid);
}

/// What listxattr(2) hides from users without CAP_SYS_ADMIN (the daemon has it, they do not), and
/// from everybody what a branch may hold under names that are the pool's own.
class Viewer {
 public:
  explicit Viewer(const Context& context) noexcept : context_(context) {}

  [[nodiscard]] bool sees(std::string_view name) {
    if (own_key(name)) return false;
    if (!name.starts_with("trusted.")) return true;
    if (!is_root_) is_root_ = uid_of_caller(context_) == 0U;
    return *is_root_;
  }

 private:
  const Context& context_;
  std::optional<bool> is_root_;
};

std::size_t drop_hidden(Viewer viewer, std::span<std::byte> names) {
  char* const begin = reinterpret_cast<char*>(names.data());
  std::size_t kept = 0;
  for (std::size_t at = 0; at < names.size();) {
    const std::size_t length = ::strnlen(begin + at, names.size() - at) + 1;
    const std::size_t whole = std::min(length, names.size() - at);
    if (viewer.sees(std::string_view(begin + at, whole - 1))) {
      std::memmove(begin + kept, begin + at, whole);
      kept += whole;
    }
    at += whole;
  }
  return kept;
}

/// An access ACL has the mode with it. Where the kernel knows nothing of ACLs (no POSIX_ACL) it
/// goes on showing the old one.
void drop_mode(Pool& pool, NodeId node, std::string_view name) {
  if (name == "system.posix_acl_access" && !pool.settings.posix_acl)
    (void)pool.port->notify(proto::InvalidateInode{node});
}

}  // namespace

std::optional<Errno> refused_xattr(const Settings& settings, std::string_view name) noexcept {
  switch (settings.xattr.get()) {
    case XattrMode::kNosys:
      return Errno{EOPNOTSUPP};
    case XattrMode::kNoattr:
      return Errno{ENODATA};
    case XattrMode::kPassthrough:
      break;
  }
  if (!settings.security_capability && name == "security.capability") return Errno{ENODATA};
  return std::nullopt;
}

Result<void> setxattr(Pool& pool, const Context& context, const proto::SetxattrRequest& request) {
  const auto no_new_copies = hold_copies(pool, context.node);
  auto subject = find_subject(pool, context.node, ActionFunction::kSetxattr,
                              reach_for_xattr(pool, context.node, request.name));
  if (!subject) return subject.error();
  note_branch(context, pool, subject->own.branch);
  auto done = subject->apply([&](NodeFile& file) -> Result<void> {
    const auto set =
        pool.backing.set_xattr(file.fd(), request.name.data(), request.value, request.flags);
    if (!set || !request.acl_kill_sgid) return set;
    return clear_set_gid(pool, file.fd());
  });
  drop_mode(pool, context.node, request.name);
  return done;
}

Result<std::size_t> getxattr(Pool& pool, const Context& context,
                             const proto::GetxattrRequest& request, std::span<std::byte> out) {
  const auto file = reach_for_xattr(pool, context.node, request.name);
  if (!file) return file.error();
  note_branch(context, pool, file->branch);
  return pool.backing.get_xattr(file->fd(), request.name.data(),
                                out.first(std::min<std::size_t>(out.size(), request.size)));
}

Result<std::size_t> listxattr(Pool& pool, const Context& context,
                              const proto::ListxattrRequest& request, std::span<std::byte> out) {
  if (pool.settings.xattr == XattrMode::kNoattr) return std::size_t{0};
  if (pool.settings.xattr == XattrMode::kNosys) return Errno{EOPNOTSUPP};
  const auto file = reach_by(pool, context.node, SearchFunction::kListxattr);
  if (!file) return file.error();
  note_branch(context, pool, file->branch);
  out = out.first(std::min<std::size_t>(out.size(), request.size));
  const auto size = pool.backing.list_xattr(file->fd(), out);
  if (!size || out.empty()) return size;
  return drop_hidden(Viewer(context), out.first(*size));
}

Result<void> removexattr(Pool& pool, const Context& context,
                         const proto::RemovexattrRequest& request) {
  const auto no_new_copies = hold_copies(pool, context.node);
  auto subject = find_subject(pool, context.node, ActionFunction::kRemovexattr,
                              reach_for_xattr(pool, context.node, request.name));
  if (!subject) return subject.error();
  note_branch(context, pool, subject->own.branch);
  auto done = subject->apply(
      [&](NodeFile& file) { return pool.backing.remove_xattr(file.fd(), request.name.data()); });
  drop_mode(pool, context.node, request.name);
  return done;
}

}  // namespace bough::ops
