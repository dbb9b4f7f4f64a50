#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "ops/fd.hpp"

namespace bough::ops {

/// What a file of the system says; of one that cannot be read (it is a directory, its disk is
/// broken, nobody writes to it), what was read so far, and in `error` why. Throws std::bad_alloc
/// alone.
[[nodiscard]] inline std::string text_of(const std::string& file, int& error) {
  std::string text;
  error = 0;
  const Fd in(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!in) error = errno;
  std::array<char, 4096> piece;
  while (in) {
    const ssize_t got = ::read(in.get(), piece.data(), piece.size());
    if (got < 0 && errno != EINTR) error = errno;
    if (got == 0 || error != 0) break;
    if (got > 0) text.append(piece.data(), static_cast<std::size_t>(got));
  }
  return text;
}
[[nodiscard]] inline std::string text_of(const std::string& file) {
  int ignored = 0;
  return text_of(file, ignored);
}

}  // namespace bough::ops
