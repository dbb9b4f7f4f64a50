#include "cli/mountinfo.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <list>
#include <vector>

namespace bough::cli {
namespace {

namespace fs = std::filesystem;

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    const auto space = line.find(' ');
    words.push_back(line.substr(0, space));
    line.remove_prefix(space == std::string_view::npos ? line.size() : space + 1);
  }
  return words;
}

// The kernel writes space, tab, newline and backslash as \ooo.
std::string unescape(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

template <class Number>
bool read_number(std::string_view text, Number& into) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
  return error == std::errc{} && end == text.data() + text.size();
}

std::optional<std::uint64_t> mount_id_of(int fd) {
  std::ifstream fdinfo("/proc/self/fdinfo/" + std::to_string(fd));
  constexpr std::string_view kKey = "mnt_id:";
  for (std::string line; std::getline(fdinfo, line);) {
    if (!line.starts_with(kKey)) continue;
    const auto digits = line.find_first_of("0123456789");
    std::uint64_t id = 0;
    if (digits != std::string::npos && read_number(std::string_view(line).substr(digits), id)) {
      return id;
    }
  }
  return std::nullopt;
}

/// The topmost mount at exactly this path. Later lines are mounted over earlier ones.
const MountInfo* mount_at(const std::vector<MountInfo>& mounts, const fs::path& place) {
  const auto found = std::find_if(mounts.rbegin(), mounts.rend(),
                                  [&](const MountInfo& each) { return each.mount_point == place; });
  return found == mounts.rend() ? nullptr : &*found;
}

/// The mount that `path` lies in, by its text alone.
const MountInfo* mount_above(const std::vector<MountInfo>& mounts, fs::path path) {
  for (;; path = path.parent_path()) {
    const MountInfo* const found = mount_at(mounts, path);
    if (found != nullptr || path == path.root_path()) return found;
  }
}

/// The mount of `path` if a FUSE mount is on the way to it, in or below which nothing is touched.
const MountInfo* beyond_fuse_mount(const std::vector<MountInfo>& mounts, const fs::path& path) {
  constexpr int kMostLinks = 40;
  fs::path place = "/";
  std::list<fs::path> rest(path.begin(), path.end());
  for (int links = 0; !rest.empty() && links <= kMostLinks;) {
    place = (place / rest.front()).lexically_normal();
    rest.pop_front();
    const MountInfo* const here = mount_at(mounts, place);
    if (here != nullptr && here->type.starts_with("fuse")) {
      for (const fs::path& part : rest) place /= part;
      return mount_above(mounts, place.lexically_normal());
    }
    std::error_code no_link;
    const fs::path target = fs::read_symlink(place, no_link);
    if (no_link) continue;
    ++links;
    place = place.parent_path();
    rest.insert(rest.begin(), target.begin(), target.end());
  }
  return nullptr;
}

}  // namespace

std::optional<MountInfo> parse_mountinfo(std::string_view line) {
  const auto words = words_of(line);
  // id parent major:minor root mount-point options [optional fields…] - type source super-options
  std::size_t separator = 6;
  while (separator < words.size() && words[separator] != "-") ++separator;
  if (separator + 3 >= words.size() || words[separator + 3].empty()) return std::nullopt;
  MountInfo info;
  const auto colon = words[2].find(':');
  if (colon == std::string_view::npos || !read_number(words[0], info.id) ||
      !read_number(words[2].substr(0, colon), info.device_major) ||
      !read_number(words[2].substr(colon + 1), info.device_minor)) {
    return std::nullopt;
  }
  info.root = unescape(words[3]);
  info.mount_point = unescape(words[4]);
  info.options = words[5];
  info.type = words[separator + 1];
  info.source = unescape(words[separator + 2]);
  info.super_options = words[separator + 3];
  return info;
}

std::vector<MountInfo> mount_table() {
  std::vector<MountInfo> mounts;
  std::ifstream mountinfo("/proc/self/mountinfo");
  for (std::string line; std::getline(mountinfo, line);)
    if (std::optional<MountInfo> info = parse_mountinfo(line)) mounts.push_back(*std::move(info));
  return mounts;
}

std::optional<MountInfo> mount_of(const std::string& path) {
  std::error_code failed;
  const fs::path absolute = fs::absolute(path, failed);
  if (failed) {
    errno = failed.value();
    return std::nullopt;
  }
  const std::vector<MountInfo> mounts = mount_table();
  if (const MountInfo* const pool = beyond_fuse_mount(mounts, absolute)) return *pool;
  const int fd = ::open(absolute.c_str(), O_PATH | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  const std::optional<std::uint64_t> id = mount_id_of(fd);
  ::close(fd);
  const auto found = std::find_if(mounts.begin(), mounts.end(),
                                  [&](const MountInfo& each) { return id && each.id == *id; });
  if (found != mounts.end()) return *found;
  errno = ENOENT;
  return std::nullopt;
}

}  // namespace bough::cli
