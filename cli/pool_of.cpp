#include "cli/pool_of.hpp"

#include <cerrno>
#include <cstring>
#include <optional>

#include "cli/exit_status.hpp"

namespace bough::cli {
namespace {

constexpr const char* kPoolType = "fuse.boughfs";

}  // namespace

MountInfo pool_of(const std::string& path) {
  std::optional<MountInfo> mount = mount_of(path);
  if (!mount) {
    throw StartError(ExitStatus::kNotAPool, path + " cannot be reached: " + std::strerror(errno));
  }
  if (mount->type != kPoolType) {
    throw StartError(ExitStatus::kNotAPool, path + " is in no boughfs pool, but in " + mount->type +
                                                " at " + mount->mount_point);
  }
  return *std::move(mount);
}

}  // namespace bough::cli
