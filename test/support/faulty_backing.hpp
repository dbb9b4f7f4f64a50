#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "ops/backing.hpp"

namespace bough::test {

/// One for each member of Backing, and kAny for all of them.
enum class Call : std::uint8_t {
  kOpenRoot,
  kOpenDirectory,
  kOpenAt,
  kReopen,
  kDuplicate,
  kReplace,
  kLock,
  kHasWriters,
  kClearDirect,
  kOpenUnnamed,
  kStatAt,
  kStat,
  kMountId,
  kMounts,
  kIsServedDevice,
  kPathOf,
  kStatfs,
  kReadlink,
  kList,
  kMkdirAt,
  kMknodAt,
  kSymlinkAt,
  kLinkFd,
  kUnlinkAt,
  kRmdirAt,
  kRenameAt,
  kChmod,
  kChown,
  kSetTimes,
  kTruncate,
  kGetXattr,
  kListXattr,
  kSetXattr,
  kRemoveXattr,
  kControl,
  kRead,
  kWrite,
  kSync,
  kFlush,
  kAllocate,
  kSeek,
  kCopyRange,
  kOwnThreadState,
  kIdentity,
  kBecome,
  kAny,
};

/// A real backing with faults put in front of it. A call counts from 1 since the rule was added;
/// rules are tried in the order in which they were added, and each that matches acts. A failed call
/// never reaches the kernel. Any thread; the hooks run on the calling one, without a lock.
class FaultyBacking final : public ops::Backing {
 public:
  explicit FaultyBacking(ops::Backing& real) : real_(real) {}

  /// Which calls a rule is about.
  struct When {
    Call call = Call::kAny;
    /// The first call that it acts on, and on how many.
    std::uint64_t nth = 1;
    std::uint64_t times = 1;
    /// Only calls whose (first) descriptor, or path, lies at or below this real path; empty: all.
    std::string below{};
  };
  static constexpr std::uint64_t kAlways = UINT64_MAX;

  void fail(When when, int error);
  void delay(When when, std::chrono::milliseconds time);
  /// At most `most` bytes are asked of the kernel: read, write, copy_range, list.
  void shorten(When when, std::size_t most);
  /// Runs before the call, so that somebody else's change comes in between.
  void before(When when, std::function<void()> hook);
  /// From now on statfs() says what `bend` makes of the truth. Not while calls run.
  void bend_statfs(std::function<void(ops::FsStat&, int path_fd)> bend) {
    bend_statfs_ = std::move(bend);
  }
  /// From now on mounts() says what `bend` makes of the truth of each. Not while calls run.
  void bend_mount(std::function<void(ops::Mount&)> bend) { bend_mount_ = std::move(bend); }
  /// From now on is_served_device() says this. Not while calls run.
  void serve_devices(std::optional<bool> served) { served_ = served; }
  /// From now on control() is answered by `answer` where that has one. Not while calls run.
  void answer_control(
      std::function<std::optional<int>(std::uint32_t command, std::span<std::byte>)> answer) {
    answer_control_ = std::move(answer);
  }
  /// The descriptor of the last read(). -1: none yet.
  [[nodiscard]] int last_read_fd() const noexcept { return last_read_fd_; }
  /// Forgets the rules and sets all counts to 0.
  void reset();

  [[nodiscard]] std::uint64_t calls(Call call) const;
  /// How many calls the rules made fail.
  [[nodiscard]] std::uint64_t failures() const;
  /// What the last call was that the rules made fail.
  [[nodiscard]] std::optional<Call> last_failed() const;

