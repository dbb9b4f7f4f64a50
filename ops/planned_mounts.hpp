#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bough::ops {

/// Where the system is told what is to be mounted, and what is. Other files for tests.
struct MountSources {
  std::string fstab = "/etc/fstab";
  /// In the order in which a unit of one name counts before another. What the last one has counts
  /// only where something wants or requires it: distributions ship units that nobody uses.
  std::vector<std::string> units{"/etc/systemd/system", "/run/systemd/system",
                                 "/run/systemd/generator", "/usr/lib/systemd/system"};
  std::string mountinfo = "/proc/self/mountinfo";
};

/// One mount point, and the file that says so.
struct PlannedMount {
  std::string path;
  std::string file;
  /// Only when somebody asks for it (`noauto`).
  bool on_demand = false;
};

/// A field of fstab(5) or mountinfo as it is meant: both write a blank as \040.
[[nodiscard]] std::string unescape_octal(std::string_view field);

/// The mount points in the text of an fstab(5), without swap and what has none; escapes undone,
/// without trailing slashes. `file` is left empty.
[[nodiscard]] std::vector<PlannedMount> mount_points_of_fstab(std::string_view text);

/// Where= of a systemd.mount(5) unit; empty if there is none.
[[nodiscard]] std::string mount_point_of_unit(std::string_view text);

/// The places in /proc/PID/mountinfo on which something is mounted; an automount point, where
/// nothing is before somebody looks, is none.
[[nodiscard]] std::vector<std::string> mounted_places(std::string_view mountinfo);

/// Whether `path` is `top` or lies below it. Both are absolute and plain.
[[nodiscard]] bool is_or_lies_in(std::string_view path, std::string_view top);

/// What is planned and not mounted now, with symbolic links resolved; but what lies in `closed`
/// (see resolve()). A file that cannot be read says nothing.
[[nodiscard]] std::vector<PlannedMount> missing_mounts(const MountSources& sources = {},
                                                       const std::vector<std::string>& closed = {});

/// Whether `pattern` (a path, or a pattern of glob(3)) means `path`.
[[nodiscard]] bool is_meant(const std::string& pattern, const std::string& path);

/// The directories that `pattern` (a path, or a pattern of glob(3)) would mean on the file systems
/// that are missing: "/mnt/disk*/media" means "/mnt/disk2/media" where /mnt/disk2 is. What follows
/// the mount point in the pattern must be plain; and a mount on demand must be named, not only
/// matched: what is seldom mounted may have nothing to do with the pool.
[[nodiscard]] std::vector<std::string> meant_on_missing(const std::string& pattern,
                                                        const std::vector<PlannedMount>& missing);

}  // namespace bough::ops
