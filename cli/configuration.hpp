#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/command_line.hpp"
#include "cli/config_file.hpp"
#include "cli/mount_words.hpp"
#include "cli/option_table.hpp"
#include "cli/settings.hpp"
#include "ops/settings.hpp"
#include "session/settings.hpp"

namespace bough::cli {

/// Everything that a pool is told, and the option table that tells it. Stays where it is made: the
/// table's rows refer to the settings.
class Configuration {
 public:
  Configuration();
  Configuration(const Configuration&) = delete;
  Configuration& operator=(const Configuration&) = delete;

  Settings mount;
  MountWords words;
  session::Settings session;
  ops::Settings ops;
  /// What `mount.mountpoint` will be as far as the command line says: options before it may need
  /// it.
  std::string coming_mountpoint;
  /// As ops::KnownPlaces::expected.
  using Expected = std::function<std::vector<std::string>(const std::string& pattern)>;
  /// Looks what is missing now, for the lists of branches that are read; see
  /// expect_missing_branches(). Empty: nothing is expected.
  std::function<Expected()> missing;
  /// Wishes that are not met, one line each.
  std::vector<std::string> warnings;
  ConfigFile config_file{table, words, warnings};
  OptionTable table;
};

/// What becomes of an unknown option: who starts a machine is not there to mend its fstab; who
/// types a command is.
[[nodiscard]] OptionTable::Unknown unknown_words(const CommandLine& line);

/// Takes options, then operands: the last is the mount point unless mountpoint= named one, the
/// others are added to the branches. Fills in what is left open (fsname, allow_other for root).
/// Throws StartError.
void configure(Configuration& config, const CommandLine& line);

/// The directories that the branch list names, absolute and free of symbolic links. Throws
/// StartError when the list is malformed or one of them is missing.
[[nodiscard]] std::vector<std::string> branch_directories(const Configuration& config);

}  // namespace bough::cli
