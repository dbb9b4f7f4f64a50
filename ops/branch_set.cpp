#include "ops/branch_set.hpp"

#include <glob.h>
#include <sys/stat.h>

#include <cstdlib>
#include <cstring>

#include "proto/size_text.hpp"


namespace bough::ops {

Branch* BranchSet::by_id(BranchId id) const noexcept {
  for (const auto& branch : branches_)
    if (branch->id() == id) return branch.get();
  return nullptr;
}

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

std::string real_path(const char* path) {
  char* const real = ::realpath(path, nullptr);
  if (real == nullptr) return path;
  std::string text = real;
  std::free(real);
  return text;
}

/// The directories that one pattern without braces means. False: none.
bool find_directories(const std::string& pattern, std::vector<std::string>& into) {
  // A directory whose very name looks like a pattern is meant literally.
  if (is_directory(pattern.c_str())) {
    into.push_back(real_path(pattern.c_str()));
    return true;
  }
  ::glob_t found{};
  const std::size_t before = into.size();
  if (::glob(pattern.c_str(), GLOB_ONLYDIR, nullptr, &found) == 0)
    for (std::size_t i = 0; i < found.gl_pathc; ++i)
      if (is_directory(found.gl_pathv[i])) into.push_back(real_path(found.gl_pathv[i]));
  ::globfree(&found);
  return into.size() != before;
}

std::string why_not_there(const std::string& pattern) {
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

std::vector<BranchSpec> parse_branches(std::string_view text, std::string& error) {
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
    std::vector<std::string> patterns{path};
    if (!is_directory(path.c_str()) && !expand_braces(patterns)) {
      error = "branch " + path + " stands for more than " + std::to_string(kMostByBraces) +
              " directories by its braces: write fewer alternatives, or a pattern such as disk*";
      return {};
    }
    for (const std::string& pattern : patterns) {
      std::vector<std::string> directories;
      if (!find_directories(pattern, directories)) {
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
