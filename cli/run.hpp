#pragma once

#include "cli/exit_status.hpp"

namespace bough::cli {

/// The whole program: a subcommand if the first argument is its name, else the mounting command.
/// What goes wrong is printed on stderr, in one line that begins with "boughfs: ".
[[nodiscard]] ExitStatus run(int argc, char* argv[]);

}  // namespace bough::cli
