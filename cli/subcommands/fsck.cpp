#include "cli/subcommands/fsck.hpp"

#include <unistd.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "cli/control_client.hpp"
#include "cli/copies.hpp"
#include "cli/pool_info.hpp"
#include "cli/pool_of.hpp"
#include "cli/pulse.hpp"
#include "cli/right_copy.hpp"
#include "cli/tree_walk.hpp"
#include "proto/bool_text.hpp"

namespace bough::cli {
namespace {

struct Findings {
  std::uint64_t differing = 0;
  std::uint64_t left = 0;
  /// Where it is not known whether copies differ.
  std::uint64_t unseen = 0;
};

/// For a line of its own: nothing that would begin another.
std::string printable(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = '?';
  return text;
}

std::string time_text(time_t time) {
  std::tm parts = {};
  std::array<char, 64> text{};
  ::localtime_r(&time, &parts);
  (void)std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &parts);
  return text.data();
}

void print(const std::string& path, const std::vector<Copy>& copies) {
  std::printf("* %s\n", printable(path).c_str());
  for (std::size_t i = 0; i < copies.size(); ++i) {
    const struct stat& info = copies[i].info;
    std::printf("  %zu: %s uid=%u gid=%u mode=%04o type=%s size=%lld mtime=%s\n", i,
                printable(copies[i].path).c_str(), info.st_uid, info.st_gid,
                static_cast<unsigned>(info.st_mode & 07777), type_text(info.st_mode).c_str(),
                static_cast<long long>(info.st_size), time_text(info.st_mtime).c_str());
  }
}

void say(const std::string& line) {
  std::printf("  %s\n", printable(line).c_str());
}

std::string owner_and_mode(const Copy& copy) {
  std::array<char, 80> text{};
  std::snprintf(text.data(), text.size(), "uid=%u gid=%u mode=%04o", copy.info.st_uid,
                copy.info.st_gid, static_cast<unsigned>(copy.info.st_mode & 07777));
  return text.data();
}

/// Whether `each` is like the right one now; each change is told, and what prevents one.
bool made_like(const RightCopy& right, const Copy& each, bool copy_file) {
  const bool whole = copy_file && S_ISREG(right.copy->info.st_mode);
  std::string wrong;
  if (!same_type(*right.copy, each))
    wrong = each.path + ": is of another type: left alone";
  else if (whole)
    wrong = take_content(*right.copy, each);
  else if (same_owner_and_mode(*right.copy, each))
    return true;
  else
    wrong = take_owner_and_mode(*right.copy, each);
  if (!wrong.empty())
    say(wrong);
  else
    say("changed " + each.path + ": " +
        (whole ? "replaced whole by a copy of " : owner_and_mode(*right.copy) + " taken from ") +
        right.copy->path + ", " + right.why);
  return wrong.empty();
}

bool mended(const std::vector<Copy>& copies, const Wishes& wishes) {
  const RightCopy right = right_copy(copies, wishes);
  if (right.copy == nullptr) {
    say("left alone: " + right.why);
    return false;
  }
  bool all = true;
  for (const Copy& each : copies)
    if (&each != right.copy && !made_like(right, each, wishes.copy_file)) all = false;
  if (!all) return false;
  const std::vector<Copy> now = looked_at_again(copies);
  if (!differ(now, wishes.check_size)) return true;
  say(differ(now, false) ? "left: they changed meanwhile, and differ again"
                         : "left: their sizes differ still; --copy-file replaces files whole");
  return false;
}

/// A pool, and how the paths in it that are walked begin.
struct Pool {
  std::vector<std::string> branches;
  /// As it was given.
  std::string start;
  /// The same from the pool's root, without a leading slash.
  std::string start_inside;

