#include "session/mount_table.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cstdio>
#include <fstream>
#include <sstream>

namespace bough::session {
namespace {

/// mountinfo writes blank, tab, newline and backslash as three octal digits.
std::string unescape(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && text[i + 1] >= '0' && text[i + 1] <= '3') {
      plain += static_cast<char>(((text[i + 1] - '0') << 6) | ((text[i + 2] - '0') << 3) |
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

std::string_view next_field(std::string_view& line) {
  const std::size_t end = std::min(line.find(' '), line.size());
  const std::string_view field = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return field;
}

dev_t parse_device(const std::string& text) {
  unsigned major = 0;
  unsigned minor = 0;
  return std::sscanf(text.c_str(), "%u:%u", &major, &minor) == 2 ? makedev(major, minor) : 0;
}

}  // namespace

std::optional<MountEntry> mount_at(std::string_view mountinfo, std::string_view path) {
  std::optional<MountEntry> found;
  while (!mountinfo.empty()) {
    const std::size_t end = std::min(mountinfo.find('\n'), mountinfo.size());
    std::string_view line = mountinfo.substr(0, end);
    mountinfo.remove_prefix(std::min(end + 1, mountinfo.size()));
    // id, parent, device, root, mount point, options, optional fields up to "-", type, source, …
    const std::string_view id = next_field(line);
    next_field(line);
    const std::string device(next_field(line));
    next_field(line);
    if (unescape(next_field(line)) != path) continue;
    const std::size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    line.remove_prefix(dash + 3);
    // Later lines are mounted over earlier ones.
    const std::string_view type = next_field(line);
    found = MountEntry{std::string(id), std::string(type), unescape(next_field(line)),
                       parse_device(device)};
  }
  return found;
}

std::optional<MountEntry> mount_at(std::string_view path) {
  std::ifstream file("/proc/self/mountinfo");
  std::ostringstream text;
  text << file.rdbuf();
  return mount_at(text.str(), path);
}

std::optional<std::uint64_t> unique_mount_id(const std::string& path) {
  // Newer than the headers that we build beside.
  constexpr unsigned kMntIdUnique = 0x4000;
  constexpr int kFlags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
  struct statx told {};
  if (::statx(AT_FDCWD, path.c_str(), kFlags, kMntIdUnique, &told) != 0) return std::nullopt;
  if ((told.stx_mask & kMntIdUnique) == 0) return std::nullopt;
  return told.stx_mnt_id;
}

}  // namespace bough::session
