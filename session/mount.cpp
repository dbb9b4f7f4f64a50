#include "session/mount.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "session/fusermount.hpp"
#include "session/mount_table.hpp"

namespace bough::session {
namespace {

constexpr const char* kDevice = "/dev/fuse";

constexpr std::string_view kFuse = "fuse.";

std::string type_of(const MountOptions& options) {
  return std::string(kFuse) + options.subtype;
}

/// Whether mount(2) may be asked: root, root of a user namespace, or anybody who was given the
/// right.
bool may_mount() noexcept {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (::syscall(SYS_capget, &header, data) != 0) return ::geteuid() == 0;
  return (data[0].effective & (1U << CAP_SYS_ADMIN)) != 0;
}

/// N of "/dev/fd/N".
std::optional<int> given_descriptor(std::string_view target) {
  constexpr std::string_view prefix = "/dev/fd/";
  if (target.substr(0, prefix.size()) != prefix) return std::nullopt;
  const std::string_view digits = target.substr(prefix.size());
  int fd = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), fd);
  if (error != std::errc{} || end != digits.data() + digits.size() || fd < 0) return std::nullopt;
  return fd;
}

std::string resolve(const std::string& path) {
  std::array<char, PATH_MAX> out{};
  if (::realpath(path.c_str(), out.data()) == nullptr) return {};
  return out.data();
}

/// The absolute path of something that cannot be looked at itself: its parent's, and its name.
std::string resolve_by_parent(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const std::size_t slash = path.rfind('/');
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (name.empty() || name == "." || name == "..") return {};
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  std::string resolved = resolve(parent);
  if (resolved.empty()) return {};
  if (resolved.back() != '/') resolved += '/';
  return resolved + name;
}

/// A pool whose daemon died stands at `target` and makes every look at it fail.
void clear_dead_mount(const std::string& target) {
  const std::string path = resolve_by_parent(target);
  const auto entry = path.empty() ? std::nullopt : mount_at(path);
  if (!entry || !is_pool_type(entry->type))
    throw MountError("mount point " + target + " holds a dead mount of type " +
                     (entry ? entry->type : "unknown") + ": unmount it first (umount -l " + target +
                     ')');
  if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) return;
  const Fusermount helper = Fusermount::find();
  if (helper.exists() && helper.unmount(path)) return;
  throw MountError("cannot clear the dead pool at " + target + ": " + std::strerror(errno) +
                   "; try umount -l " + target + " as root");
}

/// Whether a pool stands at `path`, and if so refuses, unless its daemon died. stat(2) may answer
/// from the kernel's cache, statfs(2) never does.
bool dead_pool_at(const std::string& path) {
  const auto entry = mount_at(path);
  if (!entry || !is_pool_type(entry->type)) return false;
  struct statfs ignored {};
  if (::statfs(path.c_str(), &ignored) != 0 && (errno == ENOTCONN || errno == ECONNABORTED))
    return true;
  throw MountError("mount point " + path + " has a pool already (" + entry->source +
                   "): unmount it first, with umount " + path);
}

/// 0, or the errno of a look at `target`; ENOTCONN where a dead pool stands.
int look_at(const std::string& target, struct stat& into) {
  if (::stat(target.c_str(), &into) != 0) return errno == ECONNABORTED ? ENOTCONN : errno;
  const std::string path = resolve(target);
  return !path.empty() && dead_pool_at(path) ? ENOTCONN : 0;
}

/// The directory to mount on, absolute and free of symbolic links.
std::string prepare_target(const std::string& target) {
  constexpr int kMostDead = 16;
  struct stat info {};
  int error = look_at(target, info);
  for (int cleared = 0; error == ENOTCONN && cleared < kMostDead; ++cleared) {
    clear_dead_mount(target);
    error = look_at(target, info);
  }
  if (error == ENOENT)
    throw MountError("mount point " + target + " does not exist: create it with mkdir");
  if (error != 0) throw MountError("mount point " + target + ": " + std::strerror(error));
  if (!S_ISDIR(info.st_mode))
    throw MountError("mount point " + target + " is not a directory: name a directory");
  std::string resolved = resolve(target);
  if (resolved.empty()) throw MountError("mount point " + target + ": " + std::strerror(errno));
  return resolved;
}

/// Of daemons that start on one mount point at once, the second looks at it when the first has
/// mounted. The lock is the parent directory's, since the mount point itself may be a dead pool;
/// where it cannot be had, or somebody else keeps it, the mount goes on without.
Fd hold_place(const std::string& target) {
  constexpr int kTries = 100;
  constexpr timespec kPause{0, 20'000'000};
  const std::string path = resolve_by_parent(target);
  if (path.empty()) return {};
  const std::string parent = path.substr(0, path.rfind('/') + 1);
  Fd directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return directory;
  for (int i = 0; i < kTries && ::flock(directory.get(), LOCK_EX | LOCK_NB) != 0; ++i)
    ::nanosleep(&kPause, nullptr);
  return directory;
}

