#pragma once

#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "proto/kernel_abi.hpp"
#include "proto/kernel_port.hpp"

namespace bough::test {

/// The connection as ops see it: remembers notifications, as many as there is `room` for. Backing
/// files are refused, unless a test allows them before the pool starts; then it is the kernel's
/// table of them. Any thread, where backing files are concerned.
class FakePort final : public proto::KernelPort {
 public:
  struct Registered {
    std::uint64_t ino = 0;
    /// The registering thread's.
    std::uint32_t fsuid = 0;
    bool keeps_set_ids = false;
  };

  proto::Result<std::int32_t> open_backing(int fd) override {
    if (!takes_backing_files) return proto::Errno{EPERM};
    struct stat file {};
    if (::fstat(fd, &file) != 0) return proto::Errno{EBADF};
    const std::lock_guard lock(mutex_);
    if (++attempts_ == fail_at || fail_all) return proto::Errno{backing_error};
    registered_[++last_] = {file.st_ino, static_cast<std::uint32_t>(::setfsuid(~uid_t{0})),
                            has_capability(CAP_FSETID)};
    return last_;
  }
  void close_backing(std::int32_t id) noexcept override {
    const std::lock_guard lock(mutex_);
    if (registered_.erase(id) != 1) ++wrong_closes_;
  }
  bool notify(proto::Notification notification) override {
    const std::lock_guard lock(mutex_);
    if (notifications.size() >= room) return false;
    notifications.push_back(std::move(notification));
    return true;
  }
  /// So far; while other threads may notify.
  [[nodiscard]] std::vector<proto::Notification> notified() const {
    const std::lock_guard lock(mutex_);
    return notifications;
  }
  bool wait_told(std::chrono::milliseconds) override { return true; }
  void resume(std::uint64_t until) noexcept override {
    {
      const std::lock_guard lock(mutex_);
      resumed_.insert(until);
    }
    resumed_one_.notify_all();
  }
  /// Whether the requests that were put off until then are resumed in time.
  [[nodiscard]] bool wait_resumed(std::uint64_t until) {
    std::unique_lock lock(mutex_);
    return resumed_one_.wait_for(lock, std::chrono::seconds(20),
                                 [&] { return resumed_.contains(until); });
  }
  [[nodiscard]] bool interrupted(proto::Unique) const noexcept override { return is_interrupted; }

  /// What an id stands for; an inode number of 0: it is not registered.
  [[nodiscard]] Registered registered(std::int32_t id) const {
    const std::lock_guard lock(mutex_);
    const auto found = registered_.find(id);
    return found == registered_.end() ? Registered{} : found->second;
  }
  [[nodiscard]] std::size_t registered_count() const {
    const std::lock_guard lock(mutex_);
    return registered_.size();
  }
  /// Registered so far, and in vain.
  [[nodiscard]] std::int32_t last_id() const {
    const std::lock_guard lock(mutex_);
    return last_;
  }
  [[nodiscard]] std::uint64_t wrong_closes() const {
    const std::lock_guard lock(mutex_);
    return wrong_closes_;
  }

  std::vector<proto::Notification> notifications;
  std::size_t room = SIZE_MAX;
  bool takes_backing_files = false;
  /// The attempt that fails with `backing_error`; 0: none. Attempts with no descriptor do not
  /// count.
  std::uint64_t fail_at = 0;
  bool fail_all = false;
  int backing_error = ELOOP;
  std::atomic<bool> is_interrupted{false};

 private:
  /// In the effective set of the calling thread.
  static bool has_capability(unsigned bit) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
    return ::syscall(SYS_capget, &header, sets.data()) == 0 && (sets[0].effective >> bit & 1U) != 0;
  }

  mutable std::mutex mutex_;
  std::condition_variable resumed_one_;
  std::set<std::uint64_t> resumed_;
  std::map<std::int32_t, Registered> registered_;
  std::int32_t last_ = 0;
  std::uint64_t attempts_ = 0;
  std::uint64_t wrong_closes_ = 0;
};

/// Linux's rules for the open files of an inode (fs/fuse/iomode.c), to be asked as the kernel asks
/// them: when the answer to an open is in, and when the last user of a file has gone. Any thread.
class IoModes {
 public:
  explicit IoModes(const FakePort& port) : port_(port) {}

  enum class Mode : std::uint8_t { kRefused, kNone, kCached, kPassed };

  /// kRefused: open(2) would fail with EIO. `maps`: a file of direct I/O is mapped shared at once.
  [[nodiscard]] Mode open(proto::NodeId node, std::uint32_t flags, std::int32_t id,
                          bool maps = false) {
    namespace reply = proto::abi::open_reply;
    constexpr std::uint32_t kBesidePassthrough =
        reply::kPassthrough | reply::kDirectIo | reply::kParallelDirectWrites | reply::kNoflush;
    const std::lock_guard lock(mutex_);
    Inode& inode = inodes_[node.value];
    if ((flags & reply::kPassthrough) != 0) {
      if ((flags & ~kBesidePassthrough) != 0 || port_.registered(id).ino == 0 ||
          inode.cached != 0 || (inode.id != 0 && inode.id != id))
        return refuse();
      inode.id = id;
      ++inode.passed;
      return Mode::kPassed;
    }
    if (inode.id != 0) return refuse();
    if ((flags & reply::kDirectIo) != 0 && !maps) return Mode::kNone;
    ++inode.cached;
    return Mode::kCached;
  }
  void close(proto::NodeId node, Mode mode) {
    const std::lock_guard lock(mutex_);
    Inode& inode = inodes_[node.value];
    if (mode == Mode::kCached) --inode.cached;
    if (mode == Mode::kPassed && --inode.passed == 0) inode.id = 0;
  }
  [[nodiscard]] std::uint64_t refused() const {
    const std::lock_guard lock(mutex_);
    return refused_;
  }

 private:
  struct Inode {
    int cached = 0;
    int passed = 0;
    std::int32_t id = 0;
  };
  Mode refuse() {
    ++refused_;
    return Mode::kRefused;
  }

  const FakePort& port_;
  mutable std::mutex mutex_;
  std::map<std::uint64_t, Inode> inodes_;
  std::uint64_t refused_ = 0;
};

}  // namespace bough::test
