#pragma once

#include <cstddef>
#include <filesystem>
#include <iterator>

namespace bough::test {

/// What this process has at the moment.
struct Belongings {
  std::size_t threads = 0;
  std::size_t descriptors = 0;

  static Belongings now() { return {entries("/proc/self/task"), entries("/proc/self/fd")}; }
  friend bool operator==(const Belongings&, const Belongings&) = default;

 private:
  static std::size_t entries(const char* path) {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path),
                                                  std::filesystem::directory_iterator()));
  }
};

}  // namespace bough::test