void detach(const std::string& target) {
  const std::string path = resolve_by_parent(target);
  if (path.empty() || !mount_at(path)) return;
  if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) return;
  const int error = errno;
  const Fusermount helper = Fusermount::find();
  if (helper.exists() && helper.unmount(path)) return;
  throw MountError("cannot detach what is mounted on " + target + ": " + std::strerror(error));
}

constexpr const char* kDeviceRemedy =
    "the mode of /dev/fuse has to let this user read and write it (chmod 666 /dev/fuse)";

[[noreturn]] void device_error(int error) {
  if (error == ENOENT || error == ENODEV || error == ENXIO)
    throw MountError("/dev/fuse is missing: load the kernel module with modprobe fuse");
  throw MountError(std::string("cannot open /dev/fuse: ") + std::strerror(error) + "; " +
                   kDeviceRemedy);
}

/// mount(2) cuts what is longer than a page short without a word. Our own options (fd=, user_id=,
/// …) take less than what is left of it.
constexpr std::size_t kMostExtra = 3900;

void check_length(const std::vector<std::string>& extra) {
  std::size_t all = 0;
  const std::string* longest = nullptr;
  for (const std::string& each : extra) {
    all += each.size() + 1;
    if (longest == nullptr || each.size() > longest->size()) longest = &each;
  }
  if (all <= kMostExtra) return;
  throw MountError("-o " + longest->substr(0, longest->find('=')) + "=… is " +
                   std::to_string(longest->size()) + " bytes long: the kernel takes " +
                   std::to_string(kMostExtra) + " for all labels together, shorten it");
}

std::string kernel_options(const MountOptions& options) {
  std::string text;
  if (options.default_permissions) text += ",default_permissions";
  if (options.allow_other) text += ",allow_other";
  if (options.max_read != 0) text += ",max_read=" + std::to_string(options.max_read);
  for (const std::string& extra : options.extra) text += ',' + extra;
  return text;
}

Fd mount_by_syscall(const MountOptions& options, const std::string& target) {
  Fd device(::open(kDevice, O_RDWR | O_CLOEXEC));
  if (!device) device_error(errno);
  const std::string data = "fd=" + std::to_string(device.get()) +
                           ",rootmode=40000,user_id=" + std::to_string(::getuid()) +
                           ",group_id=" + std::to_string(::getgid()) + kernel_options(options);
  if (::mount(options.source.c_str(), target.c_str(), type_of(options).c_str(), options.flags,
              data.c_str()) == 0)
    return device;
  const int error = errno;
  if (error == ENODEV)
    throw MountError("the kernel has no FUSE: load the module with modprobe fuse");
  if (error == EPERM)
    throw MountError("mounting on " + target +
                     " is not permitted here: it takes CAP_SYS_ADMIN, and /dev/fuse opened in the "
                     "same user namespace");
  if (error == EINVAL)
    throw MountError("the kernel refuses the mount options (" + data + ") for " + target +
                     "; dmesg may name the wrong one");
  throw MountError("cannot mount on " + target + ": " + std::strerror(error));
}

/// A value inside fusermount3's comma-separated list.
std::string escape(std::string_view value) {
  std::string text;
  for (const char c : value) {
    if (c == ',' || c == '\\') text += '\\';
    text += c;
  }
  return text;
}

std::string helper_options(const MountOptions& options) {
  constexpr std::array<std::pair<unsigned long, const char*>, 8> names{{
      {MS_RDONLY, "ro"},
      {MS_NOSUID, "nosuid"},
      {MS_NODEV, "nodev"},
      {MS_NOEXEC, "noexec"},
      {MS_NOATIME, "noatime"},
      {MS_NODIRATIME, "nodiratime"},
      {MS_SYNCHRONOUS, "sync"},
      {MS_DIRSYNC, "dirsync"},
  }};
  std::string text = "fsname=" + escape(options.source) + ",subtype=" + escape(options.subtype);
  for (const auto& [flag, name] : names)
    if ((options.flags & flag) != 0) text += std::string(",") + name;
  return text + kernel_options(options);
}

Fd mount_by_helper(const MountOptions& options, const std::string& target) {
  const Fusermount helper = Fusermount::find();
  if (!helper.exists())
    throw MountError(
        "only root may mount by itself, and fusermount3 is missing: install the package fuse3");
  try {
    Fusermount::Outcome outcome = helper.mount(helper_options(options), target);
    if (outcome.device) return std::move(outcome.device);
    if (options.allow_other && outcome.complaint.find("user_allow_other") != std::string::npos)
      throw MountError(
          "allow_other is refused to ordinary users: add the line user_allow_other to "
          "/etc/fuse.conf");
    if (::access(kDevice, F_OK) != 0) device_error(errno);
    std::string complaint = outcome.complaint;
    for (char& c : complaint)
      if (c == '\n') c = ' ';
    if (::access(kDevice, R_OK | W_OK) != 0) complaint += std::string("; ") + kDeviceRemedy;
    throw MountError("cannot mount on " + target + ": " + complaint);
  } catch (const std::system_error& error) {
    throw MountError(std::string("cannot run fusermount3: ") + error.what());
  }
}

