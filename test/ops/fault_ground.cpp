#include "test/ops/fault_ground.hpp"

#include <sys/syscall.h>
#include <sys/xattr.h>

#include "ops/raw_dirents.hpp"

namespace bough::test {
namespace {

constexpr time_t kLongAgo = 1'000'000'000;
constexpr const char* kXattr = "user.ground";

void must(bool good, const std::string& what) {
  if (!good) throw std::runtime_error(what + ": " + std::strerror(errno));
}

std::string read_all(int dir, const char* name) {
  const ops::Fd fd(::openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC));
  std::array<char, 256> text;
  const ssize_t size = fd ? ::read(fd.get(), text.data(), text.size()) : -1;
  return size < 0 ? "(unreadable)" : std::string(text.data(), static_cast<std::size_t>(size));
}

/// The names of the xattrs that users set.
std::string xattrs_of(const std::string& path) {
  std::array<char, 1024> names;
  const ssize_t size = ::llistxattr(path.c_str(), names.data(), names.size());
  std::string all;
  for (ssize_t at = 0; at < size;) {
    const std::string_view name(&names[static_cast<std::size_t>(at)]);
    at += static_cast<ssize_t>(name.size()) + 1;
    if (name.starts_with("user.")) all.append(" ").append(name);
  }
  return all;
}

std::string when(time_t changed) {
  if (changed == kLongAgo) return " old";
  return changed > kLongAgo ? " new" : " at " + std::to_string(changed);
}

std::string octal(mode_t mode) {
  std::array<char, 16> text;
  std::snprintf(text.data(), text.size(), " %o", mode & 07777U);
  return text.data();
}

std::string describe(int dir, const char* name, const std::string& path, const struct stat& stat) {
  std::string what = octal(stat.st_mode) + " " + std::to_string(stat.st_uid) + ":" +
                     std::to_string(stat.st_gid) + xattrs_of(path);
  if (S_ISDIR(stat.st_mode)) return "d" + what;
  what += " links " + std::to_string(stat.st_nlink) + when(stat.st_mtim.tv_sec);
  if (S_ISREG(stat.st_mode))
    return "f" + what + " size " + std::to_string(stat.st_size) + " '" + read_all(dir, name) + "'";
  if (!S_ISLNK(stat.st_mode)) return "o" + what;
  std::array<char, 256> target;
  const ssize_t size = ::readlinkat(dir, name, target.data(), target.size());
  return "l" + what + " -> " + std::string(target.data(), static_cast<std::size_t>(size));
}

/// Calls `each` (void(int directory, const char* name)) for what lies in a directory.
template <class Each>
void for_names(int above, const char* name, Each each) {
  const ops::Fd fd(::openat(above, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  must(static_cast<bool>(fd), name);
  alignas(8) std::array<std::byte, 4096> buffer;
  for (;;) {
    const auto size = ::syscall(SYS_getdents64, fd.get(), buffer.data(), buffer.size());
    must(size >= 0, name);
    if (size == 0) return;
    ops::RawDirents records{std::span(buffer).first(static_cast<std::size_t>(size))};
    while (const auto entry = records.next())
      if (!ops::is_dot(entry->name)) each(fd.get(), entry->name.data());
  }
}

void look_into(int above, const char* name, const std::string& real, const std::string& shown,
               Tree& into) {
  for_names(above, name, [&](int dir, const char* each) {
    struct stat stat {};
    must(::fstatat(dir, each, &stat, AT_SYMLINK_NOFOLLOW) == 0, each);
    const std::string path = shown.empty() ? each : shown + "/" + each;
    const std::string full = real + "/" + each;
    into[path] = describe(dir, each, full, stat);
    if (S_ISDIR(stat.st_mode)) look_into(dir, each, full, path, into);
  });
}

void clear(int above, const char* name) {
  for_names(above, name, [](int dir, const char* each) {
    if (::unlinkat(dir, each, 0) == 0) return;
    clear(dir, each);
    must(::unlinkat(dir, each, AT_REMOVEDIR) == 0, each);
  });
}

}  // namespace

Ground::Ground(Layout layout) : plan_(layout == Layout::kSingle ? 1 : 3) {
  for (std::size_t i = 0; i < plan_.size(); ++i) {
    paths_.push_back(top_.path() / ("b" + std::to_string(i)));
    std::filesystem::create_directory(paths_.back());
    list_ += (i == 0 ? "" : ":") + paths_.back().string();
  }
  const auto common = [this](std::size_t on) {
    put(on, "d", 'd');
    put(on, "d/f", 'f');
    put(on, "d/e", 'd');
    put(on, "d/s", 'l', "f");
    put(on, "d/k", 'd');
  };
  switch (layout) {
    case Layout::kSingle:
      common(0);
      put(0, "d/k/x", 'f');
      put(0, "d/other", 'f');
      put(0, "p", 'd');
      put(0, "p/taken", 'f');
      put(0, "z", 'f');
      break;
    case Layout::kOne:
      put(0, "z", 'f');
      common(1);
      put(1, "d/k/x", 'f');
      put(2, "d", 'd');
      put(2, "d/other", 'f');
      put(2, "p", 'd');
      put(2, "p/taken", 'f');
      break;
    case Layout::kSeveral:
      for (const std::size_t i : {0U, 1U, 2U}) common(i);
      put(0, "z", 'f');
      put(1, "d/k/x", 'f');
      put(1, "d/other", 'f');
      put(1, "p", 'd');
      put(1, "p/taken", 'f');
      put(2, "p", 'd');
      put(2, "p/taken", 'f');
  }
  for (std::size_t i = 0; i < plan_.size(); ++i) rebuild(i);
  built_ = look();
}

void Ground::put(std::size_t branch, const std::string& path, char kind, std::string text) {
  if (kind == 'f') text = path + " of branch " + std::to_string(branch);
  plan_[branch].push_back(Item{path, kind, std::move(text)});
}

void Ground::restore(const Trees& seen) const {
  for (std::size_t i = 0; i < plan_.size(); ++i)
    if (seen[i] != built_[i]) rebuild(i);
}

void Ground::rebuild(std::size_t branch) const {
  const std::string top = paths_[branch].string();
  clear(AT_FDCWD, top.c_str());
  for (const Item& item : plan_[branch]) {
    const std::string path = top + "/" + item.path;
    if (item.kind == 'l') {
      must(::symlink(item.text.c_str(), path.c_str()) == 0, path);
    } else if (item.kind == 'd') {
      must(::mkdir(path.c_str(), 0755) == 0, path);
    } else {
      const ops::Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
      const ssize_t size = ::write(fd.get(), item.text.data(), item.text.size());
      must(size == static_cast<ssize_t>(item.text.size()), path);
    }
    // The two that the operations on attributes are about. Some file systems know no xattrs.
    if (item.path == "d/f" || item.path == "d/k")
      (void)::setxattr(path.c_str(), kXattr, &item.kind, 1, 0);
    if (item.path == "d/k") must(::chmod(path.c_str(), 0751) == 0, path);
    const std::array<timespec, 2> times{timespec{kLongAgo, 0}, timespec{kLongAgo, 0}};
    if (item.kind != 'd')
      must(::utimensat(AT_FDCWD, path.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) == 0, path);
  }
}

Trees Ground::look() const {
  Trees trees(plan_.size());
  for (std::size_t i = 0; i < plan_.size(); ++i)
    look_into(AT_FDCWD, paths_[i].c_str(), paths_[i].string(), "", trees[i]);
  return trees;
}

}  // namespace bough::test
