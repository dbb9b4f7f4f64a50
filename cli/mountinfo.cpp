#include "cli/mountinfo.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <vector>

namespace bough::cli {
namespace {

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

int open_or_above(std::filesystem::path path) {
  for (;;) {
    const int fd = ::open(path.c_str(), O_PATH | O_CLOEXEC);
    if (fd >= 0 || (errno != ENOTCONN && errno != ECONNABORTED)) return fd;
    const std::filesystem::path above = path.parent_path();
    if (above == path || above.empty()) {
      errno = ENOTCONN;
      return -1;
    }
    path = above;
  }
}

}  // namespace

std::optional<MountInfo> parse_mountinfo(std::string_view line) {
  const auto words = words_of(line);
  // id parent major:minor root mount-point options [optional fields…] - type source super-options
  std::size_t separator = 6;
  while (separator < words.size() && words[separator] != "-") ++separator;
  if (separator + 3 >= words.size()) return std::nullopt;
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

std::optional<MountInfo> mount_of(const std::string& path) {
  std::error_code failed;
  const std::filesystem::path absolute = std::filesystem::absolute(path, failed);
  if (failed) {
    errno = failed.value();
    return std::nullopt;
  }
  const int fd = open_or_above(absolute);
  if (fd < 0) return std::nullopt;
  const std::optional<std::uint64_t> id = mount_id_of(fd);
  ::close(fd);
  std::ifstream mountinfo("/proc/self/mountinfo");
  for (std::string line; id && std::getline(mountinfo, line);) {
    std::optional<MountInfo> info = parse_mountinfo(line);
    if (info && info->id == *id) return info;
  }
  errno = ENOENT;
  return std::nullopt;
}

}  // namespace bough::cli
