#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "ops/attributes.hpp"
#include "ops/caller.hpp"
#include "ops/chosen_copy.hpp"
#include "ops/converted_link.hpp"
#include "ops/credentials.hpp"
#include "ops/locate.hpp"
#include "ops/operations.hpp"

namespace bough::ops {
namespace {

constexpr std::uint32_t kPermissionBits = 07777;
constexpr std::uint32_t kLeaveId = 0xffffffff;

bool changes_something(const proto::SetattrRequest& request) noexcept {
  return request.mode || request.uid || request.gid || request.size || request.atime ||
         request.mtime || request.kill_suidgid;
}

/// One SETATTR on one file, undone as a whole when a part of it fails. What was cut off by a
/// smaller size cannot come back, so only setting the times, which nothing but a dying disk can
/// refuse by then, comes after it.
class Change {
 public:
  Change(Pool& pool, const Context& context, const proto::SetattrRequest& request, int path_fd,
         const FileStat& before)
      : pool_(pool), context_(context), request_(request), fd_(path_fd), before_(before) {}

  /// `writable`: a descriptor to set the size by; -1 where the request sets none. Returns what the
  /// file is then.
  Result<FileStat> apply(int writable) {
    const auto done = steps(writable);
    auto after = done ? pool_.backing.stat(fd_) : Result<FileStat>(done.error());
    if (!after) undo(writable);
    return after;
  }

 private:
  Result<void> steps(int writable) {
    Backing& backing = pool_.backing;
    if (request_.uid || request_.gid) {
      if (const auto done =
              backing.chown(fd_, request_.uid.value_or(kLeaveId), request_.gid.value_or(kLeaveId));
          !done)
        return done;
      owner_changed_ = true;
    }
    if (request_.mode) {
      if (const auto done = backing.chmod(fd_, *request_.mode & kPermissionBits); !done)
        return done;
      mode_changed_ = true;
    } else if (request_.kill_suidgid) {
      if (const auto done = clear_set_ids(pool_, fd_); !done) return done;
      mode_changed_ = true;
    }
    if (request_.size) {
      const Payer payer = payer_for(context_, before_, !request_.kill_suidgid, pool_.own);
      const CallerGuard guard(pool_, payer.uid, payer.gid, std::nullopt, 0,
                              CallerGuard::Purpose::kAllocate);
      if (!guard.ready()) return guard.ready();
      if (const auto done = backing.truncate(writable, *request_.size); !done) return done;
      size_changed_ = true;
    }
    if (request_.atime || request_.mtime) {
      const auto done = backing.set_times(fd_, TimesChange{request_.atime, request_.mtime});
      times_changed_ = done.has_value();
      return done;
    }
    return {};
  }

  void undo(int writable) noexcept {
    Backing& backing = pool_.backing;
    const bool regrown = size_changed_ && *request_.size >= before_.size;
    if (regrown) (void)backing.truncate(writable, before_.size);
    if (regrown || times_changed_)
      (void)backing.set_times(
          fd_,
          TimesChange{proto::TimeChange{false, before_.atime.seconds, before_.atime.nanoseconds},
                      proto::TimeChange{false, before_.mtime.seconds, before_.mtime.nanoseconds}});
    if (owner_changed_) (void)backing.chown(fd_, before_.uid, before_.gid);
    if ((owner_changed_ || mode_changed_) && !before_.is_symlink())
      (void)backing.chmod(fd_, before_.mode & kPermissionBits);
  }

  Pool& pool_;
  const Context& context_;
  const proto::SetattrRequest& request_;
  const int fd_;
  const FileStat& before_;
  bool owner_changed_ = false;
  bool mode_changed_ = false;
  bool size_changed_ = false;
  bool times_changed_ = false;
};

Result<void> change_by_node(Pool& pool, const Context& context,
                            const proto::SetattrRequest& request, NodeFile& file) {
  const FileStat before = file.stat;
  Fd writable;
  if (request.size) {
    if (!file.stat.is_regular()) return Errno{file.stat.is_directory() ? EISDIR : EINVAL};
    auto opened = open_with_relief(pool, [&] { return pool.backing.reopen(file.fd(), O_WRONLY); });
    if (!opened) return opened.error();
    writable = std::move(*opened);
  }
  const auto after = Change(pool, context, request, file.fd(), before).apply(writable.get());
  if (!after) return after.error();
  file.stat = *after;
  return {};
}

/// What of a SETATTR goes to the copies that one policy chooses.
struct Part {
  ActionFunction function = ActionFunction::kChmod;
  proto::SetattrRequest request;
};

/// A SETATTR by the policies that rule it: as a rule one has all of it.
class Parts {
 public:
  static constexpr std::size_t kMost = 4;

