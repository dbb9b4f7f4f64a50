#pragma once

#include "cli/exit_status.hpp"

namespace bough::cli {

/// boughfs BRANCHES MOUNTPOINT, in all its forms; --help and --version. Returns in the server's
/// process too. Throws what serve() throws.
[[nodiscard]] ExitStatus mount_command(int argc, char* const argv[]);

}  // namespace bough::cli
