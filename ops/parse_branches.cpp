#include <dirent.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "ops/branch_set.hpp"
#include "ops/disk_gone.hpp"
#include "ops/resolve.hpp"
#include "proto/size_text.hpp"

namespace bough::ops {
namespace {

/// More than anybody has disks. Each {a,b} of a pattern doubles the number.
constexpr std::size_t kMostByBraces = 4096;

/// Replaces the first {a,b} by its alternatives, as a shell does; what is nested in them comes with
/// them. A brace without a partner, and one behind a backslash, stands for itself. False: there is
/// none.
bool expand_first_brace(const std::string& pattern, std::vector<std::string>& into) {
  std::size_t open = std::string::npos;
  std::vector<std::size_t> cuts;
  int depth = 0;
  for (std::size_t at = 0; at < pattern.size(); ++at) {
    const char c = pattern[at];
    if (c == '\\') {
      ++at;
    } else if (c == '{') {
      if (depth++ == 0) {
        open = at;
        cuts.assign(1, at);
      }
    } else if (depth == 1 && c == ',') {
      cuts.push_back(at);
    } else if (depth > 0 && c == '}' && --depth == 0) {
      cuts.push_back(at);
      break;
    }
  }
  if (open == std::string::npos || depth != 0) return false;
  const std::string before = pattern.substr(0, open);
  const std::string after = pattern.substr(cuts.back() + 1);
  for (std::size_t i = 0; i + 1 < cuts.size(); ++i)
    into.push_back(before + pattern.substr(cuts[i] + 1, cuts[i + 1] - cuts[i] - 1) + after);
  return true;
}

/// Replaces every {a,b} in each pattern. Not left to glob(3), which is silent about an alternative
/// that does not exist. False: there would be more than kMostByBraces.
bool expand_braces(std::vector<std::string>& patterns) {
  for (bool found = true; found;) {
    found = false;
    std::vector<std::string> expanded;
    for (std::string& pattern : patterns) {
      if (expand_first_brace(pattern, expanded))
        found = true;
      else
        expanded.push_back(std::move(pattern));
      if (expanded.size() > kMostByBraces) return false;
    }
    patterns = std::move(expanded);
  }
  return true;
}

bool is_directory(const char* path) noexcept {
  struct ::stat found;
  return ::stat(path, &found) == 0 && S_ISDIR(found.st_mode);
}

std::string absolute(const std::string& path) {
  if (path.starts_with('/')) return path;
  char* const here = ::getcwd(nullptr, 0);
  std::string whole = here != nullptr ? std::string(here) + "/" + path : path;
  std::free(here);
  return whole;
}

/// Where nobody looks while glob(3) runs, whose callbacks are told nothing else.
thread_local const std::vector<std::string>* closed_places = nullptr;

/// Fails with errno where `path` leads to what is closed.
bool may_look(const char* path) noexcept {
  const auto there = resolve(absolute(path), *closed_places);
  if (!there) errno = there.error().value();
  return there.has_value();
}

/// As glob(3), without looking at what lies in `closed`.
int glob_outside(const std::string& pattern, const std::vector<std::string>& closed,
                 ::glob_t& found) {
  closed_places = &closed;
  found.gl_opendir = [](const char* path) -> void* {
    return may_look(path) ? ::opendir(path) : nullptr;
  };
  found.gl_readdir = [](void* stream) { return ::readdir(static_cast<DIR*>(stream)); };
  found.gl_closedir = [](void* stream) { ::closedir(static_cast<DIR*>(stream)); };
  found.gl_stat = [](const char* path, struct ::stat* into) {
    return may_look(path) ? ::stat(path, into) : -1;
  };
  found.gl_lstat = [](const char* path, struct ::stat* into) {
    return may_look(path) ? ::lstat(path, into) : -1;
  };
  return ::glob(pattern.c_str(), GLOB_ONLYDIR | GLOB_ALTDIRFUNC, nullptr, &found);
}

/// Something is there, and its disk or server is gone.
bool is_out_of_reach(const std::string& path) noexcept {
  struct ::stat found;
  return ::stat(path.c_str(), &found) != 0 && means_disk_gone(proto::Errno{errno});
}

/// Calls `use` with each path that glob(3) finds outside of `closed`.
template <class Use>
void each_match(const std::string& pattern, const std::vector<std::string>& closed, Use use) {
  ::glob_t found{};
  if (glob_outside(pattern, closed, found) == 0)
    for (std::size_t i = 0; i < found.gl_pathc; ++i) use(std::string(found.gl_pathv[i]));
  ::globfree(&found);
}

constexpr std::string_view kSpecial = "*?[\\";

/// An absolute pattern cut in two, where the components with special characters begin.
struct Pattern {
  /// Free of symbolic links, as far as it is there.
  std::string head;
  std::string tail;