  [[nodiscard]] std::string relative(const std::string& path) const {
    const std::string rest = path.substr(start.size());
    const std::string inside = start_inside + (rest.starts_with('/') ? rest : "/" + rest);
    const auto first = inside.find_first_not_of('/');
    const auto last = inside.find_last_not_of('/');
    return first == std::string::npos ? "" : inside.substr(first, last + 1 - first);
  }
};

/// One line of what cannot be looked at.
void tell_unseen(const std::string& path, int error, Findings& findings) {
  ++findings.unseen;
  std::fprintf(stderr, "boughfs: not looked at: %s: %s\n", printable(path).c_str(),
               std::strerror(error));
}

Pool pool_with(const std::string& path, Findings& findings) {
  const MountInfo mount = pool_of(path);
  Pool pool;
  pool.start = path;
  if (const std::string wrong = about(pulse_of(root_of(mount))); !wrong.empty())
    throw StartError(ExitStatus::kSystem, "the pool at " + mount.mount_point + " " + wrong);
  for (const BranchInfo& branch : read_info(ControlClient(path)).branches) {
    if (branch.absent.empty()) {
      pool.branches.push_back(branch.path);
      continue;
    }
    ++findings.unseen;
    std::fprintf(stderr, "boughfs: not looked at: branch %s, which is absent: %s\n",
                 printable(branch.path).c_str(), printable(branch.absent).c_str());
  }
  std::error_code failed;
  const std::string real = std::filesystem::canonical(path, failed);
  if (failed) throw StartError(ExitStatus::kUsage, path + ": " + failed.message());
  pool.start_inside = mount.root + real.substr(mount.mount_point.size());
  return pool;
}

void check(const Pool& pool, const std::string& path, const Wishes& wishes, Findings& findings) {
  const std::vector<Copy> copies =
      copies_of(pool.branches, pool.relative(path),
                [&](const std::string& copy, int error) { tell_unseen(copy, error, findings); });
  if (copies.size() < 2 || !differ(copies, wishes.check_size)) return;
  ++findings.differing;
  print(path, copies);
  if (wishes.fix == "none" || !mended(copies, wishes)) ++findings.left;
}

void want_branch(const Pool& pool, const std::string& fix) {
  if (!fix.starts_with('/') ||
      std::find(pool.branches.begin(), pool.branches.end(), fix) != pool.branches.end())
    return;
  std::string all;
  for (const std::string& branch : pool.branches) all += " " + branch;
  throw StartError(ExitStatus::kUsage, "--fix " + fix + ": the pool has no such branch, but" + all);
}

ExitStatus status_of(const Findings& findings) {
  if (findings.unseen != 0) {
    std::fprintf(stderr,
                 "boughfs: %ju could not be looked at: what is told is not all there is to tell\n",
                 static_cast<std::uintmax_t>(findings.unseen));
    return ExitStatus::kIncomplete;
  }
  return findings.left == 0 ? ExitStatus::kOk : ExitStatus::kDiffer;
}

/// The arguments behind the name, last one first as CLI11 takes them. mergerfs gives its switches a
/// value of their own (`--check-size true`): such a word belongs to the switch.
std::vector<std::string> arguments_of(int argc, char* const argv[]) {
  std::vector<std::string> words;
  for (const std::string_view word : std::vector<std::string_view>(argv + 1, argv + argc)) {
    const bool to_switch = !words.empty() &&
                           (words.back() == "--check-size" || words.back() == "--copy-file") &&
                           proto::parse_bool(word);
    if (to_switch)
      words.back() += *proto::parse_bool(word) ? "=true" : "=false";
    else
      words.emplace_back(word);
  }
  std::reverse(words.begin(), words.end());
  return words;
}

}  // namespace

ExitStatus fsck_command(int argc, char* const argv[]) {
  CLI::App app("Find what in a pool has copies that differ in type, permissions or owner.",
               "boughfs fsck");
  Wishes wishes;
  std::string path;
  app.add_option("PATH", path, "a file or directory of a pool, with all that is below it")
      ->required()
      ->type_name("");
  app.add_option("--fix", wishes.fix,
                 "none: only tell. Else make them alike, in owner and permissions, after the copy "
                 "that is newest or largest, that is on BRANCH (its absolute path), or that is "
                 "asked for each time (manual)")
      ->type_name("none|manual|newest|largest|BRANCH");
  app.add_flag("--check-size", wishes.check_size, "sizes of files may not differ either");
  app.add_flag("--copy-file", wishes.copy_file,
               "fix files with their content, times and attributes");
  try {
    app.parse(arguments_of(argc, argv));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0)
      throw StartError(ExitStatus::kUsage,
                       std::string(error.what()) + "; boughfs fsck --help explains");
    app.exit(error);
    return ExitStatus::kOk;
  }
  constexpr std::array<std::string_view, 4> kKnown{"none", "manual", "newest", "largest"};
  if (!wishes.fix.starts_with('/') &&
      std::find(kKnown.begin(), kKnown.end(), wishes.fix) == kKnown.end())
    throw StartError(ExitStatus::kUsage,
                     "--fix " + wishes.fix +
                         ": none, manual, newest, largest or the absolute path of a branch is "
                         "wanted; boughfs fsck --help explains");
  while (wishes.fix.size() > 1 && wishes.fix.ends_with('/')) wishes.fix.pop_back();
  Findings findings;
  const Pool pool = pool_with(path, findings);
  want_branch(pool, wishes.fix);
  if (wishes.fix != "none" && ::geteuid() != 0)
    std::fprintf(stderr, "boughfs: warning: only root can change every copy\n");
  walk_tree(
      path, [&](const std::string& each) { check(pool, each, wishes, findings); },
      [&](const std::string& each, int error) { tell_unseen(each, error, findings); });
  std::fflush(stdout);
  return status_of(findings);
}

}  // namespace bough::cli
