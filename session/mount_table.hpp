#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace bough::session {

struct MountEntry {
  /// The kernel's number for the mount, not used again while it exists.
  std::string id;
  std::string type;
};

/// The topmost mount at exactly this path, from a text in the form of /proc/self/mountinfo; none if
/// nothing is mounted there.
[[nodiscard]] std::optional<MountEntry> mount_at(std::string_view mountinfo, std::string_view path);

/// The same for the mount table of this process. Touches no mount.
[[nodiscard]] std::optional<MountEntry> mount_at(std::string_view path);

}  // namespace bough::session
