#include "cli/signals.hpp"

#include <unistd.h>

#include <doctest/doctest.h>

#include <csignal>
#include <future>

using bough::cli::block_signals;
using bough::cli::Signals;

namespace {

struct Masked {
  Masked() {
    ::pthread_sigmask(SIG_SETMASK, nullptr, &before);
    block_signals();
  }
  ~Masked() { ::pthread_sigmask(SIG_SETMASK, &before, nullptr); }
  Masked(const Masked&) = delete;
  Masked& operator=(const Masked&) = delete;
  sigset_t before = {};
};

bool came(std::promise<void>& promise) {
  return promise.get_future().wait_for(std::chrono::seconds(10)) == std::future_status::ready;
}

}  // namespace

TEST_CASE_FIXTURE(Masked, "each signal has its effect") {
  std::promise<void> stopped;
  std::promise<void> reported;
  std::promise<void> reloaded;
  {
    const Signals signals([&] { stopped.set_value(); }, [&] { reported.set_value(); },
                          [&] { reloaded.set_value(); });
    ::kill(::getpid(), SIGHUP);
    CHECK(came(reloaded));
    ::kill(::getpid(), SIGUSR1);
    CHECK(came(reported));
    ::kill(::getpid(), SIGTERM);
    CHECK(came(stopped));
  }
}

TEST_CASE_FIXTURE(Masked, "a signal that came before there is anybody to take it waits") {
  ::kill(::getpid(), SIGINT);
  std::promise<void> stopped;
  const Signals signals([&] { stopped.set_value(); }, [] {}, [] {});
  CHECK(came(stopped));
}

TEST_CASE_FIXTURE(Masked, "ends without a signal") {
  for (int i = 0; i < 100; ++i) const Signals signals([] {}, [] {}, [] {});
}
