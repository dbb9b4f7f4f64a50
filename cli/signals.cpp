#include "cli/signals.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <system_error>
#include <utility>

namespace bough::cli {
namespace {

sigset_t taken_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGQUIT);
  sigaddset(&set, SIGHUP);
  sigaddset(&set, SIGUSR1);
  return set;
}

session::Fd checked(int fd, const char* what) {
  if (fd < 0) throw std::system_error(errno, std::generic_category(), what);
  return session::Fd(fd);
}

}  // namespace

void block_signals() {
  const sigset_t set = taken_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGUSR2, SIG_IGN);
}

Signals::Signals(std::function<void()> stop, std::function<void()> report,
                 std::function<void()> reload)
    : stop_(std::move(stop)), report_(std::move(report)), reload_(std::move(reload)) {
  const sigset_t set = taken_signals();
  signals_ = checked(::signalfd(-1, &set, SFD_CLOEXEC), "signalfd");
  end_ = checked(::eventfd(0, EFD_CLOEXEC), "eventfd");
  thread_ = std::thread([this] { take(); });
}

Signals::~Signals() {
  const std::uint64_t one = 1;
  // Cannot fail: the counter is 0.
  [[maybe_unused]] const ssize_t written = ::write(end_.get(), &one, sizeof(one));
  thread_.join();
}

void Signals::take() {
  pollfd waits[] = {{signals_.get(), POLLIN, 0}, {end_.get(), POLLIN, 0}};
  for (;;) {
    if (::poll(waits, 2, -1) < 0) continue;
    if (waits[1].revents != 0) return;
    signalfd_siginfo info = {};
    if (::read(signals_.get(), &info, sizeof(info)) != sizeof(info)) continue;
    if (info.ssi_signo == SIGUSR1) {
      report_();
    } else if (info.ssi_signo == SIGHUP) {
      reload_();
    } else {
      stop_();
    }
  }
}

}  // namespace bough::cli
