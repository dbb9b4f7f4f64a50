#include "ops/clone_path.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "ops/locate.hpp"

namespace bough::ops {

namespace {

/// One checked component with the zero byte that system calls want.
class Component {
 public:
  [[nodiscard]] static Result<Component> of(std::string_view text) {
    Component component;
    if (text.size() >= component.text_.size()) return Errno{ENAMETOOLONG};
    std::memcpy(component.text_.data(), text.data(), text.size());
    component.text_[text.size()] = '\0';
    component.size_ = text.size();
    return component;
  }
  [[nodiscard]] const char* c_str() const noexcept { return text_.data(); }
  [[nodiscard]] std::string_view view() const noexcept { return {text_.data(), size_}; }

 private:
  std::array<char, 256> text_{};
  std::size_t size_ = 0;
};

/// The file system there cannot hold what the source has (owners on vfat, xattrs on NFS), or an
/// ordinary user's daemon may not give it: no reason to refuse the directory.
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

class Cloner {
 public:
  Cloner(Pool& pool, DirRef from, DirRef to)
      : pool_(pool), backing_(pool.backing), from_(std::move(from)), to_(std::move(to)) {}

  /// Goes down by one component, which is made where it is missing.
  Result<void> step(const Component& name) {
    auto source = open_below(from_.fd(), name.view());
    if (!source) return source.error();
    auto target = open_below(to_.fd(), name.view());
    if (target) {
      made_ = false;
    } else {
      if (target.error() != Errno{ENOENT}) return target.error();
      const std::lock_guard lock(pool_.directory_copies);
      const auto stat = backing_.stat(source->fd());
      if (!stat) return stat.error();
      target = make(name, *source, *stat);
      if (!target) return target.error();
    }
    from_ = *std::move(source);
    to_ = *std::move(target);
    return {};
  }

  [[nodiscard]] DirRef take_target() { return std::move(to_); }

 private:
  static constexpr std::size_t kMaxXattr = 65536;

  Result<DirRef> open_below(int dir, std::string_view name) {
    auto fd =
        open_with_relief(pool_, [&] { return backing_.open_directory(dir, name, O_PATH, false); });
    if (!fd) return fd.error();
    return DirRef(*std::move(fd));
  }

  /// Makes `name` under another name first and moves it when it is whole: what others meanwhile
  /// create in it must find its group and its default ACL in force.
  Result<DirRef> make(const Component& name, const DirRef& source, const FileStat& like) {
    if (!made_) {
      const auto parent = backing_.stat(to_.fd());
      if (!parent) return parent.error();
      parent_times_ = times_of(*parent);
    }
    const auto hidden = make_hidden();
    if (!hidden) return hidden.error();
    auto finished = finish(name, *hidden, source, like);
    if (!finished) static_cast<void>(backing_.rmdir_at(to_.fd(), hidden->c_str()));
    // For users nothing new is in the parent, so its times stay.
    static_cast<void>(backing_.set_times(to_.fd(), parent_times_));
    if (!finished) {
      if (finished.error() != Errno{EEXIST}) return finished;
      // Somebody was faster.
      made_ = false;
      return open_below(to_.fd(), name.view());
    }
    made_ = true;
    parent_times_ = times_of(like);
    return finished;
  }

  Result<DirRef> finish(const Component& name, const Component& hidden, const DirRef& source,
                        const FileStat& like) {
    auto target = open_below(to_.fd(), hidden.view());
    if (!target) return target;
    if (const auto copied = copy_attributes(source, like, *target); !copied) return copied.error();
    auto moved =
        backing_.rename_at(to_.fd(), hidden.c_str(), to_.fd(), name.c_str(), RENAME_NOREPLACE);
    // Some network file systems know no flags; a plain rename replaces an empty directory at worst.
    if (!moved && moved.error() == Errno{EINVAL})
      moved = backing_.rename_at(to_.fd(), hidden.c_str(), to_.fd(), name.c_str(), 0);
    if (moved) return target;
    return moved.error() == Errno{ENOTEMPTY} ? Errno{EEXIST} : moved.error();
  }

  Result<Component> make_hidden() {
    constexpr int kTries = 8;
    for (int tries = 0;; ++tries) {
      std::array<char, 32> text{};
      constexpr std::string_view kPrefix = ".boughfs-";
      std::memcpy(text.data(), kPrefix.data(), kPrefix.size());
      constexpr int kHex = 16;
      const char* const end = std::to_chars(text.data() + kPrefix.size(), text.data() + text.size(),
                                            pool_.random.next(), kHex)
                                  .ptr;
      auto name = Component::of({text.data(), static_cast<std::size_t>(end - text.data())});
      const auto made = backing_.mkdir_at(to_.fd(), name->c_str(), S_IRWXU);
      if (made) return name;
      if (made.error() != Errno{EEXIST} || tries == kTries) return made.error();
    }
  }

