#include "session/thread.hpp"

#include <signal.h>

#include <cstddef>

namespace bough::session {
namespace {

/// Branch code keeps paths on the stack; only touched pages are resident.
constexpr std::size_t kStack = std::size_t{1} << 20;

}  // namespace

int start_thread(pthread_t& thread, void* (*main)(void*), void* argument) noexcept {
  pthread_attr_t attributes;
  if (const int error = ::pthread_attr_init(&attributes)) return error;
  ::pthread_attr_setstacksize(&attributes, kStack);
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);
  const int error = ::pthread_create(&thread, &attributes, main, argument);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::pthread_attr_destroy(&attributes);
  return error;
}

}  // namespace bough::session
