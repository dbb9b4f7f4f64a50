#pragma once

#include <string>

#include "cli/exit_status.hpp"
#include "cli/pool_info.hpp"

namespace bough::cli {

/// boughfs ctl PATH list|get KEY|set KEY [VALUE]|info [--json]: reads and sets the options of a
/// mounted pool, by its control file. argv[0] is "ctl".
[[nodiscard]] ExitStatus ctl_command(int argc, char* const argv[]);

/// For people; every line is "name: value".
[[nodiscard]] std::string info_text(const PoolInfo& info);
/// One object with "schema": "boughfs.ctl/1", as every answer of ctl with --json.
[[nodiscard]] std::string info_json(const PoolInfo& info);

}  // namespace bough::cli
