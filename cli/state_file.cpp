#include "cli/state_file.hpp"

#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace bough::cli {
namespace {

std::string from_environment(const char* name) {
  const char* const value = std::getenv(name);
  return value != nullptr && value[0] == '/' ? value : std::string();
}

std::string state_directory() {
  if (const std::string given = from_environment("STATE_DIRECTORY"); !given.empty())
    return given.substr(0, given.find(':'));
  if (::geteuid() == 0) return "/var/lib/boughfs";
  if (const std::string state = from_environment("XDG_STATE_HOME"); !state.empty())
    return state + "/boughfs";
  if (const std::string home = from_environment("HOME"); !home.empty())
    return home + "/.local/state/boughfs";
  return {};
}

/// One name for a path, another for each.
std::string name_of(std::string_view path) {
  std::string name;
  for (const char c : path.substr(path.starts_with('/') ? 1 : 0)) {
    if (c == '/')
      name += '-';
    else if (c == '-' || c == '%')
      name += c == '-' ? "%2d" : "%25";
    else
      name += c;
  }
  return name;
}

}  // namespace

std::string state_file(const std::string& place) {
  const std::string directory = state_directory();
  if (directory.empty() || place.starts_with("/dev/fd/")) return {};
  return directory + "/branches-of-" + name_of(place);
}

}  // namespace bough::cli
