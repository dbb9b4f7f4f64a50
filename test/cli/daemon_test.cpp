#include "cli/daemon.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include <csignal>

using bough::cli::Announce;
using bough::cli::ExitStatus;
using bough::cli::run_in_background;

namespace {

std::string fine() {
  return {};
}

/// run_in_background as main uses it: the child leaves with what it returned.
ExitStatus start(const std::function<ExitStatus(const Announce&)>& serve,
                 const std::function<std::string()>& answers = fine) {
  const pid_t parent = ::getpid();
  const ExitStatus status = run_in_background(serve, answers);
  if (::getpid() != parent) ::_exit(static_cast<int>(status));
  return status;
}

/// Takes what the parent prints, to keep it out of the test's own output and to look at it.
class CapturedStderr {
 public:
  CapturedStderr() : saved_(::dup(STDERR_FILENO)) {
    REQUIRE(::pipe(ends_) == 0);
    ::dup2(ends_[1], STDERR_FILENO);
  }
  ~CapturedStderr() { restore(); }
  CapturedStderr(const CapturedStderr&) = delete;
  CapturedStderr& operator=(const CapturedStderr&) = delete;

  std::string text() {
    restore();
    std::string all;
    char buffer[512];
    for (ssize_t got = 0; (got = ::read(ends_[0], buffer, sizeof(buffer))) > 0;) {
      all.append(buffer, static_cast<std::size_t>(got));
    }
    return all;
  }

 private:
  void restore() {
    if (saved_ < 0) return;
    ::dup2(saved_, STDERR_FILENO);
    ::close(saved_);
    ::close(ends_[1]);
    saved_ = -1;
  }
  int saved_;
  int ends_[2] = {-1, -1};
};

int wait_status() {
  int status = -1;
  CHECK(::waitpid(-1, &status, 0) > 0);
  return status;
}

}  // namespace

TEST_CASE("the parent returns when the server announces itself, and the server lives on") {
  int go[2];
  REQUIRE(::pipe(go) == 0);
  const pid_t session = ::getsid(0);
  CHECK(start([&](const Announce& announce) {
          if (!announce()) return ExitStatus::kServing;
          char byte = 0;
          if (::read(go[0], &byte, 1) != 1) return ExitStatus::kServing;
          struct stat out = {};
          struct stat null = {};
          ::fstat(STDOUT_FILENO, &out);
          ::stat("/dev/null", &null);
          const bool detached = ::getsid(0) != session && out.st_rdev == null.st_rdev;
          return detached ? ExitStatus::kOk : ExitStatus::kSystem;
        }) == ExitStatus::kOk);
  CHECK(::waitpid(-1, nullptr, WNOHANG) == 0);
  CHECK(::write(go[1], "x", 1) == 1);
  CHECK(WEXITSTATUS(wait_status()) == 0);
  ::close(go[0]);
  ::close(go[1]);
}

TEST_CASE("a server that fails before it serves hands its status on") {
  CHECK(start([](const Announce&) { return ExitStatus::kUsage; }) == ExitStatus::kUsage);
}

TEST_CASE("a server that dies before it serves is a failed mount with a reason") {
  CapturedStderr captured;
  CHECK(start([](const Announce&) {
          ::signal(SIGKILL, SIG_DFL);
          ::kill(::getpid(), SIGKILL);
          return ExitStatus::kOk;
        }) == ExitStatus::kMount);
  CHECK(captured.text().find("killed by signal") != std::string::npos);
}

TEST_CASE("a server that ends well but too soon is a failed mount") {
  CapturedStderr captured;
  CHECK(start([](const Announce&) { return ExitStatus::kOk; }) == ExitStatus::kMount);
  CHECK(captured.text() == "boughfs: the pool was unmounted before it answered\n");
}

TEST_CASE("a pool that does not answer is a failed mount, and the server is told to end") {
  CapturedStderr captured;
  CHECK(start(
            [](const Announce& announce) {
              announce();
              ::pause();
              return ExitStatus::kOk;
            },
            [] { return std::string("no answer"); }) == ExitStatus::kMount);
  CHECK(captured.text() == "boughfs: no answer\n");
  const int status = wait_status();
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGTERM);
}

TEST_CASE("a server learns that whoever started it has gone") {
  int result[2];
  REQUIRE(::pipe(result) == 0);
  const pid_t starter = ::fork();
  if (starter == 0) {
    const pid_t parent = ::getpid();
    const ExitStatus status = run_in_background(
        [&](const Announce& announce) {
          ::signal(SIGPIPE, SIG_IGN);
          ::kill(parent, SIGKILL);
          while (::getppid() == parent) ::usleep(1000);
          const char heard = announce() ? 'y' : 'n';
          return ::write(result[1], &heard, 1) == 1 ? ExitStatus::kOk : ExitStatus::kSystem;
        },
        fine);
    ::_exit(static_cast<int>(status));
  }
  ::close(result[1]);
  char heard = 0;
  CHECK(::read(result[0], &heard, 1) == 1);
  CHECK(heard == 'n');
  ::close(result[0]);
  CHECK(WIFSIGNALED(wait_status()));
}
