#include "cli/configuration.hpp"

#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <iterator>
#include <span>

#include "cli/exit_status.hpp"
#include "cli/mergerfs_defaults.hpp"
#include "ops/branch_change.hpp"
#include "ops/branch_set.hpp"

namespace bough::cli {
namespace {

std::vector<proto::Setting> compose(Configuration& config) {
  std::vector<proto::Setting> all = ops::settings_table(config.ops);
  for (auto& rows : {session::settings_table(config.session), settings_table(config.mount)}) {
    all.insert(all.end(), rows.begin(), rows.end());
  }
  all.push_back(config.config_file.row());
  for (proto::Setting& row : all)
    if (row.name == "branches")
      row.set = [&config](std::string_view value) {
        Configuration::Expected expected;
        return ops::change_branch_text(config.ops.branches, value,
                                       {{}, {}, [&](const std::string& pattern) {
                                          if (!expected && config.missing)
                                            expected = config.missing();
                                          return expected ? expected(pattern)
                                                          : std::vector<std::string>();
                                        }});
      };
  return all;
}

bool names_mountpoint(const OptionWord& word) {
  const std::string key = canonical_key(word.key);
  return key == "mountpoint" || key == "mount";
}

void add_branches(Configuration& config, const std::string& list) {
  if (!config.ops.branches.empty()) config.ops.branches += ':';
  config.ops.branches += list;
}

/// Where the pool is to be mounted, before all options are read.
std::string coming_mountpoint(const CommandLine& line) {
  std::string mountpoint = line.operands.empty() ? std::string() : line.operands.back();
  for (const OptionWord& word : line.options)
    if (names_mountpoint(word)) mountpoint = word.value.value_or("");
  return mountpoint;
}

/// An option counts from where it stands: branches= replaces the operands before it, and those
/// behind it are added.
void take_in_order(Configuration& config, const CommandLine& line) {
  const std::span<const OptionWord> options(line.options);
  std::size_t taken = 0;
  const auto take_options = [&](std::size_t end) {
    for (std::string& warning :
         config.table.apply(options.subspan(taken, end - taken), config.words, unknown_words(line)))
      config.warnings.push_back(std::move(warning));
    taken = end;
  };
  const bool named = std::any_of(options.begin(), options.end(), names_mountpoint);
  for (std::size_t i = 0; i < line.operands.size(); ++i) {
    take_options(i < line.options_before.size() ? line.options_before[i] : options.size());
    const bool last = i + 1 == line.operands.size();
    if (!last || named || !config.mount.mountpoint.empty()) {
      add_branches(config, line.operands[i]);
      continue;
    }
    take_options(options.size());
    // A config file among them may have named it.
    if (config.mount.mountpoint.empty())
      config.mount.mountpoint = line.operands[i];
    else
      add_branches(config, line.operands[i]);
  }
  take_options(options.size());
}

/// With allow-idmap, a default of mergerfs', no link is followed.
void prefer_followed_links(Configuration& config, const CommandLine& line) {
  const bool asked =
      std::any_of(line.options.begin(), line.options.end(),
                  [](const OptionWord& word) { return canonical_key(word.key) == "allow-idmap"; });
  if (!asked && config.ops.links.follow != ops::FollowSymlinks::kNever)
    config.ops.allow_idmap = false;
}

}  // namespace

OptionTable::Unknown unknown_words(const CommandLine& line) {
  if (line.sloppy) return OptionTable::Unknown::kIgnore;
  return line.as_mount_helper || line.as_mergerfs ? OptionTable::Unknown::kWarn
                                                  : OptionTable::Unknown::kRefuse;
}

Configuration::Configuration() : table(compose(*this)) {}

void configure(Configuration& config, const CommandLine& line) {
  config.words.flags = line.as_mount_helper ? 0UL : MS_NOSUID | MS_NODEV;
  if (line.as_mergerfs) take_mergerfs_defaults(config.table);
  config.config_file.treat_unknown(unknown_words(line));
  config.coming_mountpoint = coming_mountpoint(line);
  take_in_order(config, line);
  if (line.as_mergerfs) prefer_followed_links(config, line);
  if (line.foreground) config.mount.foreground = true;
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
  if (config.session.debug && !config.mount.foreground && config.session.log_file.empty()) {
    const std::string why = "-o debug: a daemon has no stderr to trace to, add -f or log.file=FILE";
    if (unknown_words(line) == OptionTable::Unknown::kRefuse)
      throw StartError(ExitStatus::kUsage, why);
    config.session.debug = false;
    if (config.session.trace.empty()) config.warnings.push_back(why);
  }
}

std::vector<std::string> branch_directories(const Configuration& config) {
  std::string mistake;
  std::vector<std::string> directories;
  for (const ops::BranchSpec& branch : ops::parse_branches(
           config.ops.branches, mistake, {{}, {}, config.missing ? config.missing() : nullptr})) {
    directories.push_back(branch.path);
  }
  if (!mistake.empty()) throw StartError(ExitStatus::kUsage, mistake);
  return directories;
}

}  // namespace bough::cli
