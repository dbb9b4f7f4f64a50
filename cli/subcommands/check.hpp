#pragma once

#include "cli/exit_status.hpp"

namespace bough::cli {

/// boughfs check, in all its forms (see its --help): what would be mounted by a line of fstab, a
/// file of options or the words of a mount command, and what is wrong with it. Mounts and changes
/// nothing. kOk: nothing is wrong; kWarnings: it would be mounted, and something is; kUsage: it
/// would not be mounted, or the arguments are wrong. argv[0] is "check".
[[nodiscard]] ExitStatus check_command(int argc, char* const argv[]);

}  // namespace bough::cli
