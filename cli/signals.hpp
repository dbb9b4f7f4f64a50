#pragma once

#include <functional>
#include <thread>

#include "session/fd.hpp"

namespace bough::cli {

/// Blocks the signals that a Signals object takes, in the calling thread and in those it starts,
/// and ignores SIGUSR2, which older versions of mergerfs took. Before the mount and before any
/// thread: a signal that comes during start-up then waits, instead of ending the process and
/// leaving a dead mount.
void block_signals();

/// A thread that takes SIGINT, SIGTERM and SIGQUIT (`stop`), SIGUSR1 (`report`) and SIGHUP
/// (`reload`), from when the object is made until it is destroyed. The functions run on that
/// thread.
class Signals {
 public:
  Signals(std::function<void()> stop, std::function<void()> report, std::function<void()> reload);
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

 private:
  void take();

  std::function<void()> stop_;
  std::function<void()> report_;
  std::function<void()> reload_;
  session::Fd signals_;
  session::Fd end_;
  std::thread thread_;
};

}  // namespace bough::cli
