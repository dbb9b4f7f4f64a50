#include "cli/configuration.hpp"

#include <sys/mount.h>
#include <unistd.h>

#include <climits>
#include <iterator>

#include "cli/exit_status.hpp"
#include "ops/branch_set.hpp"

namespace bough::cli {
namespace {

std::vector<proto::Setting> compose(Configuration& config) {
  std::vector<proto::Setting> all = ops::settings_table(config.ops);
  for (auto& rows : {session::settings_table(config.session), settings_table(config.mount)}) {
    all.insert(all.end(), rows.begin(), rows.end());
  }
  return all;
}

}  // namespace

Configuration::Configuration() : table(compose(*this)) {}

void configure(Configuration& config, const CommandLine& line) {
  config.words.flags = line.as_mount_helper ? 0UL : MS_NOSUID | MS_NODEV;
  config.table.apply(line.options, config.words,
                     line.sloppy ? OptionTable::Unknown::kIgnore : OptionTable::Unknown::kRefuse);
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
    throw StartError(ExitStatus::kUsage,
                     "-o debug: a daemon has no stderr to trace to, add -f or use trace=FILE");
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
