#include "cli/subcommands/check.hpp"

#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "cli/branch_check.hpp"
#include "cli/check_report.hpp"
#include "cli/checks.hpp"
#include "cli/control_rows.hpp"
#include "cli/fstab_line.hpp"
#include "cli/kernel_check.hpp"
#include "cli/missing_branches.hpp"
#include "cli/mountinfo.hpp"
#include "cli/option_check.hpp"
#include "ops/planned_mounts.hpp"
#include "session/mount.hpp"

namespace bough::cli {
namespace {

constexpr const char* kFstab = "/etc/fstab";
constexpr const char* kMountpoint = "mountpoint";

constexpr std::string_view kHelp =
    "What would be mounted, and what is wrong with it. Mounts and changes nothing.\n"
    "usage: boughfs check [--json] --fstab [FILE] [MOUNTPOINT]\n"
    "       boughfs check [--json] 'LINE OF FSTAB'\n"
    "       boughfs check [--json] [--config FILE] [-o OPTIONS] [BRANCHES… MOUNTPOINT]\n"
    "\n"
    "  --fstab         every pool in FILE (default: /etc/fstab), or the one at MOUNTPOINT\n"
    "  --config FILE   a file of options, as config=FILE; alone: only its options are looked at\n"
    "  --json          one JSON object, schema boughfs.check/1\n"
    "\n"
    "Exit status: 0 it would be mounted and nothing is wrong; 6 it would be mounted, with "
    "warnings;\n"
    "1 it would not be mounted, or these arguments are wrong.\n";

/// What is to be looked at.
struct Subject {
  std::string place;
  CommandLine line;
  /// The text that it is a line of, and which; 0: of none.
  std::string fstab;
  std::size_t number = 0;
  /// What is wrong with a line that is no pool's at all; empty: it is one's.
  std::string doubtful;
  /// The line of fstab is what a mounted pool came from.
  bool from_fstab = false;
  /// A file of options alone may name neither branches nor a mount point.
  bool may_be_partial = false;
};

[[noreturn]] void misused(const std::string& what) {
  throw StartError(ExitStatus::kUsage, what + "; boughfs check --help explains");
}

Subject subject_of(const FstabLine& line, const std::string& file) {
  Subject subject;
  if (line.number != 0) subject.place = file + ":" + std::to_string(line.number);
  subject.line = command_of(line);
  subject.from_fstab = true;
  return subject;
}

std::string text_of(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in.is_open() || in.bad())
    throw StartError(ExitStatus::kUsage, file + " cannot be read: " + std::strerror(errno));
  return text;
}

std::string without_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

bool mounts_at(const FstabLine& line, const std::string& mountpoint) {
  return without_slashes(line.target) == without_slashes(mountpoint);
}

bool names_mountpoint(const std::string& word) {
  // First by the text alone: a pool that is mounted there may hang.
  const auto pools = pools_of_fstab(text_of(kFstab));
  if (std::any_of(pools.begin(), pools.end(),
                  [&](const FstabLine& line) { return mounts_at(line, word); }))
    return true;
  struct stat found = {};
  return ::stat(word.c_str(), &found) == 0 && S_ISDIR(found.st_mode);
}

/// `words`: [FILE] [MOUNTPOINT].
std::vector<Subject> subjects_in_fstab(std::vector<std::string> words) {
  if (words.size() > 2) misused("--fstab takes a FILE and a MOUNTPOINT, no more");
  std::string mountpoint;
  if (words.size() == 2 || (words.size() == 1 && names_mountpoint(words[0]))) {
    mountpoint = words.back();
    words.pop_back();
  }
  const std::string file = words.empty() ? kFstab : words[0];
  const std::string text = text_of(file);
  std::vector<Subject> subjects;
  for (const FstabLine& line : pools_of_fstab(text)) {
    if (!mountpoint.empty() && !mounts_at(line, mountpoint)) continue;
    subjects.push_back(subject_of(line, file));
    subjects.back().fstab = text;
    subjects.back().number = line.number;
  }
  const bool any = !subjects.empty();
  for (const DoubtfulLine& line : doubtful_lines(text)) {
    if (!any && mountpoint.empty())
      throw StartError(ExitStatus::kUsage, file + " has no line of a pool; line " +
                                               std::to_string(line.number) + ": " + line.wrong);
    if (!mountpoint.empty() && without_slashes(line.target) != without_slashes(mountpoint))
      continue;
    Subject subject;
    subject.place = file + ":" + std::to_string(line.number);
    subject.number = line.number;
    subject.line.operands = {line.target};
    subject.doubtful = line.wrong;
    subjects.push_back(std::move(subject));
  }
  std::sort(subjects.begin(), subjects.end(),
            [](const Subject& left, const Subject& right) { return left.number < right.number; });
  if (subjects.empty())
    throw StartError(ExitStatus::kUsage,
                     file + " has no line of a pool" +
                         (mountpoint.empty() ? std::string() : " at " + mountpoint));
  return subjects;
}

Subject subject_in_line(const std::string& text) {
  const auto line = parse_fstab_line(text);
  if (!line || !is_pool(*line))
    throw StartError(ExitStatus::kUsage,
                     "'" + text +
                         "' is no line of fstab for a pool: BRANCHES MOUNTPOINT boughfs "
                         "OPTIONS are wanted");
  return subject_of(*line, {});
}

/// Takes `--NAME` out of the words; whether it was there.
bool take_flag(std::vector<std::string>& words, std::string_view flag) {
  const auto at = std::find(words.begin(), words.end(), flag);
  if (at == words.end()) return false;
  words.erase(at);
  return true;
}

/// Takes `--config FILE` or `--config=FILE` out of the words; empty: it was not there.
std::string take_config(std::vector<std::string>& words) {
  constexpr std::string_view kFlag = "--config";
  for (auto at = words.begin(); at != words.end(); ++at) {
    if (at->starts_with(std::string(kFlag) + "=")) {
      std::string file = at->substr(kFlag.size() + 1);
      words.erase(at);
      if (file.empty()) misused("--config wants a FILE");
      return file;
    }
    if (*at != kFlag) continue;
    if (at + 1 == words.end()) misused("--config wants a FILE");
    std::string file = *(at + 1);
    words.erase(at, at + 2);
    return file;
  }
  return {};
}

Subject subject_in_words(std::vector<std::string> words) {
  Subject subject;
  const std::string file = take_config(words);
  std::string name = "boughfs";
  std::vector<char*> argv{name.data()};
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  subject.line = read_command_line(static_cast<int>(argv.size() - 1), argv.data());
  subject.may_be_partial = !file.empty() && subject.line.operands.empty();
  if (!file.empty()) {
    subject.line.options.insert(subject.line.options.begin(), {"config", file});
    for (std::size_t& before : subject.line.options_before) ++before;
  }
  return subject;
}

std::vector<Subject> subjects_of(std::vector<std::string> words) {
  if (take_flag(words, "--fstab")) return subjects_in_fstab(std::move(words));
  if (words.empty()) misused("say what to check");
  const bool one_line =
      words.size() == 1 && !words[0].starts_with('-') && parse_fstab_line(words[0]).has_value();
  if (one_line) return {subject_in_line(words[0])};
  return {subject_in_words(std::move(words))};
}

/// A pool that stands at exactly this place, found without asking it.
bool is_pool_at(const std::string& place) {
  const std::vector<MountInfo> mounts = mount_table();
  const auto top = std::find_if(mounts.rbegin(), mounts.rend(),
                                [&](const MountInfo& mount) { return mount.mount_point == place; });
  return top != mounts.rend() && session::is_pool_type(top->type);
}

/// As place_of_pool(), without a look at a pool that stands there, since it may hang.
std::string place_of(const std::string& mountpoint) {
  namespace fs = std::filesystem;
  std::error_code failed;
  const fs::path path = without_slashes(fs::absolute(mountpoint, failed).lexically_normal());
  const fs::path parent = fs::canonical(path.parent_path(), failed);
  std::string place = (parent / path.filename()).string();
  return !failed && is_pool_at(place) ? place : place_of_pool(mountpoint);
}

/// statfs(2) never answers from the kernel's cache.
bool is_dead(const std::string& place) {
  struct statfs ignored = {};
  return ::statfs(place.c_str(), &ignored) != 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

/// Where a pool stands already; it is not asked if the answer changes nothing.
void check_taken_place(const std::string& place, const Configuration& config,
                       const Subject& subject, CheckedPool& pool) {
  if (subject.from_fstab || config.mount.detach_first)
    note(pool.findings, kMountpoint,
         "a pool is mounted at " + place +
             " now: another one is mounted there once that is unmounted");
  else if (is_dead(place))
    note(pool.findings, kMountpoint, "a dead pool stands at " + place + ": the mount clears it");
  else
    refuse(pool.findings, kMountpoint,
           "a pool is mounted at " + place + " already: unmount it first");
  for (const CheckedBranch& branch : pool.branches)
    if (ops::is_or_lies_in(branch.path, place))
      refuse(pool.findings, kMountpoint,
             "branch " + branch.path + " lies inside the mount point " + place);
    else if (ops::is_or_lies_in(place, branch.path))
      refuse(pool.findings, kMountpoint,
             "mount point " + place + " lies inside the branch " + branch.path);
}

void check_free_place(const Configuration& config, CheckedPool& pool) try {
  std::vector<std::string> directories;
  for (const CheckedBranch& branch : pool.branches) directories.push_back(branch.path);
  check_mountpoint(config.mount.mountpoint, directories);
  if (const std::string& file = config.session.trace_file(); !file.empty())
    check_trace_file(file, config.mount.mountpoint, directories);
} catch (const StartError& error) {
  refuse(pool.findings, kMountpoint, error.what());
}

void append(Findings& to, Findings more) {
  std::move(more.begin(), more.end(), std::back_inserter(to));
}

constexpr std::string_view kWaitsFor = "x-systemd.requires-mounts-for=";

/// The mount points of fstab that branches lie on, and that no option makes the pool wait for.
std::set<std::string> disks_not_waited_for(const Subject& subject, const CheckedPool& pool) {
  std::set<std::string> disks;
  for (const CheckedBranch& branch : pool.branches) {
    std::string disk;
    for (const ops::PlannedMount& mount : ops::mount_points_of_fstab(subject.fstab))
      if (mount.path != "/" && mount.path != pool.mountpoint && mount.path.size() > disk.size() &&
          ops::is_or_lies_in(branch.path, mount.path))
        disk = mount.path;
    const bool waits = std::any_of(subject.line.options.begin(), subject.line.options.end(),
                                   [&](const OptionWord& word) {
                                     return (word.key + "=").starts_with(kWaitsFor) && word.value &&
                                            ops::is_or_lies_in(without_slashes(*word.value), disk);
                                   });
    if (!disk.empty() && !waits) disks.insert(disk);
  }
  return disks;
}

/// Whether the options say everything that a mount needs to be told; if not, that is noted or
/// refused.
bool take_options(Configuration& config, const Subject& subject, CheckedPool& pool) {
  const bool dropped_some =
      !pool.findings.empty() && count_of(pool.findings, Finding::Level::kRefused) != 0;
  bool whole = true;
  try {
    configure(config, subject.line);
  } catch (const StartError& error) {
    whole = !config.mount.mountpoint.empty() && !config.ops.branches.empty();
    if (whole || (!subject.may_be_partial && !dropped_some))
      refuse(pool.findings, "option", error.what());
    else
      note(pool.findings, "option",
           "no branches and mount point to look at: only the options were");
  }
  for (const std::string& warning : config.warnings) warn(pool.findings, "option", warning);
  return whole;
}

/// What an ordinary user's pool cannot do with its branches: its server has his rights.
void check_rights(CheckedPool& pool) {
  for (const CheckedBranch& branch : pool.branches) {
    if (!branch.absent.empty()) continue;
    if (::access(branch.path.c_str(), R_OK | X_OK) != 0)
      warn(pool.findings, "branch",
           branch.path + " may not be read by you: the pool cannot list what it has");
    else if (branch.mode != "RO" && !branch.read_only && ::access(branch.path.c_str(), W_OK) != 0)
      note(pool.findings, "branch", branch.path + " may not be written by you");
  }
}

/// The pool of a line of fstab beside the other lines.
void check_neighbours(const Subject& subject, CheckedPool& pool) {
  if (subject.number == 0) return;
  if (const std::size_t other = line_with_target(subject.fstab, pool.mountpoint, subject.number);
      other != 0)
    warn(pool.findings, kMountpoint,
         "line " + std::to_string(other) + " mounts at " + pool.mountpoint +
             " too: which of both is seen is left to chance");
  std::string wanted;
  for (const std::string& disk : disks_not_waited_for(subject, pool))
    wanted += (wanted.empty() ? "" : ",") + std::string(kWaitsFor) + disk;
  if (!wanted.empty())
    note(pool.findings, "option",
         "systemd may mount the pool before its disks; this makes it wait for them: " + wanted);
}

CheckedPool check(Subject subject, const KernelFacts& kernel) {
  CheckedPool pool;
  pool.place = subject.place;
  pool.kernel = kernel.release;
  if (!subject.doubtful.empty()) {
    pool.mountpoint = subject.line.operands[0];
    refuse(pool.findings, "line", subject.doubtful);
    return pool;
  }
  pool.findings = check_options(subject.line);
  Configuration config;
  expect_missing_branches(config);
  const bool whole = take_options(config, subject, pool);
  const bool as_root = subject.from_fstab || ::geteuid() == 0;
  config.mount.allow_other = config.mount.allow_other || as_root;
  pool.type = "fuse." + config.mount.subtype;
  pool.mountpoint = config.mount.mountpoint;
  pool.options = changed_options(config, as_root);
  pool.flags = mount_flags(config.words);
  if (whole) {
    const std::string place = place_of(config.mount.mountpoint);
    pool.branches = examine_branches(config, place, pool.findings);
    append(pool.findings, check_branches(pool.branches, ground_of("/"), config.ops.branch_absent));
    if (!as_root) check_rights(pool);
    check_neighbours(subject, pool);
    if (is_pool_at(place))
      check_taken_place(place, config, subject, pool);
    else
      check_free_place(config, pool);
  }
  append(pool.findings, check_kernel(kernel, config, as_root));
  return pool;
}

ExitStatus status_of(const std::vector<CheckedPool>& pools) {
  const auto any = [&](Finding::Level level) {
    return std::any_of(pools.begin(), pools.end(), [&](const CheckedPool& pool) {
      return count_of(pool.findings, level) != 0;
    });
  };
  if (any(Finding::Level::kRefused)) return ExitStatus::kUsage;
  return any(Finding::Level::kWarning) ? ExitStatus::kWarnings : ExitStatus::kOk;
}

}  // namespace

ExitStatus check_command(int argc, char* const argv[]) {
  std::vector<std::string> words(argv + 1, argv + argc);
  if (take_flag(words, "--help") || take_flag(words, "-h")) {
    std::fwrite(kHelp.data(), 1, kHelp.size(), stdout);
    return ExitStatus::kOk;
  }
  const bool json = take_flag(words, "--json");
  const KernelFacts kernel = ask_kernel();
  std::vector<CheckedPool> pools;
  for (Subject& subject : subjects_of(std::move(words)))
    pools.push_back(check(std::move(subject), kernel));
  std::string text;
  if (json)
    text = check_json(pools);
  else
    for (const CheckedPool& pool : pools) text += (text.empty() ? "" : "\n") + check_text(pool);
  std::fputs(text.c_str(), stdout);
  return status_of(pools);
}

}  // namespace bough::cli
