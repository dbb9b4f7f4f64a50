#include "session/message_limit.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "session/fd.hpp"

namespace bough::session {
namespace {

/// Where the kernel does not say.
constexpr std::uint32_t kFixedLimit = 256;

/// 0: there is no such file.
std::uint32_t read_limit(const std::string& file) {
  std::uint32_t limit = 0;
  if (std::FILE* const opened = std::fopen(file.c_str(), "re")) {
    if (std::fscanf(opened, "%u", &limit) != 1) limit = 0;
    std::fclose(opened);
  }
  return limit;
}

/// 0 or an errno.
int write_limit(const std::string& file, std::uint32_t limit) {
  const Fd opened(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
  if (!opened) return errno;
  const std::string text = std::to_string(limit) + '\n';
  return ::write(opened.get(), text.data(), text.size()) < 0 ? errno : 0;
}

}  // namespace

std::string fit_message(std::uint32_t& pages, const std::string& file) {
  const std::uint32_t wanted = pages;
  pages = std::min(pages, kMostMessagePages);
  std::uint32_t limit = read_limit(file);
  int error = 0;
  if (limit == 0) {
    limit = kFixedLimit;
  } else if (limit < pages) {
    error = write_limit(file, pages);
    // Somebody else may have raised it further meanwhile.
    limit = std::max(limit, read_limit(file));
  }
  pages = std::min(pages, limit);
  if (pages == wanted) return {};
  std::string line = "fuse-msg-size is " + std::to_string(pages) + " pages instead of " +
                     std::to_string(wanted) + ": ";
  if (pages == kMostMessagePages) return line + "the protocol has no more";
  if (error == 0) return line + "this kernel takes no more";
  return line + file + " is " + std::to_string(limit) + " and cannot be raised (" +
         std::strerror(error) + ')';
}

}  // namespace bough::session
