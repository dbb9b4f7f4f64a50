#pragma once

#include <vector>

#include "proto/setting.hpp"

namespace bough::ops {

struct Settings;

/// The rows category.* and func.*, bound to the policies of `settings`: what is set last counts,
/// for one function or for all of a category.
void add_policy_settings(std::vector<proto::Setting>& table, Settings& settings);

}  // namespace bough::ops
