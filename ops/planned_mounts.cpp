#include "ops/planned_mounts.hpp"

#include <dirent.h>
#include <fnmatch.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <set>
#include <system_error>

#include "ops/resolve.hpp"
#include "ops/text_of.hpp"

namespace bough::ops {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBlank = " \t";

/// Calls `use` with each line.
template <class Use>
void each_line(std::string_view text, Use use) {
  while (!text.empty()) {
    const auto end = text.find('\n');
    use(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (;;) {
    const auto begin = line.find_first_not_of(kBlank);
    if (begin == std::string_view::npos) return words;
    line.remove_prefix(begin);
    const auto end = std::min(line.find_first_of(kBlank), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

bool is_octal(std::string_view digits) {
  return digits.size() == 3 && digits.find_first_not_of("01234567") == std::string_view::npos;
}

/// Whether a list with commas has `word`.
bool has_word(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const auto end = list.find(',');
    if (list.substr(0, end) == word) return true;
    list.remove_prefix(end == std::string_view::npos ? list.size() : end + 1);
  }
  return false;
}

std::string without_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

/// The names in a directory, sorted; none where it cannot be read.
std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code failed;
  for (fs::directory_iterator at(directory, failed), end; !failed && at != end;
       at.increment(failed))
    names.push_back(at->path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

/// What the *.wants and *.requires directories of `directory` name.
void add_wanted(const std::string& directory, std::set<std::string>& wanted) {
  for (const std::string& name : names_in(directory))
    if (name.ends_with(".wants") || name.ends_with(".requires"))
      for (std::string& unit : names_in(directory + "/" + name)) wanted.insert(std::move(unit));
}

std::vector<PlannedMount> planned(const MountSources& sources) {
  std::vector<PlannedMount> all;
  for (PlannedMount& each : mount_points_of_fstab(text_of(sources.fstab))) {
    each.file = sources.fstab;
    all.push_back(std::move(each));
  }
  std::set<std::string> wanted;
  for (const std::string& directory : sources.units) add_wanted(directory, wanted);
  std::set<std::string> seen;
  for (std::size_t i = 0; i < sources.units.size(); ++i)
    for (const std::string& name : names_in(sources.units[i])) {
      // One that is masked (a link to /dev/null) hides those after it.
      if (!name.ends_with(".mount") || !seen.insert(name).second) continue;
      if (i + 1 == sources.units.size() && wanted.count(name) == 0) continue;
      const std::string file = sources.units[i] + "/" + name;
      std::string path = mount_point_of_unit(text_of(file));
      if (!path.empty()) all.push_back({std::move(path), file, false});
    }
  return all;
}

bool is_pattern(std::string_view path) {
  return path.find_first_of("*?[\\") != std::string_view::npos;
}

std::size_t components(std::string_view path) {
  return static_cast<std::size_t>(std::count(path.begin(), path.end(), '/'));
}

/// Where the first `count` components of an absolute path end.
std::size_t end_of(std::string_view path, std::size_t count) {
  std::size_t at = 0;
  for (; count > 0 && at != std::string_view::npos; --count) at = path.find('/', at + 1);
  return at == std::string_view::npos ? path.size() : at;
}

}  // namespace

std::string unescape_octal(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string_view digits = text.substr(std::min(i + 1, text.size()), 3);
    if (text[i] == '\\' && is_octal(digits)) {
      plain += static_cast<char>((digits[0] - '0') * 64 + (digits[1] - '0') * 8 + digits[2] - '0');
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

std::vector<PlannedMount> mount_points_of_fstab(std::string_view text) {
  std::vector<PlannedMount> found;
  each_line(text, [&](std::string_view line) {
    const auto words = words_of(line);
    if (words.size() < 3 || words[0].front() == '#' || words[2] == "swap") return;
    std::string path = without_slashes(unescape_octal(words[1]));
    if (path.front() != '/') return;
    const bool on_demand = words.size() > 3 && has_word(words[3], "noauto");
    found.push_back({std::move(path), {}, on_demand});
  });
  return found;
}

std::string mount_point_of_unit(std::string_view text) {
  std::string found;
  each_line(text, [&](std::string_view line) {
    constexpr std::string_view kKey = "Where";
    line.remove_prefix(std::min(line.find_first_not_of(kBlank), line.size()));
    if (!line.starts_with(kKey)) return;
    line.remove_prefix(kKey.size());
    line.remove_prefix(std::min(line.find_first_not_of(kBlank), line.size()));
    if (!line.starts_with('=')) return;
    line.remove_prefix(std::min(line.find_first_not_of(kBlank, 1), line.size()));
    line = line.substr(0, line.find_last_not_of(" \t\r") + 1);
    if (line.starts_with('/')) found = without_slashes(std::string(line));
  });
  return found;
}

std::vector<std::string> mounted_places(std::string_view mountinfo) {
  std::vector<std::string> found;
  each_line(mountinfo, [&](std::string_view line) {
    constexpr std::size_t kPlace = 4;
    const auto words = words_of(line);
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() <= kPlace || words.end() - dash < 2 || *(dash + 1) == "autofs") return;
    found.push_back(unescape_octal(words[kPlace]));
  });
  return found;
}

bool is_or_lies_in(std::string_view path, std::string_view top) {
  if (top == "/") return path.starts_with('/');
  return path.starts_with(top) && (path.size() == top.size() || path[top.size()] == '/');
}

std::vector<PlannedMount> missing_mounts(const MountSources& sources,
                                         const std::vector<std::string>& closed) {
  std::vector<PlannedMount> missing = planned(sources);
  const std::vector<std::string> mounted = mounted_places(text_of(sources.mountinfo));
  const auto leave_out_mounted = [&] {
    missing.erase(std::remove_if(missing.begin(), missing.end(),
                                 [&](const PlannedMount& each) {
                                   return std::find(mounted.begin(), mounted.end(), each.path) !=
                                          mounted.end();
                                 }),
                  missing.end());
  };
  // First by the text alone: what is mounted may hang, and is not touched.
  leave_out_mounted();
  std::vector<PlannedMount> resolved;
  for (PlannedMount& each : missing) {
    const auto real = resolve_what_is_there(each.path, closed);
    if (!real && real.error() == proto::Errno{EDEADLK}) continue;
    if (real) each.path = *real;
    resolved.push_back(std::move(each));
  }
  missing = std::move(resolved);
  leave_out_mounted();
  return missing;
}

bool is_meant(const std::string& pattern, const std::string& path) {
  return pattern == path ||
         ::fnmatch(pattern.c_str(), path.c_str(), FNM_PATHNAME | FNM_PERIOD) == 0;
}

std::vector<std::string> meant_on_missing(const std::string& pattern,
                                          const std::vector<PlannedMount>& missing) {
  std::vector<std::string> found;
  const std::string plain = without_slashes(pattern);
  for (const PlannedMount& each : missing) {
    const std::size_t cut = end_of(plain, components(each.path));
    const std::string rest = plain.substr(cut);
    if (!plain.starts_with('/') || components(plain.substr(0, cut)) != components(each.path))
      continue;
    if (is_pattern(rest)) continue;
    const std::string head = plain.substr(0, cut);
    if (head == each.path || (!each.on_demand && is_meant(head, each.path)))
      found.push_back(each.path + rest);
  }
  return found;
}

}  // namespace bough::ops
