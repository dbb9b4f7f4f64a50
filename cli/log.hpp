#pragma once

#include <string>
#include <string_view>

namespace bough::cli {

/// How much a line matters, as syslog(3) has it.
enum class Matter { kReport, kNotice, kWarning, kError };

/// Each line of `text` to syslog, as the daemon "boughfs". Any thread.
void to_log(Matter matter, std::string_view text);

/// Why there is no pool: a line on standard error, and in the log if that is no terminal, so that
/// it can be found where nobody reads standard error (mount(8) at the start of the system).
void say_why_not(const std::string& line);

}  // namespace bough::cli
