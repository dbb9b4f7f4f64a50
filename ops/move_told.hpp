#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "proto/result.hpp"

namespace bough::ops {

/// What people are told of a move.
struct MoveTold {
  std::string path;
  std::string from;
  /// Empty while nothing is copied.
  std::string to;
  std::uint64_t bytes = 0;
  std::uint64_t copied = 0;
  std::chrono::milliseconds taken{0};
};

/// "PATH from A to B: 12 MiB of 80 MiB, 95 MiB/s, 12 s left".
[[nodiscard]] std::string text_of(const MoveTold& move);
/// "12 MiB".
[[nodiscard]] std::string size_text(std::uint64_t bytes);
/// Of a file that lacks room and was not moved.
[[nodiscard]] std::string why_it_stays(proto::Errno error);

}  // namespace bough::ops
