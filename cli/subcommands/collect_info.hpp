#pragma once

#include <string>
#include <string_view>

#include "cli/exit_status.hpp"

namespace bough::cli {

/// boughfs collect-info: prints what a report of a fault needs to say of the machine and its pools.
/// argv[0] is "collect-info".
[[nodiscard]] ExitStatus collect_info_command(int argc, char* const argv[]);

/// A text of fstab without what its options say of passwords and credentials.
[[nodiscard]] std::string without_secrets(std::string_view text);

}  // namespace bough::cli
