#include "cli/log.hpp"

#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace bough::cli {
namespace {

int priority_of(Matter matter) {
  switch (matter) {
    case Matter::kReport:
      return LOG_INFO;
    case Matter::kNotice:
      return LOG_NOTICE;
    case Matter::kWarning:
      return LOG_WARNING;
    case Matter::kError:
      break;
  }
  return LOG_ERR;
}

}  // namespace

void to_log(Matter matter, std::string_view text) {
  ::openlog("boughfs", LOG_PID, LOG_DAEMON);
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    ::syslog(priority_of(matter), "%.*s", static_cast<int>(end), text.data());
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  ::closelog();
}

void say_why_not(const std::string& line) {
  std::fprintf(stderr, "boughfs: %s\n", line.c_str());
  if (::isatty(STDERR_FILENO) == 0) to_log(Matter::kError, line);
}

}  // namespace bough::cli
