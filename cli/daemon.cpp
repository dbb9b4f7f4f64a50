#include "cli/daemon.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <utility>

#include "cli/log.hpp"
#include "session/fd.hpp"

namespace bough::cli {
namespace {

using session::Fd;

void leave_terminal() {
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return;
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    ::dup2(null.get(), standard);
  }
}

/// False at the end of the pipe.
bool wait_for_announcement(const Fd& from) {
  char byte = 0;
  ssize_t got = 0;
  do {
    got = ::read(from.get(), &byte, 1);
  } while (got < 0 && errno == EINTR);
  return got == 1;
}

ExitStatus reap(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) {
    say_why_not(std::string("the server was killed by signal ") + ::strsignal(WTERMSIG(status)) +
                " before the pool answered; boughfs -f shows more");
    return ExitStatus::kMount;
  }
  if (WEXITSTATUS(status) == 0) {
    say_why_not("the pool was unmounted before it answered");
    return ExitStatus::kMount;
  }
  return static_cast<ExitStatus>(WEXITSTATUS(status));
}

ExitStatus wait_for(pid_t child, const Fd& from, const std::function<std::string()>& answers) {
  if (!wait_for_announcement(from)) return reap(child);
  const std::string wrong = answers();
  if (wrong.empty()) return ExitStatus::kOk;
  say_why_not(wrong);
  ::kill(child, SIGTERM);
  return ExitStatus::kMount;
}

}  // namespace

ExitStatus run_in_background(const std::function<ExitStatus(const Announce&)>& serve,
                             const std::function<std::string()>& answers) {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    throw StartError(ExitStatus::kSystem, std::string("no pipe: ") + std::strerror(errno));
  }
  Fd from(ends[0]);
  Fd to(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) {
    throw StartError(ExitStatus::kSystem, std::string("no process: ") + std::strerror(errno));
  }
  if (child != 0) {
    to.reset();
    return wait_for(child, from, answers);
  }
  from.reset();
  ::setsid();
  return serve([&to] {
    leave_terminal();
    const char byte = 1;
    const bool somebody_waits = ::write(to.get(), &byte, 1) == 1;
    to.reset();
    return somebody_waits;
  });
}

}  // namespace bough::cli
