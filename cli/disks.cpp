#include "cli/disks.hpp"

#include <sys/sysmacros.h>

#include <filesystem>
#include <system_error>

namespace bough::cli {
namespace {

namespace fs = std::filesystem;

/// Layers upon layers; a loop of links ends.
constexpr int kDeepest = 16;

void add_disks(const fs::path& device, int depth, std::set<std::string>& into) {
  std::error_code failed;
  if (depth > kDeepest) return;
  if (fs::exists(device / "partition", failed))
    return add_disks(device.parent_path(), depth + 1, into);
  bool below = false;
  for (fs::directory_iterator at(device / "slaves", failed), end; !failed && at != end;
       at.increment(failed)) {
    below = true;
    std::error_code broken;
    const fs::path slave = fs::canonical(at->path(), broken);
    if (!broken) add_disks(slave, depth + 1, into);
  }
  if (!below) into.insert(device.filename());
}

}  // namespace

std::set<std::string> disks_below(dev_t device, const std::string& sys) {
  std::set<std::string> disks;
  std::error_code failed;
  const fs::path place =
      fs::canonical(fs::path(sys) / "dev" / "block" /
                        (std::to_string(major(device)) + ":" + std::to_string(minor(device))),
                    failed);
  if (!failed) add_disks(place, 0, disks);
  return disks;
}

}  // namespace bough::cli
