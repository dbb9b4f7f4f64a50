#include "ops/resolve.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

namespace bough::ops {

using proto::Errno;

namespace {

Result<std::string> walk(std::string_view path, const std::vector<std::string>& closed,
                         bool may_miss_the_end) {
  constexpr int kMostLinks = 40;
  std::string rest(path);
  std::string reached;
  for (int links = 0; !rest.empty();) {
    const auto slash = rest.find('/');
    const std::string step = rest.substr(0, slash);
    rest.erase(0, slash == std::string::npos ? slash : slash + 1);
    if (step.empty() || step == ".") continue;
    if (step == "..") {
      reached.erase(std::min(reached.rfind('/'), reached.size()));
      continue;
    }
    const std::string next = reached + "/" + step;
    if (std::find(closed.begin(), closed.end(), next) != closed.end()) return Errno{EDEADLK};
    struct ::stat found;
    if (::lstat(next.c_str(), &found) != 0) {
      if (errno != ENOENT || !may_miss_the_end) return Errno{errno};
      return rest.empty() ? next : next + "/" + rest;
    }
    if (!S_ISLNK(found.st_mode)) {
      if (!rest.empty() && !S_ISDIR(found.st_mode)) return Errno{ENOTDIR};
      reached = next;
      continue;
    }
    if (++links > kMostLinks) return Errno{ELOOP};
    std::string text(PATH_MAX, '\0');
    const ssize_t size = ::readlink(next.c_str(), text.data(), text.size());
    if (size <= 0) return Errno{size < 0 ? errno : ENOENT};
    text.resize(static_cast<std::size_t>(size));
    if (text.front() == '/') reached.clear();
    rest = rest.empty() ? text : text + "/" + rest;
  }
  return reached.empty() ? "/" : reached;
}

}  // namespace

Result<std::string> resolve(std::string_view path, const std::vector<std::string>& closed) {
  return walk(path, closed, false);
}

Result<std::string> resolve_what_is_there(std::string_view path,
                                          const std::vector<std::string>& closed) {
  return walk(path, closed, true);
}

}  // namespace bough::ops
