#include "cli/checks.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>

#include "cli/exit_status.hpp"

namespace bough::cli {
namespace {

[[noreturn]] void refuse(const std::string& line) {
  throw StartError(ExitStatus::kUsage, line);
}

[[noreturn]] void refuse_inside(const std::string& mountpoint, const std::string& branch) {
  refuse("mount point " + mountpoint + " lies inside the branch " + branch +
         ": the pool would contain itself, choose a mount point outside of every branch");
}

std::string resolve(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> resolved(::realpath(path.c_str(), nullptr),
                                                             &std::free);
  return resolved ? resolved.get() : path;
}

bool same(const struct stat& left, const struct stat& right) {
  return left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}

/// Whether `directory` is one of the directories that `path` leads through, its end included.
bool leads_through(const std::string& path, const struct stat& directory) {
  std::string step = resolve(path);
  for (;;) {
    struct stat here = {};
    if (::stat(step.c_str(), &here) == 0 && same(here, directory)) return true;
    if (step == "/" || step.empty()) return false;
    const auto slash = step.rfind('/');
    if (slash == std::string::npos) return false;
    step.resize(slash == 0 && step.size() > 1 ? 1 : slash);
  }
}

/// Where open(2) finds or makes a file: symbolic links are followed, also one that leads to nothing
/// yet.
std::string destination(const std::string& path) {
  namespace fs = std::filesystem;
  constexpr int kMostLinks = 40;
  std::error_code ignored;
  fs::path place = fs::absolute(path, ignored);
  for (int links = 0; links < kMostLinks; ++links) {
    place = fs::weakly_canonical(place, ignored);
    if (!fs::is_symlink(fs::symlink_status(place, ignored))) break;
    place = place.parent_path() / fs::read_symlink(place, ignored);
  }
  return place;
}

bool lies_in(const std::string& place, const std::string& directory) {
  struct stat root = {};
  return ::stat(directory.c_str(), &root) == 0 && leads_through(place, root);
}

}  // namespace

void check_mountpoint(const std::string& mountpoint, const std::vector<std::string>& branches) {
  if (mountpoint.starts_with("/dev/fd/")) return;
  struct stat target = {};
  if (::stat(mountpoint.c_str(), &target) != 0) {
    const int why = errno;
    if (why == ENOTCONN || why == ECONNABORTED) return;
    if (why == ENOENT) {
      for (const std::string& branch : branches)
        if (lies_in(destination(mountpoint), branch)) refuse_inside(mountpoint, branch);
      refuse("mount point " + mountpoint + " does not exist: make the directory first (mkdir -p)");
    }
    refuse("mount point " + mountpoint + " cannot be reached: " + std::strerror(why));
  }
  if (!S_ISDIR(target.st_mode)) {
    refuse("mount point " + mountpoint + " is no directory: a pool needs one to be mounted on");
  }
  for (const std::string& branch : branches) {
    struct stat root = {};
    if (::stat(branch.c_str(), &root) != 0) continue;
    if (same(root, target)) {
      refuse("branch " + branch + " is the mount point itself: choose another mount point");
    }
    if (leads_through(branch, target)) {
      refuse("branch " + branch + " lies inside the mount point " + mountpoint +
             ": it would be hidden by its own pool, choose another mount point");
    }
    if (leads_through(mountpoint, root)) refuse_inside(mountpoint, branch);
  }
}

void check_trace_file(const std::string& trace, const std::string& mountpoint,
                      const std::vector<std::string>& branches) {
  if (!mountpoint.starts_with("/dev/fd/") && lies_in(destination(trace), mountpoint)) {
    refuse("trace file " + trace + " lies under the mount point " + mountpoint +
           ": the pool would hide it, choose a file outside of the pool");
  }
  for (const std::string& branch : branches) {
    const std::string wrong = why_no_branch_with_trace(trace, branch);
    if (!wrong.empty()) refuse(wrong);
  }
}

std::string why_no_branch_with_trace(const std::string& trace, const std::string& branch) {
  if (!lies_in(destination(trace), branch)) return {};
  return "trace file " + trace + " lies on the branch " + branch +
         ": each look at it through the pool would add to it, choose a file outside of the pool";
}

}  // namespace bough::cli