  [[nodiscard]] std::string text() const {
    if (tail.empty()) return head;
    std::string escaped;
    for (const char c : head) {
      if (kSpecial.find(c) != std::string_view::npos) escaped += '\\';
      escaped += c;
    }
    return escaped + tail;
  }
};

Pattern cut(const std::string& written, const std::vector<std::string>& closed) {
  std::string whole = absolute(written);
  // The directory of who mounts may have any name.
  const std::size_t own = whole.size() - written.size();
  while (whole.size() > 1 && whole.back() == '/') whole.pop_back();
  std::size_t begin = whole.size();
  if (const auto special = whole.find_first_of(kSpecial, own); special != std::string::npos)
    begin = whole.rfind('/', special);
  Pattern pattern{whole.substr(0, begin), whole.substr(begin)};
  if (const auto real = resolve_what_is_there(pattern.head, closed))
    pattern.head = *real == "/" && !pattern.tail.empty() ? "" : *real;
  return pattern;
}

/// A directory that a pattern means.
struct Meant {
  /// As the pattern has it: what the order goes by.
  std::string match;
  std::string path;
};

/// What lies on disks that are missing, and so is found by no look at what is there.
std::vector<Meant> meant_on_missing(const Pattern& pattern, const KnownPlaces& known) {
  std::vector<Meant> found;
  const auto add = [&](const std::string& match, const std::string& path) {
    const auto real = resolve(path, known.pool);
    found.push_back({match, real ? *real : path});
  };
  for (const std::string& path : known.expected(pattern.text())) add(path, path);
  // Links may lead to what the pattern itself does not name.
  const auto last = pattern.tail.find_last_of(kSpecial);
  if (last == std::string::npos) return found;
  const std::string rest =
      pattern.tail.substr(std::min(pattern.tail.find('/', last), pattern.tail.size()));
  std::string front = pattern.text();
  front.resize(front.size() - rest.size());
  each_match(front, known.pool, [&](const std::string& match) {
    const auto there = resolve_what_is_there(match + rest, known.pool);
    if (!there || *there == match + rest || is_directory(there->c_str())) return;
    for (const std::string& path : known.expected(*there))
      if (path == *there) add(match + rest, path);
  });
  return found;
}

/// The directories that one pattern without braces means. False: none; errno is EDEADLK if that is
/// because it lies in the pool itself.
bool find_directories(const std::string& pattern, const KnownPlaces& known,
                      std::vector<std::string>& into) {
  // A directory whose very name looks like a pattern is meant literally.
  const auto literal = resolve(absolute(pattern), known.pool);
  if (literal && is_directory(literal->c_str())) {
    into.push_back(*literal);
    return true;
  }
  const Pattern parts = cut(pattern, known.pool);
  std::vector<Meant> found;
  const auto look = [&](const std::string& match) {
    const auto real = resolve(match, known.pool);
    if (real && (is_directory(real->c_str()) || is_out_of_reach(*real)))
      found.push_back({match, *real});
    if (!real && means_disk_gone(real.error())) found.push_back({match, match});
  };
  if (!parts.tail.empty()) each_match(parts.text(), known.pool, look);
  const bool gone = literal ? is_out_of_reach(*literal) : means_disk_gone(literal.error());
  if (found.empty() && gone) {
    const std::string path = literal ? *literal : absolute(pattern);
    found.push_back({path, path});
  }
  if (known.expected)
    for (Meant& each : meant_on_missing(parts, known))
      if (std::none_of(found.begin(), found.end(),
                       [&](const Meant& other) { return other.path == each.path; }))
        found.push_back(std::move(each));
  std::stable_sort(found.begin(), found.end(),
                   [](const Meant& one, const Meant& other) { return one.match < other.match; });
  for (Meant& each : found) into.push_back(std::move(each.path));
  errno = literal ? ENOTDIR : literal.error().value();
  return !found.empty();
}

std::string why_not_there(const std::string& pattern) {
  if (errno == EDEADLK)
    return "branch " + pattern + " lies in the pool itself: name a directory outside of it";
  struct ::stat found;
  std::string text = "branch " + pattern;
  if (::stat(pattern.c_str(), &found) == 0)
    return text + " is not a directory: name the directory that takes part in the pool";
  if (errno != ENOENT && errno != ENOTDIR)
    return text + " cannot be reached: " + std::strerror(errno);
  if (pattern.find_first_of("*?[") != std::string::npos)
    return text + " matches no directory: correct the pattern, or mount the disks first";
  return text + " does not exist: create it, or mount its disk first";
}

/// "MODE[,MINFREE]". Empty when good, else what is wrong with it.
std::string parse_mode(std::string_view text, BranchSpec& into) {
  const auto comma = text.find(',');
  const std::string_view mode = text.substr(0, comma);
  if (mode == "RW")
    into.mode = BranchMode::kReadWrite;
  else if (mode == "RO")
    into.mode = BranchMode::kReadOnly;
  else if (mode == "NC")
    into.mode = BranchMode::kNoCreate;
  else
    return "has the mode \"" + std::string(mode) +
           "\": use RW, RO or NC (a path with '=' in it needs a mode after it)";
  if (comma == std::string_view::npos) return {};
  const std::string_view size = text.substr(comma + 1);
  into.min_free = proto::parse_size(size);
  if (!into.min_free)
    return "has the minimum free space \"" + std::string(size) +
           "\": use a size such as 500M or 4G";
  return {};
}

}  // namespace

std::vector<BranchSpec> parse_branches(std::string_view text, std::string& error,
                                       const KnownPlaces& known) {
  error.clear();
  std::vector<BranchSpec> specs;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(':', begin), text.size());
    const std::string_view element = text.substr(begin, end - begin);
    begin = end + 1;
    const auto equals = element.rfind('=');
    const std::string path(element.substr(0, equals));
    BranchSpec spec;
    if (equals != std::string_view::npos) {
      const std::string wrong = parse_mode(element.substr(equals + 1), spec);
      if (!wrong.empty()) error = "branch " + std::string(element) + " " + wrong;
    }
    if (path.empty())
      error = text.empty() ? "no branches are given: name at least one directory"
                           : "the branch list \"" + std::string(text) +
                                 "\" has an element without a path: take the extra ':' or '=' out";
    if (!error.empty()) return {};
    if (std::find(known.branches.begin(), known.branches.end(), path) != known.branches.end()) {
      spec.path = path;
      specs.push_back(spec);
      continue;
    }
    std::vector<std::string> patterns{path};
    const auto literal = resolve(absolute(path), known.pool);
    if (!(literal && is_directory(literal->c_str())) && !expand_braces(patterns)) {
      error = "branch " + path + " stands for more than " + std::to_string(kMostByBraces) +
              " directories by its braces: write fewer alternatives, or a pattern such as disk*";
      return {};
    }
    for (const std::string& pattern : patterns) {
      std::vector<std::string> directories;
      if (!find_directories(pattern, known, directories)) {
        error = why_not_there(pattern);
        return {};
      }
      for (std::string& directory : directories) {
        spec.path = std::move(directory);
        specs.push_back(spec);
      }
    }
  }
  return specs;
}

}  // namespace bough::ops
