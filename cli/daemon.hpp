#pragma once

#include <functional>
#include <string>

#include "cli/exit_status.hpp"

namespace bough::cli {

/// Called by a server when it serves: from then on it has no terminal, and the command that started
/// it may return. False: whoever started it has gone, and it should end.
using Announce = std::function<bool()>;

/// Forks and runs `serve` in a child, in a session of its own. Returns in both processes what to
/// exit with. In the child that is what `serve` returned. In the parent it is kOk once the child
/// announced itself and `answers` found nothing to complain about; else the child's own status,
/// whose reason the child has printed, or kMount with a reason on stderr. Before any thread.
///
/// `answers` runs in the parent and returns what is wrong, or nothing.
[[nodiscard]] ExitStatus run_in_background(const std::function<ExitStatus(const Announce&)>& serve,
                                           const std::function<std::string()>& answers);

}  // namespace bough::cli