  ops::Result<ops::Fd> open_root(const std::string& path) override;
  ops::Result<ops::Fd> open_directory(int root, std::string_view path, int flags,
                                      bool follow) override;
  ops::Result<ops::Fd> open_at(int dir, const char* name, int flags, std::uint32_t mode) override;
  ops::Result<ops::Fd> reopen(int path_fd, int flags) override;
  ops::Result<ops::Fd> duplicate(int fd) override;
  ops::Result<void> replace(int fd, int by) override;
  ops::Result<void> lock(int fd) override;
  ops::Result<bool> has_writers(int fd) override;
  ops::Result<void> clear_direct(int fd) override;
  ops::Result<ops::Fd> open_unnamed(int dir, int flags, std::uint32_t mode) override;
  ops::Result<ops::FileStat> stat_at(int dir, const char* name) override;
  ops::Result<ops::FileStat> stat(int path_fd) override;
  ops::Result<ops::FileStat> stat_unasked(int path_fd) override;
  ops::Result<std::uint64_t> mount_id(int path_fd) override;
  ops::Result<std::vector<ops::Mount>> mounts() override;
  ops::Result<bool> is_served_device(std::uint32_t major, std::uint32_t minor) override;
  ops::Result<std::string> path_of(int path_fd) override;
  ops::Result<ops::FsStat> statfs(int path_fd) override;
  ops::Result<std::size_t> readlink(int path_fd, std::span<std::byte> out) override;
  ops::Result<std::size_t> list(int fd, std::span<std::byte> out) override;
  ops::Result<void> mkdir_at(int dir, const char* name, std::uint32_t mode) override;
  ops::Result<void> mknod_at(int dir, const char* name, std::uint32_t mode,
                             std::uint32_t rdev) override;
  ops::Result<void> symlink_at(const char* target, int dir, const char* name) override;
  ops::Result<void> link_fd(int path_fd, int dir, const char* name) override;
  ops::Result<void> unlink_at(int dir, const char* name) override;
  ops::Result<void> rmdir_at(int dir, const char* name) override;
  ops::Result<void> rename_at(int old_dir, const char* old_name, int new_dir, const char* new_name,
                              std::uint32_t flags) override;
  ops::Result<void> chmod(int path_fd, std::uint32_t mode) override;
  ops::Result<void> chown(int path_fd, std::uint32_t uid, std::uint32_t gid) override;
  ops::Result<void> set_times(int path_fd, const ops::TimesChange& times) override;
  ops::Result<void> truncate(int fd, std::uint64_t size) override;
  ops::Result<std::size_t> get_xattr(int path_fd, const char* name,
                                     std::span<std::byte> out) override;
  ops::Result<std::size_t> list_xattr(int path_fd, std::span<std::byte> out) override;
  ops::Result<void> set_xattr(int path_fd, const char* name, std::span<const std::byte> value,
                              std::uint32_t flags) override;
  ops::Result<void> remove_xattr(int path_fd, const char* name) override;
  ops::Result<int> control(int fd, std::uint32_t command, std::span<std::byte> argument) override;
  ops::Result<std::size_t> read(int fd, std::span<std::byte> out, std::uint64_t offset) override;
  ops::Result<std::size_t> write(int fd, std::span<const std::byte> data, std::uint64_t offset,
                                 bool append) override;
  ops::Result<void> sync(int fd, bool data_only) override;
  ops::Result<void> flush(int fd) override;
  void drop_cache(int fd, bool written) noexcept override { real_.drop_cache(fd, written); }
  void act_with_priority_of(std::uint32_t tid) noexcept override {
    real_.act_with_priority_of(tid);
  }
  ops::Result<void> sync_file_system(int fd) override;
  void act_idle(bool idle) noexcept override { real_.act_idle(idle); }
  ops::Result<void> allocate(int fd, std::uint32_t mode, std::uint64_t offset,
                             std::uint64_t length) override;
  ops::Result<std::uint64_t> seek(int fd, std::uint64_t offset, std::uint32_t whence) override;
  ops::Result<std::size_t> copy_range(int in, std::uint64_t in_offset, int out,
                                      std::uint64_t out_offset, std::size_t length) override;
  ops::Result<void> own_thread_state() override;
  ops::Identity identity() override;
  ops::Result<void> become(const ops::Identity& who, bool keep_dac) override;

 private:
  struct Rule {
    When when;
    std::uint64_t seen = 0;
    std::optional<int> error;
    std::chrono::milliseconds delay{0};
    std::optional<std::size_t> most;
    std::function<void()> hook;
  };
  /// What the rules want of one call.
  struct Verdict {
    std::optional<ops::Errno> error;
    std::size_t most = SIZE_MAX;
  };

  void add(Rule rule);
  Verdict enter(Call call, int fd, const std::string* path = nullptr);
  template <class Run>
  auto pass(Call call, int fd, Run run) -> decltype(run(std::size_t{}));

  ops::Backing& real_;
  std::function<void(ops::FsStat&, int)> bend_statfs_;
  std::function<void(ops::Mount&)> bend_mount_;
  std::optional<bool> served_;
  std::function<std::optional<int>(std::uint32_t, std::span<std::byte>)> answer_control_;
  std::atomic<int> last_read_fd_{-1};
  mutable std::mutex mutex_;
  std::vector<Rule> rules_;
  std::array<std::uint64_t, static_cast<std::size_t>(Call::kAny) + 1> counts_{};
  std::uint64_t failures_ = 0;
  std::optional<Call> last_failed_;
};

}  // namespace bough::test