  Parts(const ActionPolicies& policies, const proto::SetattrRequest& request)
      : policies_(policies) {
    if (request.mode) of(ActionFunction::kChmod).mode = request.mode;
    if (request.uid || request.gid || (request.kill_suidgid && !request.size)) {
      proto::SetattrRequest& owner = of(ActionFunction::kChown);
      owner.uid = request.uid;
      owner.gid = request.gid;
      owner.kill_suidgid = request.kill_suidgid;
    }
    if (request.size) {
      proto::SetattrRequest& cut = of(ActionFunction::kTruncate);
      cut.size = request.size;
      cut.kill_suidgid = request.kill_suidgid;
    }
    if (request.atime || request.mtime) {
      proto::SetattrRequest& times = of(ActionFunction::kUtimens);
      times.atime = request.atime;
      times.mtime = request.mtime;
    }
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] const Part& operator[](std::size_t index) const noexcept { return parts_[index]; }

 private:
  proto::SetattrRequest& of(ActionFunction function) noexcept {
    for (std::size_t i = 0; i < size_; ++i)
      if (&policies_[parts_[i].function] == &policies_[function]) return parts_[i].request;
    parts_[size_].function = function;
    return parts_[size_++].request;
  }

  const ActionPolicies& policies_;
  std::array<Part, kMost> parts_;
  std::size_t size_ = 0;
};

Result<void> change_all(Pool& pool, const Context& context, const proto::SetattrRequest& request,
                        const Parts& parts, std::array<Subject, Parts::kMost>& subjects) {
  const bool own_too = subjects[0].change_own;
  if (own_too)
    if (const auto done = change_by_node(pool, context, request, subjects[0].own); !done)
      return done;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    for (NodeFile& other : subjects[i].others) {
      const auto done = change_by_node(pool, context, parts[i].request, other);
      if (!done && !own_too && &other == &subjects[i].others.front()) return done;
    }
  }
  return {};
}

Result<proto::AttrReply> setattr_by_handle(Pool& pool, const Context& context,
                                           const proto::SetattrRequest& request) {
  const auto handle = pool.handles.file(*request.handle);
  NodeView view;
  if (!handle) return Errno{EBADF};
  if (!pool.nodes.view(handle->node, view)) return Errno{ESTALE};
  note_branch(context, pool, handle->branch);
  const int fd = handle->fd.get();
  auto stat = pool.backing.stat(fd);
  if (stat && changes_something(request)) {
    if (!writable(pool, handle->branch)) return Errno{EROFS};
    const FileStat before = *stat;
    stat = Change(pool, context, request, fd, before).apply(fd);
  }
  if (!stat) return stat.error();
  return proto::AttrReply{
      attr_validity(pool, *stat),
      to_attr(pool, *stat, number_of(pool, view.node, view.ino, *stat, handle->branch))};
}

/// By handle where there is one, else by node.
Result<FileStat> stat_of(Pool& pool, const Context& context,
                         const std::optional<proto::HandleId>& by, std::uint64_t& ino) {
  BranchId branch = kNoBranch;
  if (!by) {
    auto stat = stat_node(pool, context.node, ino, branch);
    if (!stat) return stat;
    note_branch(context, pool, branch);
    ino = number_of(pool, context.node, ino, *stat, branch);
    return stat;
  }
  const auto handle = pool.handles.file(*by);
  NodeView view;
  if (!handle) return Errno{EBADF};
  if (!pool.nodes.view(handle->node, view)) return Errno{ESTALE};
  note_branch(context, pool, handle->branch);
  auto stat = pool.backing.stat(handle->fd.get());
  if (stat) ino = number_of(pool, view.node, view.ino, *stat, handle->branch);
  return stat;
}

}  // namespace

