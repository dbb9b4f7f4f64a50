#include "ops/fd.hpp"

#include <unistd.h>

#include <cerrno>

namespace bough::ops {

void Fd::reset() noexcept {
  if (value_ < 0) return;
  const int saved = errno;
  ::close(std::exchange(value_, -1));
  errno = saved;
}

}  // namespace bough::ops
