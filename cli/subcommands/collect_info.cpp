#include "cli/subcommands/collect_info.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

#include "cli/mountinfo.hpp"
#include "session/mount.hpp"

namespace bough::cli {
namespace {

using Words = std::vector<std::string>;

constexpr const char* kOurselves = "boughfs";
constexpr int kMissing = 127;
constexpr std::chrono::seconds kMostTime{20};

/// In the child: `words` with both outputs where ours goes.
[[noreturn]] void become(const Words& words) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::dup2(STDOUT_FILENO, STDERR_FILENO);
  ::execvp(arguments[0], arguments.data());
  ::_exit(kMissing);
}

/// What hangs, on a dead disk or pool, is left behind.
std::string run(const Words& words) {
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child == 0) become(words);
  if (child < 0) return "could not be started";
  const auto end = std::chrono::steady_clock::now() + kMostTime;
  int status = 0;
  for (auto pause = std::chrono::milliseconds(1);;
       pause = std::min(2 * pause, std::chrono::milliseconds(100))) {
    const pid_t ended = ::waitpid(child, &status, WNOHANG);
    if (ended == child) break;
    if (ended < 0 && errno != EINTR) return "was lost";
    if (std::chrono::steady_clock::now() > end) {
      ::kill(child, SIGKILL);
      return "did not end in " + std::to_string(kMostTime.count()) + " seconds";
    }
    std::this_thread::sleep_for(pause);
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == kMissing) return "is not installed";
  return {};
}

/// `program` is what words[0] is known by.
void section(const Words& words, const std::string& program) {
  std::string shown = program;
  for (auto word = words.begin() + 1; word != words.end(); ++word) shown += " " + *word;
  std::printf("=== %s\n", shown.c_str());
  if (const std::string wrong = run(words); !wrong.empty())
    std::printf("(%s %s)\n", program.c_str(), wrong.c_str());
  std::printf("\n");
}

void section(const Words& words) {
  section(words, words[0]);
}

std::string text_of(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void of_pool(const std::string& self, const MountInfo& pool) {
  section({self, "status", pool.mount_point}, kOurselves);
  section({self, "ctl", pool.mount_point, "info"}, kOurselves);
  section({self, "ctl", pool.mount_point, "list"}, kOurselves);
}

}  // namespace

std::string without_secrets(std::string_view text) {
  std::string clean;
  std::string word;
  const auto finish = [&] {
    const auto equals = word.find('=');
    std::string key = word.substr(0, equals);
    std::transform(key.begin(), key.end(), key.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const bool secret = key.find("pass") != std::string::npos ||
                        key.find("cred") != std::string::npos ||
                        key.find("secret") != std::string::npos;
    clean += secret && equals != std::string::npos ? word.substr(0, equals) + "=…" : word;
    word.clear();
  };
  for (const char c : text) {
    if (c != ',' && std::isspace(static_cast<unsigned char>(c)) == 0) {
      word += c;
      continue;
    }
    finish();
    clean += c;
  }
  finish();
  return clean;
}

ExitStatus collect_info_command(int argc, char* const argv[]) {
  CLI::App app(
      "Print what a report of a fault needs to say of the machine and its pools: to be looked "
      "through, "
      "and sent along.",
      "boughfs collect-info");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0)
      throw StartError(ExitStatus::kUsage,
                       std::string(error.what()) + "; boughfs collect-info --help explains");
    app.exit(error);
    return ExitStatus::kOk;
  }
  const std::string self = "/proc/self/exe";
  section({self, "--version"}, kOurselves);
  section({"uname", "-a"});
  section({"lsb_release", "-a"});
  std::printf("=== mounts\n%s\n", without_secrets(text_of("/proc/self/mounts")).c_str());
  std::printf("=== /etc/fstab\n%s\n", without_secrets(text_of("/etc/fstab")).c_str());
  section({"lsblk", "-o", "NAME,FSTYPE,FSSIZE,SIZE,MOUNTPOINTS,RM,RO,ROTA"});
  section({"df", "-h"});
  for (const MountInfo& mount : mount_table())
    if (session::is_pool_type(mount.type) && mount.root == "/") of_pool(self, mount);
  section({"docker", "--version"});
  section({"podman", "--version"});
  section({"smbd", "--version"});
  section({"journalctl", "--no-pager", "-t", "boughfs", "--since", "60 minutes ago"});
  std::fflush(stdout);
  return ExitStatus::kOk;
}

}  // namespace bough::cli
