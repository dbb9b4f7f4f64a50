#pragma once

#include <array>
#include <chrono>
#include <thread>

#include "ops/pool.hpp"

namespace bough::ops {

/// Makes a call that may need room. After ENOSPC, if a file was removed in the last second, up to
/// three times more within 50 ms: what the file took is free when the kernel has forgotten it,
/// since its descriptor is kept until then, and when the disk has taken it back. The kernel sends
/// up to eight requests before a FORGET that waits. What branches said of their room is forgotten:
/// it was wrong of one.
template <class Call>
auto with_freed_space(Pool& pool, Call call) -> decltype(call()) {
  using std::chrono::milliseconds;
  constexpr std::chrono::seconds kJustNow{1};
  constexpr std::array kPauses{milliseconds(2), milliseconds(8), milliseconds(40)};
  auto result = call();
  for (const milliseconds pause : kPauses) {
    if (result || result.error() != Errno{ENOSPC}) break;
    for (const auto& branch : *pool.branches.snapshot()) branch->forget_statfs();
    if (std::chrono::steady_clock::now() - pool.last_removal.load() >= kJustNow) break;
    std::this_thread::sleep_for(pause);
    result = call();
  }
  return result;
}

}  // namespace bough::ops
