#pragma once

#include <string>

#include "cli/exit_status.hpp"
#include "cli/mountinfo.hpp"
#include "cli/pool_info.hpp"

namespace bough::cli {

/// boughfs status MOUNT [--json]: what is mounted there, from what the kernel knows, and what the
/// pool itself says if it answers within a few seconds; kSilent: it does not, kSystem: not to this
/// user. argv[0] is "status".
[[nodiscard]] ExitStatus status_command(int argc, char* const argv[]);

struct PoolStatus {
  MountInfo mount;
  /// Requests that the pool has not answered yet; negative: this user may not know.
  long waiting = -1;
};

/// What the pool says of itself, in lines behind those of status_text().
[[nodiscard]] std::string pool_text(const PoolInfo& info);
/// The same as fields of an object: a comma in front of each.
[[nodiscard]] std::string pool_json(const PoolInfo& info);

/// For people; every line is "name: value".
[[nodiscard]] std::string status_text(const PoolStatus& status);
/// One object with "schema": "boughfs.status/1". Fields may be added under this name; a field that
/// goes away or changes its meaning makes it /2. Text that is no UTF-8 is shown byte by byte as
/// U+00XX. `more`: further fields, as pool_json() makes them.
[[nodiscard]] std::string status_json(const PoolStatus& status, const std::string& more = {});

}  // namespace bough::cli
