#pragma once

#include "cli/configuration.hpp"
#include "cli/daemon.hpp"
#include "cli/exit_status.hpp"

namespace bough::cli {

/// Where SIGUSR1's report goes.
enum class ReportTo { kStderr, kSyslog };

/// Opens the branches, mounts, and serves the pool until it is unmounted or told to stop.
/// `announce` is called once, when the pool answers. Throws StartError and the start-up errors of
/// session and ops; nothing is mounted then. When branch calls are still stuck at the end, leaves
/// the process by _exit().
[[nodiscard]] ExitStatus serve(Configuration& config, const Announce& announce, ReportTo report_to);

}  // namespace bough::cli
