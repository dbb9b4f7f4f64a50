#pragma once

#include <string>

namespace bough::cli {

/// Where the pool at `place` (the path of its mount point) keeps from one mount to the next what
/// its branches are: below $STATE_DIRECTORY, as systemd(1) sets it for a service, else for root
/// below /var/lib/boughfs, for others below $XDG_STATE_HOME/boughfs or ~/.local/state/boughfs.
/// Empty: nowhere.
[[nodiscard]] std::string state_file(const std::string& place);

}  // namespace bough::cli
