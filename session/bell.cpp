#include "session/bell.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

namespace bough::session {

Bell::Bell() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!event_) throw std::system_error(errno, std::generic_category(), "eventfd");
}

void Bell::ring() noexcept {
  const int saved = errno;
  const std::uint64_t one = 1;
  // The only failure, a counter that is full, means that it rings already.
  [[maybe_unused]] const auto written = ::write(event_.get(), &one, sizeof one);
  errno = saved;
}

void Bell::wait(std::optional<std::chrono::milliseconds> timeout) noexcept {
  pollfd entry{event_.get(), POLLIN, 0};
  const int wait = timeout ? static_cast<int>(timeout->count()) : -1;
  if (::poll(&entry, 1, wait) <= 0) return;
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = ::read(event_.get(), &count, sizeof count);
}

}  // namespace bough::session
