#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ops/open_mode.hpp"
#include "ops/process_names.hpp"
#include "proto/live_value.hpp"
#include "proto/setting.hpp"

namespace bough::ops {

/// How the data of files is cached and moved. The live values count from the next open on, or where
/// it says so at once.
struct FileSettings {
  proto::LiveValue<CacheFiles> cache{CacheFiles::kAuto};
  proto::LiveValue<bool> direct_io{false};
  proto::LiveValue<bool> kernel_cache{false};
  proto::LiveValue<bool> auto_cache{false};
  ProcessNames process_names;
  proto::LiveValue<PassthroughIo> passthrough{PassthroughIo::kAuto};
  /// How many file systems may be stacked below a file that is passed through. 1 or 2.
  std::uint32_t passthrough_stack_depth = 1;
  /// Why nothing can be passed through, for people; empty: it can. Known from start() on.
  std::string no_passthrough;
  proto::LiveValue<bool> parallel_direct_writes{true};
  proto::LiveValue<FlushOnClose> flush{FlushOnClose::kAuto};
  /// Read at the close.
  proto::LiveValue<bool> drop_on_close{false};
  /// At once.
  proto::LiveValue<bool> proxy_ioprio{false};
  /// The branches are left alone: for measuring everything else.
  bool null_rw = false;
  /// The kernel gathers writes (WRITEBACK_CACHE). This and the next: what INIT agreed on, from
  /// start() on.
  bool writeback = false;
  /// The kernel leaves it to us to clear set-ids (HANDLE_KILLPRIV_V2).
  bool handle_killpriv = true;
};

/// Adds the rows of the option table that are bound to `settings`.
void add_file_settings(std::vector<proto::Setting>& table, FileSettings& settings);

}  // namespace bough::ops
