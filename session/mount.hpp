#pragma once

#include <sys/mount.h>
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "session/fd.hpp"

namespace bough::session {

/// Why a pool could not be mounted: one line that names the thing and the remedy.
class MountError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// "fuse." plus one of these is the type that /proc/self/mountinfo shows for a pool: our own, and
/// that of mergerfs, by which tools made for it find their pools.
inline constexpr std::array<std::string_view, 2> kMountSubtypes{"boughfs", "mergerfs"};
/// Whether a mount of that type may be a pool of ours.
[[nodiscard]] bool is_pool_type(std::string_view type) noexcept;

struct MountOptions {
  /// A directory, or "/dev/fd/N": descriptor N is a FUSE device that somebody has already mounted.
  std::string target;
  /// What the mount table names as the source; any bytes.
  std::string source = "boughfs";
  /// One of kMountSubtypes.
  std::string subtype{kMountSubtypes.front()};
  /// MS_* flags of mount(2): MS_RDONLY, MS_NOEXEC, MS_NOATIME, MS_SYNCHRONOUS, MS_DIRSYNC, …
  unsigned long flags = MS_NOSUID | MS_NODEV;
  /// What is mounted on the target is detached first (MNT_DETACH); nothing is, that is fine.
  bool detach_first = false;
  bool allow_other = false;
  bool default_permissions = true;
  /// 0: no limit but the negotiated one.
  std::uint32_t max_read = 0;
  /// Further options for the kernel as they are ("context=…"); each without commas unless escaped.
  std::vector<std::string> extra;
};

/// One mounted pool: owns the device descriptor of the connection and the mount itself, which goes
/// away with the object. Not for use by two threads at once, except that unmount() may run beside
/// anything that only reads device().
class Mount {
 public:
  /// Mounts by mount(2) where the process may, else by fusermount3; clears a dead pool (ENOTCONN)
  /// from the mount point first. May be called before fork(): the child uses the object, the parent
  /// calls abandon(). Throws MountError; nothing is mounted then.
  [[nodiscard]] static Mount attach(const MountOptions& options);

  Mount(Mount&&) noexcept = default;
  Mount& operator=(Mount&&) = delete;
  ~Mount() { unmount(); }

  /// The descriptor of the connection, owned by this object.
  [[nodiscard]] int device() const noexcept { return device_.get(); }
  /// st_dev of the pool's files, found without asking the pool. Nothing for a mount made by
  /// somebody else if the kernel does not tell it of the device (before Linux 6.4).
  [[nodiscard]] std::optional<dev_t> device_number() const noexcept { return device_number_; }
  /// Absolute and free of symbolic links; the given string for a mount made by somebody else.
  [[nodiscard]] const std::string& target() const noexcept { return target_; }

  /// Detaches the mount (MNT_DETACH: users that are still inside keep the connection alive), also
  /// the dead one that an aborted connection leaves. Does nothing the second time, on a mount made
  /// by somebody else, or when the path names nothing or another one: this one is gone already, or
  /// hidden under the other, and stays there, dead.
  /// May wait for dirty pages to be written back, so workers have to be running.
  void unmount() noexcept;
  /// Brings dirty pages (of shared mappings) to the branches before the mount is detached: what is
  /// still dirty when the connection ends is lost. syncfs(2) itself never reaches us, its page
  /// writes do.
  ///
  /// Only a process without the device may ask the mount: a thread of ours that waits for an answer
  /// in the kernel would keep the connection, and with it every user of the mount, alive and
  /// unanswered after the workers are gone. So a child does it, and this waits for the child.
  /// Workers have to be running.
  void write_back() const noexcept;
  /// Closes the descriptor and leaves the mount alone: for the parent after a fork.
  void abandon() noexcept;

 private:
  enum class How : unsigned char { kNothing, kSyscall, kHelper };
  Mount(Fd device, std::string target, std::string type, How how) noexcept
      : device_(std::move(device)), target_(std::move(target)), type_(std::move(type)), how_(how) {}

  /// Whether the mount is still where it was made, with nothing mounted over it.
  [[nodiscard]] bool in_place() const;

  Fd device_;
  std::string target_;
  std::string type_;
  /// Of the mount table; numbers are used again.
  std::string id_;
  std::optional<std::uint64_t> unique_id_;
  std::optional<dev_t> device_number_;
  How how_ = How::kNothing;
};

}  // namespace bough::session
