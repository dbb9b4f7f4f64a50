#pragma once

#include <string>
#include <vector>

#include "cli/configuration.hpp"

namespace bough::cli {

/// The mount point as mount tables spell it. Before the mount: afterwards the pool itself would be
/// asked.
[[nodiscard]] std::string place_of_pool(const std::string& mountpoint);

/// What the control file of a pool at `place` serves, apart from what only the pool knows: every
/// row of the option table as it is in force, and what is no option (version, pid). Made by the
/// process that serves. `config` outlives the rows.
[[nodiscard]] std::vector<proto::Setting> control_rows(const Configuration& config,
                                                       const std::string& place);

/// Every mount point of the pool at `place`, bind mounts included; none if it is not known where it
/// is mounted.
[[nodiscard]] std::vector<std::string> places_of_mounted(const std::string& place);

/// A mount point inside the pool at `place`, as this process sees them; empty: there is none.
[[nodiscard]] std::string mounted_inside(const std::string& place);

}  // namespace bough::cli
