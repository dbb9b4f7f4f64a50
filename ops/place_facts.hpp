#pragma once

#include <functional>
#include <string>
#include <vector>

namespace bough::ops {

/// What the one who mounts knows of places; asked when branches are added. Any thread.
struct PlaceFacts {
  /// Every path at which the pool is mounted, free of symbolic links.
  std::function<std::vector<std::string>()> mounted_at = [] { return std::vector<std::string>(); };
  /// Why a directory must not be a branch, besides what the pool itself sees, with the remedy;
  /// empty: it may be one.
  std::function<std::string(const std::string& path)> objection = [](const std::string&) {
    return std::string();
  };
};

}  // namespace bough::ops
