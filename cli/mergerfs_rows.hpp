#pragma once

#include <string>
#include <vector>

#include "proto/setting.hpp"

namespace bough::cli {

/// What was given for options by which mergerfs is told how many threads to start, and where. They
/// can be read, since tools do; nothing follows from them (cli/mergerfs_options says so to who sets
/// one).
struct MergerfsThreads {
  std::string readers = "0";
  std::string processors = "-1";
  std::string queue_depth = "2";
  std::string pinning = "false";
};

/// The rows of the option table that are bound to `threads`, which must outlive them.
[[nodiscard]] std::vector<proto::Setting> mergerfs_rows(MergerfsThreads& threads);

}  // namespace bough::cli
