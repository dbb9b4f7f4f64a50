#include "cli/pool_of.hpp"

#include <cerrno>
#include <cstring>
#include <optional>

#include "cli/exit_status.hpp"
#include "session/mount.hpp"

namespace bough::cli {
MountInfo pool_of(const std::string& path) {
  std::optional<MountInfo> mount = mount_of(path);
  if (!mount) {
    throw StartError(ExitStatus::kNotAPool, path + " cannot be reached: " + std::strerror(errno));
  }
  if (!session::is_pool_type(mount->type)) {
    throw StartError(ExitStatus::kNotAPool, path + " is in no boughfs pool, but in " + mount->type +
                                                " at " + mount->mount_point);
  }
  return *std::move(mount);
}

}  // namespace bough::cli
