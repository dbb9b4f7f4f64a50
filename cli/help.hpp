#pragma once

#include <string>

#include "cli/option_table.hpp"

namespace bough::cli {

/// The text of --help: usage, every row of the table under its group's heading, the generic words,
/// exit status.
[[nodiscard]] std::string help_text(const OptionTable& table);
[[nodiscard]] std::string version_text();

}  // namespace bough::cli
