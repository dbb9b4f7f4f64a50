#include "test/support/faulty_backing.hpp"

#include <unistd.h>

#include <algorithm>
#include <climits>
#include <thread>
#include <utility>

namespace bough::test {

using ops::Errno;
using ops::Fd;
using ops::FileStat;
using ops::FsStat;
using ops::Identity;
using ops::Result;
using ops::TimesChange;

namespace {

std::string real_path_of(int fd) {
  std::array<char, PATH_MAX> text;
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = ::readlink(link.c_str(), text.data(), text.size());
  return size < 0 ? std::string() : std::string(text.data(), static_cast<std::size_t>(size));
}

bool lies_below(const std::string& path, const std::string& top) {
  return path.compare(0, top.size(), top) == 0 &&
         (path.size() == top.size() || path[top.size()] == '/');
}

}  // namespace

void FaultyBacking::add(Rule rule) {
  const std::lock_guard lock(mutex_);
  rules_.push_back(std::move(rule));
}

void FaultyBacking::fail(When when, int error) {
  Rule rule;
  rule.when = std::move(when);
  rule.error = error;
  add(std::move(rule));
}

void FaultyBacking::delay(When when, std::chrono::milliseconds time) {
  Rule rule;
  rule.when = std::move(when);
  rule.delay = time;
  add(std::move(rule));
}

void FaultyBacking::shorten(When when, std::size_t most) {
  Rule rule;
  rule.when = std::move(when);
  rule.most = most;
  add(std::move(rule));
}

void FaultyBacking::before(When when, std::function<void()> hook) {
  Rule rule;
  rule.when = std::move(when);
  rule.hook = std::move(hook);
  add(std::move(rule));
}

void FaultyBacking::reset() {
  const std::lock_guard lock(mutex_);
  rules_.clear();
  counts_.fill(0);
  failures_ = 0;
  last_failed_.reset();
}

std::uint64_t FaultyBacking::calls(Call call) const {
  const std::lock_guard lock(mutex_);
  return counts_[static_cast<std::size_t>(call)];
}

std::uint64_t FaultyBacking::failures() const {
  const std::lock_guard lock(mutex_);
  return failures_;
}

std::optional<Call> FaultyBacking::last_failed() const {
  const std::lock_guard lock(mutex_);
  return last_failed_;
}

FaultyBacking::Verdict FaultyBacking::enter(Call call, int fd, const std::string* path) {
  Verdict verdict;
  std::chrono::milliseconds wait{0};
  std::vector<std::function<void()>> hooks;
  {
    const std::lock_guard lock(mutex_);
    ++counts_[static_cast<std::size_t>(call)];
    ++counts_[static_cast<std::size_t>(Call::kAny)];
    for (Rule& rule : rules_) {
      if (rule.when.call != call && rule.when.call != Call::kAny) continue;
      if (!rule.when.below.empty() &&
          !lies_below(path != nullptr ? *path : real_path_of(fd), rule.when.below))
        continue;
      ++rule.seen;
      if (rule.seen < rule.when.nth || rule.seen - rule.when.nth >= rule.when.times) continue;
      wait += rule.delay;
      if (rule.most) verdict.most = std::min(verdict.most, *rule.most);
      if (rule.hook) hooks.push_back(rule.hook);
      if (rule.error && !verdict.error) {
        verdict.error = Errno{*rule.error};
        ++failures_;
        last_failed_ = call;
      }
    }
  }
  for (const auto& hook : hooks) hook();
  if (wait.count() != 0) std::this_thread::sleep_for(wait);
  return verdict;
}

template <class Run>
auto FaultyBacking::pass(Call call, int fd, Run run) -> decltype(run(std::size_t{})) {
  const Verdict verdict = enter(call, fd);
  if (verdict.error) return *verdict.error;
  return run(verdict.most);
}

Result<Fd> FaultyBacking::open_root(const std::string& path) {
  const Verdict verdict = enter(Call::kOpenRoot, -1, &path);
  if (verdict.error) return *verdict.error;
  return real_.open_root(path);
}

Result<Fd> FaultyBacking::open_directory(int root, std::string_view path, int flags, bool follow) {
  return pass(Call::kOpenDirectory, root,
              [&](std::size_t) { return real_.open_directory(root, path, flags, follow); });
}

Result<Fd> FaultyBacking::open_at(int dir, const char* name, int flags, std::uint32_t mode) {
  return pass(Call::kOpenAt, dir,
              [&](std::size_t) { return real_.open_at(dir, name, flags, mode); });
}

Result<Fd> FaultyBacking::reopen(int path_fd, int flags) {
  return pass(Call::kReopen, path_fd, [&](std::size_t) { return real_.reopen(path_fd, flags); });
}

Result<Fd> FaultyBacking::duplicate(int fd) {
  return pass(Call::kDuplicate, fd, [&](std::size_t) { return real_.duplicate(fd); });
}

Result<void> FaultyBacking::replace(int fd, int by) {
  return pass(Call::kReplace, fd, [&](std::size_t) { return real_.replace(fd, by); });
}

Result<void> FaultyBacking::lock(int fd) {
  return pass(Call::kLock, fd, [&](std::size_t) { return real_.lock(fd); });
}

Result<bool> FaultyBacking::has_writers(int fd) {
  return pass(Call::kHasWriters, fd, [&](std::size_t) { return real_.has_writers(fd); });
}

Result<void> FaultyBacking::clear_direct(int fd) {
  return pass(Call::kClearDirect, fd, [&](std::size_t) { return real_.clear_direct(fd); });
}

Result<Fd> FaultyBacking::open_unnamed(int dir, int flags, std::uint32_t mode) {
  return pass(Call::kOpenUnnamed, dir,
              [&](std::size_t) { return real_.open_unnamed(dir, flags, mode); });
}

Result<FileStat> FaultyBacking::stat_at(int dir, const char* name) {
  return pass(Call::kStatAt, dir, [&](std::size_t) { return real_.stat_at(dir, name); });
}

Result<FileStat> FaultyBacking::stat(int path_fd) {
  return pass(Call::kStat, path_fd, [&](std::size_t) { return real_.stat(path_fd); });
}

Result<FileStat> FaultyBacking::stat_unasked(int path_fd) {
  return pass(Call::kStat, path_fd, [&](std::size_t) { return real_.stat_unasked(path_fd); });
}

Result<std::uint64_t> FaultyBacking::mount_id(int path_fd) {
  return pass(Call::kMountId, path_fd, [&](std::size_t) { return real_.mount_id(path_fd); });
}

Result<std::vector<ops::Mount>> FaultyBacking::mounts() {
  auto found = pass(Call::kMounts, -1, [&](std::size_t) { return real_.mounts(); });
  if (found && bend_mount_) std::for_each(found->begin(), found->end(), bend_mount_);
  return found;
}

Result<bool> FaultyBacking::is_served_device(std::uint32_t major, std::uint32_t minor) {
  return pass(Call::kIsServedDevice, -1, [&](std::size_t) {
    return served_ ? Result<bool>(*served_) : real_.is_served_device(major, minor);
  });
}

Result<std::string> FaultyBacking::path_of(int path_fd) {
  return pass(Call::kPathOf, path_fd, [&](std::size_t) { return real_.path_of(path_fd); });
}

Result<FsStat> FaultyBacking::statfs(int path_fd) {
  auto stat = pass(Call::kStatfs, path_fd, [&](std::size_t) { return real_.statfs(path_fd); });
  if (stat && bend_statfs_) bend_statfs_(*stat, path_fd);
  return stat;
}

Result<std::size_t> FaultyBacking::readlink(int path_fd, std::span<std::byte> out) {
  return pass(Call::kReadlink, path_fd, [&](std::size_t) { return real_.readlink(path_fd, out); });
}

Result<std::size_t> FaultyBacking::list(int fd, std::span<std::byte> out) {
  return pass(Call::kList, fd, [&](std::size_t most) {
    return real_.list(fd, out.first(std::min(out.size(), most)));
  });
}

Result<void> FaultyBacking::mkdir_at(int dir, const char* name, std::uint32_t mode) {
  return pass(Call::kMkdirAt, dir, [&](std::size_t) { return real_.mkdir_at(dir, name, mode); });
}

Result<void> FaultyBacking::mknod_at(int dir, const char* name, std::uint32_t mode,
                                     std::uint32_t rdev) {
  return pass(Call::kMknodAt, dir,
              [&](std::size_t) { return real_.mknod_at(dir, name, mode, rdev); });
}

Result<void> FaultyBacking::symlink_at(const char* target, int dir, const char* name) {
  return pass(Call::kSymlinkAt, dir,
              [&](std::size_t) { return real_.symlink_at(target, dir, name); });
}

Result<void> FaultyBacking::link_fd(int path_fd, int dir, const char* name) {
  return pass(Call::kLinkFd, dir, [&](std::size_t) { return real_.link_fd(path_fd, dir, name); });
}

Result<void> FaultyBacking::unlink_at(int dir, const char* name) {
  return pass(Call::kUnlinkAt, dir, [&](std::size_t) { return real_.unlink_at(dir, name); });
}

Result<void> FaultyBacking::rmdir_at(int dir, const char* name) {
  return pass(Call::kRmdirAt, dir, [&](std::size_t) { return real_.rmdir_at(dir, name); });
}

Result<void> FaultyBacking::rename_at(int old_dir, const char* old_name, int new_dir,
                                      const char* new_name, std::uint32_t flags) {
  return pass(Call::kRenameAt, old_dir, [&](std::size_t) {
    return real_.rename_at(old_dir, old_name, new_dir, new_name, flags);
  });
}

Result<void> FaultyBacking::chmod(int path_fd, std::uint32_t mode) {
  return pass(Call::kChmod, path_fd, [&](std::size_t) { return real_.chmod(path_fd, mode); });
}

Result<void> FaultyBacking::chown(int path_fd, std::uint32_t uid, std::uint32_t gid) {
  return pass(Call::kChown, path_fd, [&](std::size_t) { return real_.chown(path_fd, uid, gid); });
}

Result<void> FaultyBacking::set_times(int path_fd, const TimesChange& times) {
  return pass(Call::kSetTimes, path_fd,
              [&](std::size_t) { return real_.set_times(path_fd, times); });
}

Result<void> FaultyBacking::truncate(int fd, std::uint64_t size) {
  return pass(Call::kTruncate, fd, [&](std::size_t) { return real_.truncate(fd, size); });
}

Result<std::size_t> FaultyBacking::get_xattr(int path_fd, const char* name,
                                             std::span<std::byte> out) {
  return pass(Call::kGetXattr, path_fd,
              [&](std::size_t) { return real_.get_xattr(path_fd, name, out); });
}

Result<std::size_t> FaultyBacking::list_xattr(int path_fd, std::span<std::byte> out) {
  return pass(Call::kListXattr, path_fd,
              [&](std::size_t) { return real_.list_xattr(path_fd, out); });
}

Result<void> FaultyBacking::set_xattr(int path_fd, const char* name,
                                      std::span<const std::byte> value, std::uint32_t flags) {
  return pass(Call::kSetXattr, path_fd,
              [&](std::size_t) { return real_.set_xattr(path_fd, name, value, flags); });
}

Result<void> FaultyBacking::remove_xattr(int path_fd, const char* name) {
  return pass(Call::kRemoveXattr, path_fd,
              [&](std::size_t) { return real_.remove_xattr(path_fd, name); });
}

Result<int> FaultyBacking::control(int fd, std::uint32_t command, std::span<std::byte> argument) {
  return pass(Call::kControl, fd, [&](std::size_t) -> Result<int> {
    const auto answer = answer_control_ ? answer_control_(command, argument) : std::nullopt;
    return answer ? Result<int>(*answer) : real_.control(fd, command, argument);
  });
}

Result<std::size_t> FaultyBacking::read(int fd, std::span<std::byte> out, std::uint64_t offset) {
  last_read_fd_ = fd;
  return pass(Call::kRead, fd, [&](std::size_t most) {
    return real_.read(fd, out.first(std::min(out.size(), most)), offset);
  });
}

Result<std::size_t> FaultyBacking::write(int fd, std::span<const std::byte> data,
                                         std::uint64_t offset, bool append) {
  return pass(Call::kWrite, fd, [&](std::size_t most) {
    return real_.write(fd, data.first(std::min(data.size(), most)), offset, append);
  });
}

Result<void> FaultyBacking::sync(int fd, bool data_only) {
  return pass(Call::kSync, fd, [&](std::size_t) { return real_.sync(fd, data_only); });
}

Result<void> FaultyBacking::flush(int fd) {
  return pass(Call::kFlush, fd, [&](std::size_t) { return real_.flush(fd); });
}

Result<void> FaultyBacking::allocate(int fd, std::uint32_t mode, std::uint64_t offset,
                                     std::uint64_t length) {
  return pass(Call::kAllocate, fd,
              [&](std::size_t) { return real_.allocate(fd, mode, offset, length); });
}

Result<std::uint64_t> FaultyBacking::seek(int fd, std::uint64_t offset, std::uint32_t whence) {
  return pass(Call::kSeek, fd, [&](std::size_t) { return real_.seek(fd, offset, whence); });
}

Result<void> FaultyBacking::sync_file_system(int fd) {
  return pass(Call::kSync, fd, [&](std::size_t) { return real_.sync_file_system(fd); });
}

Result<std::size_t> FaultyBacking::copy_range(int in, std::uint64_t in_offset, int out,
                                              std::uint64_t out_offset, std::size_t length) {
  return pass(Call::kCopyRange, in, [&](std::size_t most) {
    return real_.copy_range(in, in_offset, out, out_offset, std::min(length, most));
  });
}

Result<void> FaultyBacking::own_thread_state() {
  return pass(Call::kOwnThreadState, -1, [&](std::size_t) { return real_.own_thread_state(); });
}

Identity FaultyBacking::identity() {
  static_cast<void>(enter(Call::kIdentity, -1));
  return real_.identity();
}

Result<void> FaultyBacking::become(const Identity& who, bool keep_dac) {
  return pass(Call::kBecome, -1, [&](std::size_t) { return real_.become(who, keep_dac); });
}

}  // namespace bough::test
