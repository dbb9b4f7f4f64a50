#include "ops/copy_metadata.hpp"

#include <linux/fs.h>
#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <span>
#include <vector>

namespace bough::ops {
namespace {

constexpr std::size_t kMaxXattr = 65536;
constexpr std::string_view kAccessAcl = "system.posix_acl_access";
constexpr std::string_view kDefaultAcl = "system.posix_acl_default";

int flags_of(Backing& backing, int fd) {
  int flags = 0;
  return backing.control(fd, FS_IOC_GETFLAGS, std::as_writable_bytes(std::span(&flags, 1))) ? flags
                                                                                            : 0;
}

}  // namespace

bool cannot_hold(Errno error) noexcept {
  switch (error.value()) {
    case EPERM:
    case EACCES:
    case EOPNOTSUPP:
    case ENOSYS:
    case EINVAL:
      return true;
    default:
      return false;
  }
}

Result<void> copy_xattrs(Backing& backing, int source, int target) {
  std::vector<std::byte> names(kMaxXattr);
  const auto listed = backing.list_xattr(source, names);
  if (!listed) return cannot_hold(listed.error()) ? Result<void>() : listed.error();
  bool access_acl = false;
  bool default_acl = false;
  std::vector<std::byte> value;
  const auto* name = reinterpret_cast<const char*>(names.data());
  for (std::size_t left = *listed; left > 0;) {
    const std::string_view text(name);
    access_acl = access_acl || text == kAccessAcl;
    default_acl = default_acl || text == kDefaultAcl;
    value.resize(kMaxXattr);
    const auto got = backing.get_xattr(source, name, value);
    if (got) {
      const auto set = backing.set_xattr(target, name, std::span(value).first(*got), 0);
      if (!set && !cannot_hold(set.error())) return set;
    } else if (!cannot_hold(got.error()) && got.error() != Errno{ENODATA}) {
      return got.error();
    }
    name += text.size() + 1;
    left -= text.size() + 1;
  }
  // What the new one inherited from a parent that differs there.
  if (!access_acl) static_cast<void>(backing.remove_xattr(target, kAccessAcl.data()));
  if (!default_acl) static_cast<void>(backing.remove_xattr(target, kDefaultAcl.data()));
  return {};
}

void copy_flags(Backing& backing, int source, const FileStat& like, int target) noexcept {
  constexpr std::uint64_t kTold =
      STATX_ATTR_COMPRESSED | STATX_ATTR_NODUMP | STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND;
  constexpr int kCopied =
      FS_SYNC_FL | FS_DIRSYNC_FL | FS_NOATIME_FL | FS_NODUMP_FL | FS_COMPR_FL | FS_NOCOW_FL;
  // A file system that tells flags by statx(2) is one that has them at all.
  if ((like.attributes_mask & kTold) == 0) return;
  const int wanted = flags_of(backing, source) & kCopied;
  if (wanted == 0) return;
  int flags = 0;
  const auto bytes = std::as_writable_bytes(std::span(&flags, 1));
  if (!backing.control(target, FS_IOC_GETFLAGS, bytes)) return;
  flags |= wanted;
  static_cast<void>(backing.control(target, FS_IOC_SETFLAGS, bytes));
}

TimesChange times_of(const FileStat& stat) noexcept {
  return {proto::TimeChange{false, stat.atime.seconds, stat.atime.nanoseconds},
          proto::TimeChange{false, stat.mtime.seconds, stat.mtime.nanoseconds}};
}

HiddenName hidden_name(policy::Random& random) noexcept {
  constexpr std::string_view kPrefix = ".boughfs-";
  constexpr int kHex = 16;
  HiddenName text{};
  std::memcpy(text.data(), kPrefix.data(), kPrefix.size());
  std::to_chars(text.data() + kPrefix.size(), text.data() + text.size() - 1, random.next(), kHex);
  return text;
}

}  // namespace bough::ops