/// Of a connection that is gone, whether it was aborted: an unmounted one reads ENODEV. (Linux,
/// with ABORT_ERROR agreed: fuse_dev_do_read(), which wants room for the largest message before it
/// looks: 256 pages on the kernels whose mounts have no number for ever.)
bool was_aborted(int device) {
  constexpr std::size_t kPages = 256 + 1;
  std::vector<char> room(kPages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)));
  return ::read(device, room.data(), room.size()) < 0 && errno == ECONNABORTED;
}

/// A connection is numbered like the file system that it serves.
std::optional<dev_t> connection_number(int device) {
  const std::string path = "/proc/self/fdinfo/" + std::to_string(device);
  std::FILE* const info = std::fopen(path.c_str(), "re");
  if (info == nullptr) return std::nullopt;
  std::array<char, 256> line{};
  unsigned number = 0;
  while (number == 0 && std::fgets(line.data(), line.size(), info) != nullptr)
    if (std::sscanf(line.data(), "fuse_connection: %u", &number) != 1) number = 0;
  std::fclose(info);
  if (number == 0) return std::nullopt;
  return makedev(0, number);
}

}  // namespace

bool is_pool_type(std::string_view type) noexcept {
  if (!type.starts_with(kFuse)) return false;
  type.remove_prefix(kFuse.size());
  return std::find(kMountSubtypes.begin(), kMountSubtypes.end(), type) != kMountSubtypes.end();
}

Mount Mount::attach(const MountOptions& options) {
  if (const auto fd = given_descriptor(options.target)) {
    if (::fcntl(*fd, F_SETFD, FD_CLOEXEC) != 0)
      throw MountError(options.target +
                       " is no open descriptor: it has to be a mounted FUSE device");
    Mount mount(Fd(*fd), options.target, type_of(options), How::kNothing);
    mount.device_number_ = connection_number(*fd);
    return mount;
  }
  check_length(options.extra);
  const Fd place = hold_place(options.target);
  if (options.detach_first) detach(options.target);
  std::string target = prepare_target(options.target);
  const bool direct = may_mount();
  Fd device = direct ? mount_by_syscall(options, target) : mount_by_helper(options, target);
  const auto entry = mount_at(target);
  Mount mount(std::move(device), std::move(target), type_of(options),
              direct ? How::kSyscall : How::kHelper);
  if (entry) {
    mount.id_ = entry->id;
    mount.device_number_ = entry->device;
  }
  mount.unique_id_ = unique_mount_id(mount.target_);
  return mount;
}

bool Mount::in_place() const {
  if (unique_id_) return unique_mount_id(target_) == unique_id_;
  pollfd entry{device_.get(), POLLOUT, 0};
  const bool gone = ::poll(&entry, 1, 0) > 0 && (entry.revents & POLLERR) != 0;
  // If the mount went with the connection, its number in the table may be that of the next pool by
  // now.
  if (gone && !was_aborted(device_.get())) return false;
  const auto now = mount_at(target_);
  return now && now->type == type_ && now->id == id_;
}

void Mount::unmount() noexcept try {
  const How how = std::exchange(how_, How::kNothing);
  if (how == How::kNothing || !device_ || !in_place()) return;
  if (how == How::kSyscall) {
    ::umount2(target_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
    return;
  }
  const Fusermount helper = Fusermount::find();
  if (helper.exists()) helper.unmount(target_);
} catch (const std::exception&) {
  // Out of memory: the mount stays, dead, and the next one on this point clears it.
}

void Mount::write_back() const noexcept try {
  if (how_ == How::kNothing || !device_) return;
  const auto now = mount_at(target_);
  if (!now || now->id != id_) return;
  const pid_t child = ::fork();
  if (child == 0) {
    // Other threads may have held any lock: nothing but system calls from here on.
    if (::syscall(SYS_close_range, 0, ~0U, 0) != 0) {
      for (int fd = 0, most = static_cast<int>(::sysconf(_SC_OPEN_MAX)); fd < most; ++fd)
        ::close(fd);
    }
    const int root = ::open(target_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root >= 0) ::syscall(SYS_syncfs, root);
    ::_exit(0);
  }
  if (child < 0) return;
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
} catch (const std::exception&) {
  // Out of memory: what is dirty stays so until the mount is detached.
}

void Mount::abandon() noexcept {
  how_ = How::kNothing;
  device_.reset();
}

}  // namespace bough::session
