#include "ops/pool_memory.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "ops/fd.hpp"
#include "ops/planned_mounts.hpp"
#include "ops/text_of.hpp"

namespace bough::ops {
namespace {

constexpr std::uint64_t kZfs = 0x2fc12fc1;
constexpr std::uint64_t kBcachefs = 0xca451a4e;

/// How the line of a root begins that nothing tells from others.
constexpr std::string_view kPathAlone = "- /";

/// File systems whose f_fsid lies on the disk.
bool keeps_fsid(std::uint64_t type) noexcept {
  return type == EXT4_SUPER_MAGIC || type == BTRFS_SUPER_MAGIC || type == kZfs || type == kBcachefs;
}

/// Takes a number and the blank behind it.
template <class Number>
bool take(std::string_view& line, Number& into) {
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), into);
  if (error != std::errc{} || end == line.data() + line.size() || *end != ' ') return false;
  line.remove_prefix(static_cast<std::size_t>(end - line.data()) + 1);
  return true;
}

/// A path without line ends.
std::string escape(std::string_view path) {
  std::string text;
  for (const char c : path) {
    if (c == '\n')
      text += "\\n";
    else if (c == '\\')
      text += "\\\\";
    else
      text += c;
  }
  return text;
}

std::string unescape(std::string_view text) {
  std::string path;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escaped = text[i] == '\\' && i + 1 < text.size();
    if (escaped) ++i;
    path += escaped && text[i] == 'n' ? '\n' : text[i];
  }
  return path;
}

/// Those that are missing, for nobody else to write to: a daemon has no umask.
void make_directories(const std::filesystem::path& path) {
  if (path.empty() || path == path.root_path()) return;
  if (::mkdir(path.c_str(), S_IRWXU) == 0 || errno != ENOENT) return;
  make_directories(path.parent_path());
  (void)::mkdir(path.c_str(), S_IRWXU);
}

/// All of it or nothing. errno says why not.
bool write(const std::string& file, const std::string& text) {
  make_directories(std::filesystem::path(file).parent_path());
  const std::string beside = file + ".new";
  const Fd out(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!out) return false;
  for (std::string_view left = text; !left.empty();) {
    const ssize_t done = ::write(out.get(), left.data(), left.size());
    if (done < 0 && errno != EINTR) return false;
    if (done > 0) left.remove_prefix(static_cast<std::size_t>(done));
  }
  // Else a crash may leave an empty file under the old name.
  return ::fsync(out.get()) == 0 && std::rename(beside.c_str(), file.c_str()) == 0;
}

/// No pool was mounted here yet, or not by this user. Whether its memory can be kept, save() tells.
bool is_nowhere(const std::string& file) {
  struct ::stat ignored = {};
  return ::lstat(file.c_str(), &ignored) != 0 &&
         (errno == ENOENT || errno == ENOTDIR || errno == EACCES);
}

}  // namespace

RootMark root_mark(const FileStat& stat, const FsStat& fs) noexcept {
  return {fs.type, fs.fsid, stat.id.ino, stat.id.birth_ns};
}

bool can_be_told_again(const RootMark& mark) noexcept {
  if (keeps_fsid(mark.type)) return mark.fsid != 0;
  return mark.birth_ns != 0 && (mark.type == XFS_SUPER_MAGIC || mark.type == F2FS_SUPER_MAGIC);
}

bool is_same_root(const RootMark& one, const RootMark& other) noexcept {
  if (one.type != other.type) return false;
  if (keeps_fsid(one.type)) return one.fsid == other.fsid;
  return one.ino == other.ino && one.birth_ns == other.birth_ns;
}

RootMarks parse_root_marks(std::string_view text) {
  RootMarks marks;
  while (!text.empty()) {
    const auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    RootMark mark;
    if (line.starts_with(kPathAlone)) {
      marks[unescape(line.substr(kPathAlone.size() - 1))] = mark;
      continue;
    }
    if (take(line, mark.type) && take(line, mark.fsid) && take(line, mark.ino) &&
        take(line, mark.birth_ns) && line.starts_with('/'))
      marks[unescape(line)] = mark;
  }
  return marks;
}

std::string root_marks_text(const RootMarks& marks) {
  std::string text;
  for (const auto& [path, mark] : marks) {
    if (mark.type == 0) {
      text += std::string(kPathAlone.substr(0, kPathAlone.size() - 1)) + escape(path) + '\n';
      continue;
    }
    text += std::to_string(mark.type) + ' ' + std::to_string(mark.fsid) + ' ' +
            std::to_string(mark.ino) + ' ' + std::to_string(mark.birth_ns) + ' ' + escape(path) +
            '\n';
  }
  return text;
}

PoolMemory::PoolMemory(std::string file) : file_(std::move(file)) {
  if (file_.empty()) return;
  marks_ = parse_root_marks(text_of(file_, unread_));
  if (unread_ != 0 && is_nowhere(file_)) unread_ = 0;
}

bool PoolMemory::is_another(const std::string& path, const RootMark& now) const {
  const std::lock_guard lock(mutex_);
  const auto was = marks_.find(path);
  return was != marks_.end() && was->second.type != 0 && !is_same_root(was->second, now);
}

bool PoolMemory::holds(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  return marks_.contains(path);
}

std::vector<std::string> PoolMemory::meant_by(const std::string& pattern) const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> meant;
  for (const auto& [path, mark] : marks_)
    if (is_meant(pattern, path)) meant.push_back(path);
  return meant;
}

void PoolMemory::forget(const std::string& path) {
  const std::lock_guard lock(mutex_);
  changed_ = marks_.erase(path) != 0 || changed_;
}

void PoolMemory::uses(const std::string& path, const RootMark& now, bool shared_disk) {
  const std::lock_guard lock(mutex_);
  if (shared_disk || now.type == TMPFS_MAGIC || now.type == RAMFS_MAGIC) {
    changed_ = marks_.erase(path) != 0 || changed_;
    return;
  }
  const RootMark mark = can_be_told_again(now) ? now : RootMark{};
  const auto was = marks_.find(path);
  if (was != marks_.end() && is_same_root(was->second, mark)) return;
  marks_[path] = mark;
  changed_ = true;
}

bool PoolMemory::save() {
  const std::lock_guard lock(mutex_);
  if (!changed_ || file_.empty()) return true;
  changed_ = !write(file_, root_marks_text(marks_));
  return !changed_ || std::exchange(told_, true);
}

}  // namespace bough::ops
