#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>

namespace bough::test {

/// Root of the machine: the root of a user namespace has only the ids that were given to it.
[[nodiscard]] inline bool is_full_root() {
  std::ifstream map("/proc/self/uid_map");
  std::uint64_t inside = 1;
  std::uint64_t outside = 1;
  std::uint64_t count = 0;
  map >> inside >> outside >> count;
  return ::geteuid() == 0 && inside == 0 && outside == 0 && count == 0xffffffff;
}

/// For a test case that gives files away, mounts or the like: false, and said, where it cannot run.
[[nodiscard]] inline bool may_act_as_root() {
  if (is_full_root()) return true;
  MESSAGE("not run: it wants root's rights");
  return false;
}

}  // namespace bough::test