Result<proto::AttrReply> getattr(Pool& pool, const Context& context,
                                 const proto::GetattrRequest& request) {
  std::uint64_t ino = 0;
  const auto stat = stat_of(pool, context, request.handle, ino);
  if (!stat) return stat.error();
  return proto::AttrReply{attr_validity(pool, *stat), to_attr(pool, *stat, ino)};
}

Result<proto::StatxReply> statx(Pool& pool, const Context& context,
                                const proto::StatxRequest& request) {
  std::uint64_t ino = 0;
  const auto stat = stat_of(pool, context, request.handle, ino);
  if (!stat) return stat.error();
  proto::StatxReply reply;
  reply.attr_valid = attr_validity(pool, *stat);
  reply.mask = stat->mask;
  reply.attr = to_attr(pool, *stat, ino);
  reply.btime = stat->btime;
  reply.attributes = stat->attributes;
  reply.attributes_mask = stat->attributes_mask;
  reply.rdev_major = stat->rdev_major;
  reply.rdev_minor = stat->rdev_minor;
  return reply;
}

Result<proto::AttrReply> setattr(Pool& pool, const Context& context,
                                 const proto::SetattrRequest& request) {
  if (request.handle) return setattr_by_handle(pool, context, request);
  if (!changes_something(request)) return getattr(pool, context, {});

  const auto no_new_copies = hold_copies(pool, context.node);
  std::array<Subject, Parts::kMost> subjects;
  const Parts parts(pool.settings.action, request);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    auto found = find_subject(pool, context.node, parts[i].function);
    if (!found) return found.error();
    subjects[i] = *std::move(found);
  }
  Subject* const subject = subjects.data();
  // As a symbolic link takes them.
  if (subject->own.link && (request.mode || request.size))
    return Errno{request.mode ? EOPNOTSUPP : EINVAL};
  if (request.size && pool.settings.links.cow)
    for (std::size_t i = 0; i < parts.size(); ++i)
      std::erase_if(subjects[i].others, [](const NodeFile& file) { return file.stat.nlink > 1; });
  note_branch(context, pool, subject->own.branch);
  // The deciding file is changed as a whole; the copies after it, by what chose them.
  const auto done = change_all(pool, context, request, parts, subjects);
  if (!done) return done.error();
  if (subject->own.link) return getattr(pool, context, {});
  // Of a directory all copies are told of.
  if (subject->own.stat.is_directory())
    if (auto all = getattr(pool, context, {})) return all;
  const NodeFile& own = subject->own;
  return proto::AttrReply{
      attr_validity(pool, own.stat),
      to_attr(pool, own.stat, number_of(pool, context.node, own.ino, own.stat, own.branch))};
}

Result<void> access(Pool& pool, const Context& context, const proto::AccessRequest& request) {
  const auto file = reach_by(pool, context.node, SearchFunction::kAccess);
  if (!file) return file.error();
  return may_access(context, file->stat.mode, file->stat.uid, file->stat.gid, request.mask);
}

Result<void> may_access(const Context& context, std::uint32_t mode, std::uint32_t uid,
                        std::uint32_t gid, std::uint32_t mask) noexcept {
  if (is_anonymous(context)) return {};
  const std::uint32_t wanted = mask & (R_OK | W_OK | X_OK);
  std::uint32_t granted = mode & 7;
  if (context.uid == 0)
    granted = R_OK | W_OK | (S_ISDIR(mode) || (mode & 0111) != 0 ? X_OK : 0);
  else if (context.uid == uid)
    granted = (mode >> 6) & 7;
  else if (context.gid == gid)
    granted = (mode >> 3) & 7;
  if ((wanted & ~granted) != 0) return Errno{EACCES};
  return {};
}

Result<std::size_t> readlink(Pool& pool, const Context& context, std::span<std::byte> out) {
  const auto file = reach_by(pool, context.node, SearchFunction::kReadlink);
  if (!file) return file.error();
  note_branch(context, pool, file->branch);
  if (file->link) return link_text(pool, context.node, out);
  if (!file->stat.is_symlink()) return Errno{EINVAL};
  return pool.backing.readlink(file->fd(), out.first(std::min(out.size(), kLinkMax)));
}

}  // namespace bough::ops
