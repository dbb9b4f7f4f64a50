#include "cli/configuration.hpp"

#include <sys/mount.h>
#include <unistd.h>

#include <climits>
#include <iterator>

#include "cli/exit_status.hpp"
#include "cli/mergerfs_defaults.hpp"
#include "ops/branch_set.hpp"

namespace bough::cli {
namespace {

std::vector<proto::Setting> compose(Configuration& config) {
  std::vector<proto::Setting> all = ops::settings_table(config.ops);
  for (auto& rows : {session::settings_table(config.session), settings_table(config.mount)}) {
    all.insert(all.end(), rows.begin(), rows.end());
  }
  all.push_back(config.config_file.row());
  return all;
}

/// Who starts a machine is not there to mend its fstab; who types a command is.
OptionTable::Unknown unknown_words(const CommandLine& line) {
  if (line.sloppy) return OptionTable::Unknown::kIgnore;
  return line.as_mount_helper || line.as_mergerfs ? OptionTable::Unknown::kWarn
                                                  : OptionTable::Unknown::kRefuse;
}

}  // namespace

Configuration::Configuration() : table(compose(*this)) {}

void configure(Configuration& config, const CommandLine& line) {
  config.words.flags = line.as_mount_helper ? 0UL : MS_NOSUID | MS_NODEV;
  if (line.as_mergerfs) take_mergerfs_defaults(config.table);
  config.config_file.treat_unknown(unknown_words(line));
  for (std::string& warning : config.table.apply(line.options, config.words, unknown_words(line)))
    config.warnings.push_back(std::move(warning));
  if (line.foreground) config.mount.foreground = true;

  std::vector<std::string> branches = line.operands;
  if (config.mount.mountpoint.empty() && !branches.empty()) {
    config.mount.mountpoint = branches.back();
    branches.pop_back();
  }
  for (const std::string& list : branches) {
    if (!config.ops.branches.empty()) config.ops.branches += ':';
    config.ops.branches += list;
  }
  if (config.mount.mountpoint.empty() || config.ops.branches.empty()) {
    throw StartError(ExitStatus::kUsage,
                     "branches and a mount point are wanted: boughfs BRANCHES MOUNTPOINT; "
                     "boughfs --help explains");
  }
  // The text of fstab's first column as it is: mount -a then knows that the line is mounted.
  // mount(2) takes a source of less than PATH_MAX bytes.
  if (config.mount.fsname.empty()) {
    config.mount.fsname = config.ops.branches.size() < PATH_MAX ? config.ops.branches : "boughfs";
  }
  if (::geteuid() == 0) config.mount.allow_other = true;
  if (config.session.debug && !config.mount.foreground) {
    const std::string why =
        "-o debug: a daemon has no stderr to trace to, add -f or use trace=FILE";
    if (unknown_words(line) == OptionTable::Unknown::kRefuse)
      throw StartError(ExitStatus::kUsage, why);
    config.session.debug = false;
    if (config.session.trace.empty()) config.warnings.push_back(why);
  }
}

std::vector<std::string> branch_directories(const Configuration& config) {
  std::string mistake;
  std::vector<std::string> directories;
  for (const ops::BranchSpec& branch : ops::parse_branches(config.ops.branches, mistake)) {
    directories.push_back(branch.path);
  }
  if (!mistake.empty()) throw StartError(ExitStatus::kUsage, mistake);
  return directories;
}

}  // namespace bough::cli
