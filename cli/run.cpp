#include "cli/run.hpp"

#include <unistd.h>

#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/command_line.hpp"
#include "cli/log.hpp"
#include "cli/mount_command.hpp"
#include "cli/option_table.hpp"
#include "cli/subcommands/check.hpp"
#include "cli/subcommands/collect_info.hpp"
#include "cli/subcommands/ctl.hpp"
#include "cli/subcommands/explain.hpp"
#include "cli/subcommands/fsck.hpp"
#include "cli/subcommands/move.hpp"
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
    {"status", status_command},   {"ctl", ctl_command},
    {"explain", explain_command}, {"check", check_command},
    {"fsck", fsck_command},       {"collect-info", collect_info_command},
    {"move", move_command},       {"evacuate", evacuate_command},
    {"balance", balance_command}};

/// By which mergerfs' scripts call the same.
constexpr Subcommand kPrograms[] = {{"fsck.mergerfs", fsck_command},
                                    {"mergerfs.collect-info", collect_info_command}};

std::string did_you_mean(std::string_view subcommand) {
  return "; did you mean the subcommand, boughfs " + std::string(subcommand) + "?";
}

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

/// For who meant a subcommand, and got a mount of branches that are not there.
std::string hint(int argc, char* const argv[]) {
  if (argc < 3 || is_mount_helper_name(argv[0])) return {};
  const std::string_view word = argv[1];
  if (word.size() < 3 || word.starts_with('-') || word.find_first_of("/:=") != word.npos ||
      ::access(argv[1], F_OK) == 0)
    return {};
  std::vector<std::string_view> names;
  for (const Subcommand& each : kSubcommands) {
    names.push_back(each.name);
    if (each.name.starts_with(word)) return did_you_mean(each.name);
  }
  const std::string_view name = nearest_key(word, names);
  return name.empty() ? "" : did_you_mean(name);
}

}  // namespace

ExitStatus run(int argc, char* argv[]) {
  const auto [what, skipped] = chosen(argc, argv);
  const auto complain = [&, mounting = what == mount_command](const std::exception& reason,
                                                              ExitStatus status) {
    if (mounting)
      say_why_not(reason.what() + hint(argc, argv));
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
