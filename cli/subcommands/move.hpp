#pragma once

#include "cli/exit_status.hpp"

namespace bough::cli {

/// boughfs move PATH… --to BRANCH: what is at and below PATH goes to that branch, whichever it is
/// on. boughfs evacuate BRANCH: all that is on BRANCH goes to the others. boughfs balance PATH:
/// from the fullest branches of a pool to the emptiest. All three only tell what they would do,
/// until they are told to --go. kStayed: something is where it was. argv[0] is the subcommand.
[[nodiscard]] ExitStatus move_command(int argc, char* const argv[]);
[[nodiscard]] ExitStatus evacuate_command(int argc, char* const argv[]);
[[nodiscard]] ExitStatus balance_command(int argc, char* const argv[]);

}  // namespace bough::cli
