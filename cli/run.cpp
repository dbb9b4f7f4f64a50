#include "cli/run.hpp"

#include <cstdio>
#include <exception>
#include <string_view>
#include <utility>

#include "cli/command_line.hpp"
#include "cli/log.hpp"
#include "cli/mount_command.hpp"
#include "cli/subcommands/check.hpp"
#include "cli/subcommands/collect_info.hpp"
#include "cli/subcommands/ctl.hpp"
#include "cli/subcommands/explain.hpp"
#include "cli/subcommands/fsck.hpp"
#include "cli/subcommands/status.hpp"
#include "ops/union_fs.hpp"
#include "session/handshake.hpp"
#include "session/mount.hpp"
#include "session/trace.hpp"

namespace bough::cli {
namespace {

struct Subcommand {
  std::string_view name;
  ExitStatus (*run)(int argc, char* const argv[]);
};

constexpr Subcommand kSubcommands[] = {
    {"status", status_command}, {"ctl", ctl_command},   {"explain", explain_command},
    {"check", check_command},   {"fsck", fsck_command}, {"collect-info", collect_info_command}};

/// By which mergerfs' scripts call the same.
constexpr Subcommand kPrograms[] = {{"fsck.mergerfs", fsck_command},
                                    {"mergerfs.collect-info", collect_info_command}};

using Run = ExitStatus (*)(int argc, char* const argv[]);

/// What to run, with how many of the words before its own: argv[0] is its name.
std::pair<Run, int> chosen(int argc, char* const argv[]) {
  for (const Subcommand& each : kPrograms)
    if (argc > 0 && program_name(argv[0]) == each.name) return {each.run, 0};
  if (argc > 1 && !is_mount_helper_name(argv[0]) && !is_mergerfs_name(argv[0])) {
    for (const Subcommand& each : kSubcommands) {
      if (each.name == argv[1]) return {each.run, 1};
    }
  }
  return {mount_command, 0};
}

}  // namespace

ExitStatus run(int argc, char* argv[]) {
  const auto [what, skipped] = chosen(argc, argv);
  const auto complain = [mounting = what == mount_command](const std::exception& reason,
                                                           ExitStatus status) {
    if (mounting)
      say_why_not(reason.what());
    else
      std::fprintf(stderr, "boughfs: %s\n", reason.what());
    return status;
  };
  try {
    return what(argc - skipped, argv + skipped);
  } catch (const StartError& error) {
    return complain(error, error.status);
  } catch (const session::MountError& error) {
    return complain(error, ExitStatus::kMount);
  } catch (const session::HandshakeError& error) {
    return complain(error, ExitStatus::kMount);
  } catch (const session::TraceError& error) {
    return complain(error, ExitStatus::kUsage);
  } catch (const ops::PoolError& error) {
    return complain(error, ExitStatus::kUsage);
  } catch (const std::exception& error) {
    return complain(error, ExitStatus::kSystem);
  }
}

}  // namespace bough::cli
