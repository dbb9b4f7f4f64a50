#include "cli/copies.hpp"

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "session/fd.hpp"

namespace bough::cli {
namespace {

using session::Fd;

constexpr mode_t kPermissions = 07777;

std::string trouble(const std::string& path, const char* what) {
  return path + ": " + what + ": " + std::strerror(errno);
}

bool same_time(const timespec& left, const timespec& right) {
  return left.tv_sec == right.tv_sec && left.tv_nsec == right.tv_nsec;
}

bool same_file(const struct stat& left, const struct stat& right) {
  return left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}

bool unchanged(const struct stat& before, const struct stat& now) {
  return same_file(before, now) && before.st_size == now.st_size &&
         same_time(before.st_mtim, now.st_mtim) && same_time(before.st_ctim, now.st_ctim);
}

/// Calls a getting system call (char*, size) until its answer fits; false: errno says why not.
template <class Call>
bool read_all(Call call, std::string& into) {
  for (into.resize(4096);; into.resize(2 * into.size())) {
    const ssize_t got = call(into.data(), into.size());
    if (got < 0 && errno == ERANGE) continue;
    if (got >= 0) into.resize(static_cast<std::size_t>(got));
    return got >= 0;
  }
}

std::vector<std::string> split_at_zero(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const auto end = std::min(text.find('\0'), text.size());
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

bool write_all(int to, const char* data, std::size_t size, off_t at) {
  while (size > 0) {
    const ssize_t done = ::pwrite(to, data, size, at);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return false;
    data += done;
    at += done;
    size -= static_cast<std::size_t>(done);
  }
  return true;
}

/// As many bytes as `into` holds, or the file has behind `at`; negative: errno.
ssize_t read_fully(int from, std::vector<char>& into, off_t at) {
  std::size_t got = 0;
  while (got < into.size()) {
    const ssize_t more =
        ::pread(from, into.data() + got, into.size() - got, at + static_cast<off_t>(got));
    if (more < 0 && errno == EINTR) continue;
    if (more < 0) return more;
    if (more == 0) break;
    got += static_cast<std::size_t>(more);
  }
  return static_cast<ssize_t>(got);
}

/// The bytes of [at, end), which are data.
bool copy_range(int from, int to, off_t at, off_t end, std::vector<char>& buffer) {
  while (at < end) {
    const auto most = std::min<off_t>(end - at, static_cast<off_t>(buffer.size()));
    const ssize_t got = ::pread(from, buffer.data(), static_cast<std::size_t>(most), at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    if (got == 0) break;
    if (!write_all(to, buffer.data(), static_cast<std::size_t>(got), at)) return false;
    at += got;
  }
  return true;
}

bool copy_data(int from, int to, off_t size) {
  std::vector<char> buffer(std::size_t{1} << 20);
  if (::ftruncate(to, size) != 0) return false;
  for (off_t at = 0; at < size;) {
    const off_t begin = ::lseek(from, at, SEEK_DATA);
    if (begin < 0) return errno == ENXIO;
    const off_t hole = ::lseek(from, begin, SEEK_HOLE);
    if (hole < 0 || !copy_range(from, to, begin, std::min(hole, size), buffer)) return false;
    at = hole;
  }
  return true;
}

bool copy_xattrs(int from, int to) {
  std::string names;
  if (!read_all([&](char* at, std::size_t size) { return ::flistxattr(from, at, size); }, names))
    return errno == EOPNOTSUPP;
  for (const std::string& name : split_at_zero(names)) {
    std::string value;
    const auto ask = [&](char* at, std::size_t size) {
      return ::fgetxattr(from, name.c_str(), at, size);
    };
    if (!read_all(ask, value) || ::fsetxattr(to, name.c_str(), value.data(), value.size(), 0) != 0)
      return false;
  }
  return true;
}

bool copy_everything(int from, int to, const struct stat& info) {
  const timespec times[] = {info.st_atim, info.st_mtim};
  return copy_data(from, to, info.st_size) && ::fchown(to, info.st_uid, info.st_gid) == 0 &&
         copy_xattrs(from, to) && ::fchmod(to, info.st_mode & kPermissions) == 0 &&
         ::futimens(to, times) == 0 && ::fsync(to) == 0;
}

bool still_as_seen(const Copy& copy) {
  struct stat now = {};
  return ::lstat(copy.path.c_str(), &now) == 0 && unchanged(copy.info, now);
}

}  // namespace

std::vector<Copy> looked_at_again(const std::vector<Copy>& copies) {
  std::vector<Copy> now;
  for (const Copy& each : copies) {
    Copy copy{each.branch, each.path, {}};
    if (::lstat(copy.path.c_str(), &copy.info) == 0) now.push_back(std::move(copy));
  }
  return now;
}

std::vector<Copy> copies_of(const std::vector<std::string>& branches, const std::string& relative,
                            const std::function<void(const std::string& path, int error)>& unseen) {
  std::vector<Copy> copies;
  for (const std::string& branch : branches) {
    Copy copy{branch, relative.empty() ? branch : branch + "/" + relative, {}};
    if (::lstat(copy.path.c_str(), &copy.info) == 0)
      copies.push_back(std::move(copy));
    else if (errno != ENOENT && errno != ENOTDIR)
      unseen(copy.path, errno);
  }
  return copies;
}

bool same_type(const Copy& left, const Copy& right) {
  return (left.info.st_mode & S_IFMT) == (right.info.st_mode & S_IFMT);
}

bool same_owner_and_mode(const Copy& left, const Copy& right) {
  return left.info.st_mode == right.info.st_mode && left.info.st_uid == right.info.st_uid &&
         left.info.st_gid == right.info.st_gid;
}

bool same_content(const Copy& left, const Copy& right) {
  if (left.info.st_size != right.info.st_size) return false;
  const Fd one(::open(left.path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  const Fd other(::open(right.path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!one || !other) return false;
  constexpr std::size_t kPart = std::size_t{1} << 20;
  std::vector<char> mine(kPart);
  std::vector<char> theirs(kPart);
  for (off_t at = 0; at < left.info.st_size;) {
    const ssize_t got = read_fully(one.get(), mine, at);
    if (got <= 0 || read_fully(other.get(), theirs, at) != got) return false;
    if (!std::equal(mine.begin(), mine.begin() + got, theirs.begin())) return false;
    at += got;
  }
  return true;
}

bool differ(const std::vector<Copy>& copies, bool in_size) {
  return std::any_of(copies.begin(), copies.end(), [&](const Copy& each) {
    const struct stat& first = copies.front().info;
    const bool sizes = in_size && S_ISREG(first.st_mode) && S_ISREG(each.info.st_mode);
    return !same_owner_and_mode(each, copies.front()) ||
           (sizes && each.info.st_size != first.st_size);
  });
}

std::string take_owner_and_mode(const Copy& from, const Copy& to) {
  const Fd file(::open(to.path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!file) return trouble(to.path, "cannot be opened");
  struct stat now = {};
  if (::fstat(file.get(), &now) != 0 || !same_file(now, to.info))
    return to.path + ": is another file by now";
  // A change of the owner takes set-id bits away, so that it comes first.
  const std::string by_descriptor = "/proc/self/fd/" + std::to_string(file.get());
  if (::fchownat(file.get(), "", from.info.st_uid, from.info.st_gid, AT_EMPTY_PATH) != 0)
    return trouble(to.path, "the owner cannot be changed");
  if (!S_ISLNK(now.st_mode) &&
      ::chmod(by_descriptor.c_str(), from.info.st_mode & kPermissions) != 0)
    return trouble(to.path, "the permissions cannot be changed");
  return {};
}

std::string take_content(const Copy& from, const Copy& to) {
  if (same_file(from.info, to.info)) return {};
  if (to.info.st_nlink > 1)
    return to.path + ": has other names, which would keep the old content: left alone";
  const Fd source(::open(from.path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!source) return trouble(from.path, "cannot be opened");
  std::string beside = to.path.substr(0, to.path.rfind('/') + 1) + ".boughfs-fsck-XXXXXX";
  const Fd target(::mkostemp(beside.data(), O_CLOEXEC));
  if (!target) return trouble(beside, "cannot be made");
  std::string wrong;
  if (!copy_everything(source.get(), target.get(), from.info))
    wrong = trouble(to.path, "cannot be written anew");
  else if (!still_as_seen(from) || !still_as_seen(to))
    wrong = to.path + ": one of the copies changed meanwhile: left alone";
  else if (::rename(beside.c_str(), to.path.c_str()) != 0)
    wrong = trouble(to.path, "cannot be replaced");
  if (!wrong.empty()) ::unlink(beside.c_str());
  return wrong;
}

std::string type_text(mode_t mode) {
  if (S_ISREG(mode)) return "regular";
  if (S_ISDIR(mode)) return "directory";
  if (S_ISLNK(mode)) return "link";
  if (S_ISFIFO(mode)) return "fifo";
  if (S_ISSOCK(mode)) return "socket";
  return S_ISBLK(mode) ? "block" : "character";
}

}  // namespace bough::cli
