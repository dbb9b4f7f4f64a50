#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bough::session {

struct MountEntry {
  /// The kernel's number for the mount, not used again while it exists, but soon after.
  std::string id;
  std::string type;
  std::string source;
  /// st_dev of its files.
  dev_t device = 0;
};

/// The topmost mount at exactly this path, from a text in the form of /proc/self/mountinfo; none if
/// nothing is mounted there.
[[nodiscard]] std::optional<MountEntry> mount_at(std::string_view mountinfo, std::string_view path);

/// The same for the mount table of this process. Touches no mount.
[[nodiscard]] std::optional<MountEntry> mount_at(std::string_view path);

/// A number for the mount at exactly this path that no other mount ever has (statx(2),
/// STATX_MNT_ID_UNIQUE); none before Linux 6.8. Asks no file system.
[[nodiscard]] std::optional<std::uint64_t> unique_mount_id(const std::string& path);

}  // namespace bough::session
