#pragma once

#include "cli/option_table.hpp"

namespace bough::cli {

/// Sets the options whose default is another one in mergerfs to that one: for who starts boughfs
/// under its name. Before the user's own options.
void take_mergerfs_defaults(const OptionTable& table);

}  // namespace bough::cli