  Result<void> copy_attributes(const DirRef& source, const FileStat& like, const DirRef& target) {
    std::uint32_t mode = like.mode & 07777U;
    const auto owned = backing_.chown(target.fd(), like.uid, like.gid);
    if (!owned) {
      if (!cannot_hold(owned.error())) return owned;
      // Set-id bits were meant for the other owner.
      mode &= 01777U;
    }
    if (const auto copied = copy_xattrs(source.fd(), target.fd()); !copied) return copied;
    // After the ACL: the group bits of a mode are the ACL's mask.
    const auto allowed = backing_.chmod(target.fd(), mode);
    if (!allowed && !cannot_hold(allowed.error())) return allowed;
    copy_flags(source, like, target);
    const auto timed = backing_.set_times(target.fd(), times_of(like));
    if (!timed && !cannot_hold(timed.error())) return timed;
    return {};
  }

  Result<void> copy_xattrs(int source, int target) {
    std::vector<std::byte> names(kMaxXattr);
    const auto listed = backing_.list_xattr(source, names);
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
      const auto got = backing_.get_xattr(source, name, value);
      if (got) {
        const auto set = backing_.set_xattr(target, name, std::span(value).first(*got), 0);
        if (!set && !cannot_hold(set.error())) return set;
      } else if (!cannot_hold(got.error()) && got.error() != Errno{ENODATA}) {
        return got.error();
      }
      name += text.size() + 1;
      left -= text.size() + 1;
    }
    // What the new directory inherited from a parent that differs there.
    if (!access_acl) static_cast<void>(backing_.remove_xattr(target, kAccessAcl));
    if (!default_acl) static_cast<void>(backing_.remove_xattr(target, kDefaultAcl));
    return {};
  }

  /// As far as the two file systems know them.
  void copy_flags(const DirRef& source, const FileStat& like, const DirRef& target) {
    constexpr std::uint64_t kTold =
        STATX_ATTR_COMPRESSED | STATX_ATTR_NODUMP | STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND;
    constexpr int kCopied =
        FS_SYNC_FL | FS_DIRSYNC_FL | FS_NOATIME_FL | FS_NODUMP_FL | FS_COMPR_FL | FS_NOCOW_FL;
    // A file system that tells flags by statx(2) is one that has them at all.
    if ((like.attributes_mask & kTold) == 0) return;
    const int wanted = flags_of(source) & kCopied;
    if (wanted == 0) return;
    const auto fd = backing_.reopen(target.fd(), O_RDONLY | O_DIRECTORY);
    if (!fd) return;
    int flags = 0;
    const auto bytes = std::as_writable_bytes(std::span(&flags, 1));
    if (!backing_.control(fd->get(), FS_IOC_GETFLAGS, bytes)) return;
    flags |= wanted;
    static_cast<void>(backing_.control(fd->get(), FS_IOC_SETFLAGS, bytes));
  }

  int flags_of(const DirRef& directory) {
    const auto fd = backing_.reopen(directory.fd(), O_RDONLY | O_DIRECTORY);
    int flags = 0;
    if (!fd) return 0;
    const auto bytes = std::as_writable_bytes(std::span(&flags, 1));
    return backing_.control(fd->get(), FS_IOC_GETFLAGS, bytes) ? flags : 0;
  }

  static TimesChange times_of(const FileStat& stat) {
    return {proto::TimeChange{false, stat.atime.seconds, stat.atime.nanoseconds},
            proto::TimeChange{false, stat.mtime.seconds, stat.mtime.nanoseconds}};
  }

  static constexpr const char* kAccessAcl = "system.posix_acl_access";
  static constexpr const char* kDefaultAcl = "system.posix_acl_default";

  Pool& pool_;
  Backing& backing_;
  DirRef from_;
  DirRef to_;
  /// `to_` is a copy that this walk made, and has these times.
  bool made_ = false;
  TimesChange parent_times_;
};

}  // namespace

Result<DirRef> clone_path(Pool& pool, Branch& from, Branch& to, std::string_view path) {
  auto there = open_directory(pool, to, path);
  if (there || there.error() != Errno{ENOENT}) return there;
  auto source = open_directory(pool, from, "");
  if (!source) return source;
  auto target = open_directory(pool, to, "");
  if (!target) return target;
  Cloner cloner(pool, *std::move(source), *std::move(target));
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    const auto name = Component::of(path.substr(0, end));
    if (!name) return name.error();
    if (const auto stepped = cloner.step(*name); !stepped) return stepped.error();
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return cloner.take_target();
}

}  // namespace bough::ops
