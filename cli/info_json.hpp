#pragma once

#include <string>
#include <vector>

#include "cli/pool_info.hpp"

namespace bough::cli {

/// An object with a text for each key.
[[nodiscard]] std::string json_object(const KeyValues& values);
/// An array with an object for each.
[[nodiscard]] std::string json_branches(const std::vector<BranchInfo>& branches);

}  // namespace bough::cli
