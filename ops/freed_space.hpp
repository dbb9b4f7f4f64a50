#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <thread>

#include "ops/pool.hpp"

namespace bough::ops {

/// What was removed this long ago may not be free yet.
inline constexpr std::chrono::seconds kJustRemoved{1};

[[nodiscard]] inline bool removed_just_now(const Pool& pool) noexcept {
  return std::chrono::steady_clock::now() - pool.last_removal.load() < kJustRemoved;
}

/// Whether writes on the file system of `fd` may need room that a removal has just freed, and that
/// only with_freed_space() waits for: they could fill what there is sooner than it is there.
[[nodiscard]] inline bool may_need_freed_space(const Pool& pool, int fd) noexcept {
  constexpr std::uint64_t kSoonFull = std::uint64_t{1} << 30;
  if (!removed_just_now(pool)) return false;
  const auto room = pool.backing.statfs(fd);
  return !room || room->blocks_available * room->fragment_size < kSoonFull;
}

/// Makes a call that may need room. After ENOSPC, if a file was removed in the last second, up to
/// three times more within 50 ms: what the file took is free when the kernel has forgotten it,
/// since its descriptor is kept until then, and when the disk has taken it back. The kernel sends
/// up to eight requests before a FORGET that waits. What branches said of their room is forgotten:
/// it was wrong of one.
template <class Call>
auto with_freed_space(Pool& pool, Call call) -> decltype(call()) {
  using std::chrono::milliseconds;
  constexpr std::array kPauses{milliseconds(2), milliseconds(8), milliseconds(40)};
  auto result = call();
  for (const milliseconds pause : kPauses) {
    if (result || result.error() != Errno{ENOSPC}) break;
    for (const auto& branch : *pool.branches.snapshot()) branch->forget_statfs();
    if (!removed_just_now(pool)) break;
    std::this_thread::sleep_for(pause);
    result = call();
  }
  return result;
}

}  // namespace bough::ops
