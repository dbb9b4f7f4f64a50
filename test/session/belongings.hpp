#pragma once

#include <sys/resource.h>
#include <unistd.h>

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

/// As long as it lives, this process can open nothing more.
class NoDescriptors {
 public:
  NoDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &limit_);
    const int lowest = ::dup(STDERR_FILENO);
    ::close(lowest);
    const rlimit low{static_cast<rlim_t>(lowest), limit_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &low);
  }
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &limit_); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit limit_{};
};

}  // namespace bough::test
