#pragma once

#include <vector>

#include "proto/live_value.hpp"
#include "proto/setting.hpp"

namespace bough::ops {

/// What hard and symbolic links do.
struct LinkSettings {
  /// A file with several names is copied before it is opened for writing.
  proto::LiveValue<bool> cow{false};
};

/// Adds the rows of the option table that are bound to `settings`.
void add_link_settings(std::vector<proto::Setting>& table, LinkSettings& settings);

}  // namespace bough::ops
