#include "ops/mounts.hpp"

#include <cerrno>
#include <fstream>
#include <sstream>

namespace bough::ops {
namespace {

bool has_flag(const std::string& flags, const std::string& flag) {
  return ("," + flags + ",").find("," + flag + ",") != std::string::npos;
}

}  // namespace

/// A line is "ID PARENT MAJOR:MINOR ROOT PLACE FLAGS [TAG…] - TYPE SOURCE OPTIONS"; spaces in words
/// are written as \\040.
Result<Mount> find_mount(std::uint64_t id) {
  std::ifstream list("/proc/self/mountinfo");
  for (std::string line; std::getline(list, line);) {
    std::istringstream words(line);
    std::uint64_t listed = 0;
    Mount mount;
    std::string skipped;
    std::string flags;
    if (!(words >> listed) || listed != id) continue;
    words >> skipped >> mount.device_major >> skipped >> skipped >> skipped >> flags;
    while (words >> skipped && skipped != "-") continue;
    if (!(words >> mount.type)) return Errno{EIO};
    mount.read_only = has_flag(flags, "ro");
    mount.nosuid = has_flag(flags, "nosuid");
    mount.nodev = has_flag(flags, "nodev");
    mount.noexec = has_flag(flags, "noexec");
    return mount;
  }
  return Errno{ENOENT};
}

}  // namespace bough::ops
