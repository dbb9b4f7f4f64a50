#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "policy/registry.hpp"
#include "proto/setting.hpp"

namespace bough::ops {

/// What the pool was told to do. Filled before the mount, then read by all threads.
struct Settings {
  /// As the user wrote it: path[=MODE[,MINFREE]][:path…].
  std::string branches;
  /// Bytes; absent: the smaller of 4 GiB and 5 % of each branch.
  std::optional<std::uint64_t> min_free;
  const policy::Policy* create = nullptr;
  const policy::Policy* search = nullptr;
  const policy::Policy* action = nullptr;
  std::chrono::nanoseconds attr_valid = std::chrono::seconds(1);
  std::chrono::nanoseconds entry_valid = std::chrono::seconds(1);
  std::chrono::nanoseconds negative_valid{0};

  /// Defaults: create pfrd, search ff, action epall.
  Settings();
};

/// The rows of the option table that this layer owns, bound to `settings`.
[[nodiscard]] std::vector<proto::Setting> settings_table(Settings& settings);

}  // namespace bough::ops
