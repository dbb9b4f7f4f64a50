#include "cli/control_rows.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "cli/help.hpp"
#include "cli/mountinfo.hpp"

namespace bough::cli {
namespace {

proto::Setting fact(std::string name, std::string value) {
  proto::Setting row;
  row.name = std::move(name);
  row.get = [value = std::move(value)] { return value; };
  return row;
}

}  // namespace

std::string place_of_pool(const std::string& mountpoint) {
  if (mountpoint.starts_with("/dev/fd/")) return mountpoint;
  std::error_code failed;
  std::filesystem::path place = std::filesystem::canonical(mountpoint, failed);
  // A dead pool stands there still.
  if (failed) place = std::filesystem::absolute(mountpoint, failed).lexically_normal();
  return failed ? mountpoint : place.string();
}

std::vector<proto::Setting> control_rows(const Configuration& config, const std::string& place) {
  const auto table = config.table.rows();
  std::vector<proto::Setting> rows(table.begin(), table.end());
  for (proto::Setting& row : rows)
    if (row.name == "mountpoint") row.get = [place] { return place; };
  rows.push_back(fact("version", std::string(version_number())));
  rows.push_back(fact("pid", std::to_string(::getpid())));
  return rows;
}

std::vector<std::string> places_of_mounted(const std::string& place) {
  const std::vector<MountInfo> mounts = mount_table();
  const auto own = std::find_if(mounts.rbegin(), mounts.rend(),
                                [&](const MountInfo& mount) { return mount.mount_point == place; });
  std::vector<std::string> places;
  if (own == mounts.rend()) return places;
  for (const MountInfo& mount : mounts)
    if (mount.device_major == own->device_major && mount.device_minor == own->device_minor)
      places.push_back(mount.mount_point);
  return places;
}

std::string mounted_inside(const std::string& place) {
  for (const MountInfo& mount : mount_table())
    if (mount.mount_point.size() > place.size() && mount.mount_point.starts_with(place + "/"))
      return mount.mount_point;
  return {};
}

}  // namespace bough::cli
