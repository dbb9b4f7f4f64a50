#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "ops/fd.hpp"

namespace bough::ops {

/// What a file of the system says; of one that cannot be read (it is a directory, its disk is
/// broken, nobody writes to it), what was read so far. Throws std::bad_alloc alone.
[[nodiscard]] inline std::string text_of(const std::string& file) {
  std::string text;
  const Fd in(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  std::array<char, 4096> piece;
  while (in) {
    const ssize_t got = ::read(in.get(), piece.data(), piece.size());
    if (got == 0 || (got < 0 && errno != EINTR)) break;
    if (got > 0) text.append(piece.data(), static_cast<std::size_t>(got));
  }
  return text;
}

}  // namespace bough::ops
