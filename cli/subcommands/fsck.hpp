#pragma once

#include "cli/exit_status.hpp"

namespace bough::cli {

/// boughfs fsck [--fix none|manual|newest|largest|BRANCH] [--check-size] [--copy-file] PATH: finds
/// what in a pool has copies that differ, and makes them alike where it is asked to. kDiffer: some
/// were left so; kIncomplete: not all could be looked at. argv[0] is "fsck".
[[nodiscard]] ExitStatus fsck_command(int argc, char* const argv[]);

}  // namespace bough::cli
