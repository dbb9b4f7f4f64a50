#include "cli/await_branches.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <thread>

#include "cli/exit_status.hpp"

namespace bough::cli {
namespace {

using std::chrono::steady_clock;

/// Each under both names.
constexpr std::array<const char*, 2> kNames{"mergerfs", "boughfs"};

bool is_marked(const std::string& branch, const std::string& word) {
  struct stat ignored = {};
  const auto by_xattr = [&](const char* name) {
    const std::string key = "user." + std::string(name) + "." + word;
    return ::getxattr(branch.c_str(), key.c_str(), nullptr, 0) >= 0;
  };
  const auto by_entry = [&](const char* name) {
    const std::string entry = branch + "/." + name + "." + word;
    return ::lstat(entry.c_str(), &ignored) == 0;
  };
  return std::any_of(kNames.begin(), kNames.end(), by_xattr) ||
         std::any_of(kNames.begin(), kNames.end(), by_entry);
}

/// Whether it went well shows when the branch is looked at again.
void run_mount(const std::string& branch) {
  std::string program = "mount";
  std::string target = branch;
  std::array<char*, 3> words{program.data(), target.data(), nullptr};
  pid_t child = 0;
  if (::posix_spawnp(&child, program.c_str(), nullptr, nullptr, words.data(), environ) != 0) return;
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
}

std::string joined(const std::vector<std::string>& paths) {
  std::string text;
  for (const std::string& path : paths) text += (text.empty() ? "" : ", ") + path;
  return text;
}

/// The paths as they are written, patterns too: of what is not there nothing else is known.
std::vector<std::string> written_branches(const std::string& list) {
  std::vector<std::string> paths;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(':', begin), list.size());
    const std::string element = list.substr(begin, end - begin);
    paths.push_back(element.substr(0, element.rfind('=')));
    begin = end + 1;
  }
  return paths;
}

}  // namespace

bool is_mounted(const std::string& branch, dev_t under) {
  struct stat root = {};
  if (::stat(branch.c_str(), &root) != 0) return false;
  if (is_marked(branch, "branch")) return true;
  if (is_marked(branch, "branch_mounts_here")) return false;
  return root.st_dev != under;
}

std::vector<std::string> await_branches(const Configuration& config,
                                        const std::function<void(const std::string&)>& warn) {
  const std::chrono::seconds patience(config.mount.branches_timeout);
  if (patience.count() == 0) return branch_directories(config);
  constexpr std::chrono::milliseconds kPause{333};
  struct stat target = {};
  if (::stat(config.mount.mountpoint.c_str(), &target) != 0) return branch_directories(config);
  const std::vector<std::string> written = written_branches(config.ops.branches);
  const auto begun = steady_clock::now();
  for (bool first = true;; first = false) {
    const bool over = steady_clock::now() - begun >= patience;
    std::vector<std::string> directories;
    try {
      directories = branch_directories(config);
    } catch (const StartError&) {
      // A list that is wrong does not become right.
      struct stat ignored = {};
      if (over || std::none_of(written.begin(), written.end(), [&](const std::string& path) {
            return ::stat(path.c_str(), &ignored) != 0;
          }))
        throw;
    }
    std::vector<std::string> missing;
    for (const std::string& branch : directories.empty() ? written : directories)
      if (!is_mounted(branch, target.st_dev)) missing.push_back(branch);
    if (missing.empty() && !directories.empty()) return directories;
    if (over) {
      const std::string line = "after " + std::to_string(patience.count()) +
                               " s nothing is mounted at " + joined(missing) +
                               " (branches-mount-timeout)";
      if (config.mount.branches_timeout_fails) throw StartError(ExitStatus::kMount, line);
      warn(line + ": the pool is mounted without waiting any longer");
      return directories;
    }
    if (first) std::for_each(missing.begin(), missing.end(), run_mount);
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace bough::cli
