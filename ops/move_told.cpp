#include "ops/move_told.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace bough::ops {

std::string size_text(std::uint64_t bytes) {
  constexpr std::uint64_t kKiB = 1024;
  constexpr std::uint64_t kMiB = kKiB * kKiB;
  return bytes < kMiB ? std::to_string(bytes / kKiB) + " KiB"
                      : std::to_string(bytes / kMiB) + " MiB";
}

std::string why_it_stays(proto::Errno error) {
  if (error == proto::Errno{ETXTBSY}) return "somebody else has it open for writing on that branch";
  return std::strerror(error.value());
}

std::string text_of(const MoveTold& move) {
  std::string text = move.path + " from " + move.from + " to " + move.to + ": " +
                     size_text(move.copied) + " of " + size_text(move.bytes);
  const auto ms = static_cast<std::uint64_t>(std::max<std::int64_t>(1, move.taken.count()));
  const std::uint64_t rate = move.copied * 1000 / ms;
  if (rate == 0) return text;
  return text + ", " + size_text(rate) + "/s, " +
         std::to_string((move.bytes - move.copied) / rate) + " s left";
}

}  // namespace bough::ops
