#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bough::cli {

/// One line of /proc/self/mountinfo, see proc_pid_mountinfo(5); octal escapes undone.
struct MountInfo {
  std::uint64_t id = 0;
  std::uint32_t device_major = 0;
  std::uint32_t device_minor = 0;
  std::string root;
  std::string mount_point;
  /// Of this mount: "rw,nosuid,nodev".
  std::string options;
  std::string type;
  std::string source;
  /// Of the file system: "rw,user_id=0,…".
  std::string super_options;
};

/// Empty when the line is malformed.
[[nodiscard]] std::optional<MountInfo> parse_mountinfo(std::string_view line);

/// What this process sees mounted, in the order mounted.
[[nodiscard]] std::vector<MountInfo> mount_table();

/// The mount that `path` lies in. The walk to the path ends at a FUSE mount, whose server may hang
/// or be gone; from there on the text of the path counts. Empty: there is no such path; errno says
/// why.
[[nodiscard]] std::optional<MountInfo> mount_of(const std::string& path);

}  // namespace bough::cli
