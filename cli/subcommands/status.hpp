#pragma once

#include <string>

#include "cli/exit_status.hpp"
#include "cli/mountinfo.hpp"

namespace bough::cli {

/// boughfs status MOUNT [--json]: what is mounted there, from what the kernel knows. Waits for no
/// server, so that it tells about a pool that hangs too. argv[0] is "status".
[[nodiscard]] ExitStatus status_command(int argc, char* const argv[]);

struct PoolStatus {
  MountInfo mount;
  /// Requests that the pool has not answered yet; negative: this user may not know.
  long waiting = -1;
};

/// For people; every line is "name: value".
[[nodiscard]] std::string status_text(const PoolStatus& status);
/// One object with "schema": "boughfs.status/1". Fields may be added under this name; a field that
/// goes away or changes its meaning makes it /2. Text that is no UTF-8 is shown byte by byte as
/// U+00XX.
[[nodiscard]] std::string status_json(const PoolStatus& status);

}  // namespace bough::cli
