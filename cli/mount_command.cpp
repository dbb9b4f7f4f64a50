#include "cli/mount_command.hpp"

#include <linux/magic.h>
#include <sys/statfs.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "cli/await_branches.hpp"
#include "cli/checks.hpp"
#include "cli/command_line.hpp"
#include "cli/configuration.hpp"
#include "cli/control_client.hpp"
#include "cli/daemon.hpp"
#include "cli/help.hpp"
#include "cli/mergerfs_defaults.hpp"
#include "cli/missing_branches.hpp"
#include "cli/pool_of.hpp"
#include "cli/pulse.hpp"
#include "cli/serve.hpp"

namespace bough::cli {
namespace {

/// Asks the pool itself; what is wrong, or nothing.
std::string ask(const std::string& mountpoint) {
  // Mounted by somebody else, who knows where.
  if (mountpoint.starts_with("/dev/fd/")) return {};
  struct statfs answer = {};
  if (::statfs(mountpoint.c_str(), &answer) != 0) {
    return "the pool at " + mountpoint + " does not answer: " + std::strerror(errno);
  }
  if (answer.f_type != FUSE_SUPER_MAGIC) {
    return "the pool at " + mountpoint + " was unmounted before it answered";
  }
  return {};
}

/// Whether a pool of the same branches answers at the mount point: mount -a asks for what is
/// mounted already where the source of a line is not the one of the mount table (fsname=).
bool stands_already(const Configuration& config) try {
  const std::string& wanted = config.mount.mountpoint;
  if (wanted.starts_with("/dev/fd/") || config.mount.detach_first) return false;
  const MountInfo mount = pool_of(wanted);
  if (mount.root != "/" || pulse_of(mount.mount_point) != Pulse::kAnswers) return false;
  std::error_code failed;
  if (std::filesystem::canonical(wanted, failed) != mount.mount_point || failed) return false;
  std::string paths;
  for (const std::string& each : branch_directories(config))
    paths += (paths.empty() ? "" : ":") + each;
  return ControlClient(mount.mount_point).get("srcmounts") == paths;
} catch (const StartError&) {
  return false;
}

std::string help(const CommandLine& line) {
  const Configuration usual;
  if (!line.as_mergerfs) return help_text(usual.table);
  const Configuration config;
  take_mergerfs_defaults(config.table);
  return help_text(config.table, usual.table);
}

}  // namespace

ExitStatus mount_command(int argc, char* const argv[]) {
  const CommandLine line = read_command_line(argc, argv);
  if (line.help || line.version) {
    std::fputs((line.help ? help(line) : version_text()).c_str(), stdout);
    return ExitStatus::kOk;
  }
  Configuration config;
  expect_missing_branches(config);
  configure(config, line);
  if (unknown_words(line) != OptionTable::Unknown::kRefuse && stands_already(config))
    return ExitStatus::kOk;
  const std::vector<std::string> branches = await_branches(config, [](const std::string& warning) {
    std::fprintf(stderr, "boughfs: %s\n", warning.c_str());
  });
  check_mountpoint(config.mount.mountpoint, branches);
  if (const std::string& file = config.session.trace_file(); !file.empty())
    check_trace_file(file, config.mount.mountpoint, branches);
  if (line.fake) {
    for (const std::string& warning : config.warnings)
      std::fprintf(stderr, "boughfs: warning: %s\n", warning.c_str());
    return ExitStatus::kOk;
  }
  if (config.mount.foreground) {
    return serve(
        config, [] { return true; }, ReportTo::kStderr);
  }
  return run_in_background(
      [&](const Announce& announce) { return serve(config, announce, ReportTo::kSyslog); },
      [&] { return ask(config.mount.mountpoint); });
}

}  // namespace bough::cli
