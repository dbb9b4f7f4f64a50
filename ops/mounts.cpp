#include "ops/mounts.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>
#include <system_error>

namespace bough::ops {
namespace {

namespace fs = std::filesystem;

bool has_flag(const std::string& flags, const std::string& flag) {
  return ("," + flags + ",").find("," + flag + ",") != std::string::npos;
}

/// Blanks and backslashes are written as \\ and three octal digits.
std::string unescaped(std::string_view text) {
  constexpr std::size_t kDigits = 3;
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || text.size() - i <= kDigits) {
      plain += text[i];
      continue;
    }
    unsigned value = 0;
    for (const char digit : text.substr(i + 1, kDigits))
      value = value * 8 + static_cast<unsigned>(digit - '0');
    plain += static_cast<char>(value);
    i += kDigits;
  }
  return plain;
}

/// A line is "ID PARENT MAJOR:MINOR ROOT POINT FLAGS [TAG…] - TYPE SOURCE OPTIONS".
bool read_line(const std::string& line, Mount& mount) {
  std::istringstream words(line);
  std::string word;
  std::string flags;
  char colon = 0;
  words >> mount.id >> word >> mount.device_major >> colon >> mount.device_minor >> mount.root >>
      mount.point >> flags;
  while (words >> word && word != "-") continue;
  if (!(words >> mount.type)) return false;
  mount.root = unescaped(mount.root);
  mount.point = unescaped(mount.point);
  mount.read_only = has_flag(flags, "ro");
  mount.nosuid = has_flag(flags, "nosuid");
  mount.nodev = has_flag(flags, "nodev");
  mount.noexec = has_flag(flags, "noexec");
  return true;
}

bool is_served_by_name(const fs::path& device) {
  constexpr auto kServed = std::to_array<std::string_view>({"loop", "nbd", "ublk"});
  const std::string name = device.filename().string();
  return std::any_of(kServed.begin(), kServed.end(),
                     [&](std::string_view kind) { return name.starts_with(kind); });
}

/// `levels`: a stack of more is not believed.
bool is_served(const fs::path& at, int levels) {
  std::error_code failed;
  const fs::path device = fs::canonical(at, failed);
  if (failed || levels == 0) return true;
  // A partition lies in the directory of its disk.
  const bool partition = fs::exists(device / "partition", failed);
  const fs::path disk = partition ? device.parent_path() : device;
  if (is_served_by_name(disk)) return true;
  failed.clear();
  fs::directory_iterator below(disk / "slaves", failed);
  for (; !failed && below != fs::directory_iterator(); below.increment(failed))
    if (is_served(below->path(), levels - 1)) return true;
  return failed && failed != std::errc::no_such_file_or_directory;
}

}  // namespace

Result<std::vector<Mount>> list_mounts() {
  std::vector<Mount> mounts;
  std::ifstream list("/proc/self/mountinfo");
  if (!list) return Errno{ENOENT};
  for (std::string line; std::getline(list, line);)
    if (!read_line(line, mounts.emplace_back())) return Errno{EIO};
  return mounts;
}

bool is_served_device(std::uint32_t major, std::uint32_t minor, const std::string& devices) {
  constexpr int kMostLevels = 16;
  return is_served(devices + "/" + std::to_string(major) + ":" + std::to_string(minor),
                   kMostLevels);
}

}  // namespace bough::ops
