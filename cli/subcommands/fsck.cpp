#include "cli/subcommands/fsck.hpp"

#include <fts.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/control_client.hpp"
#include "cli/copies.hpp"
#include "cli/pool_of.hpp"
#include "cli/subcommands/ctl.hpp"
#include "proto/bool_text.hpp"

namespace bough::cli {
namespace {

struct Wishes {
  std::string path;
  std::string fix = "none";
  bool check_size = false;
  bool copy_file = false;
};

struct Findings {
  std::uint64_t differing = 0;
  std::uint64_t left = 0;
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

/// Nothing: the user wants them left alone, or there is nobody to ask.
const Copy* asked_for(const std::vector<Copy>& copies) {
  std::printf("  which one is right? 0 to %zu, anything else leaves them: ", copies.size() - 1);
  std::fflush(stdout);
  std::string answer;
  if (!std::getline(std::cin, answer)) return nullptr;
  std::size_t number = 0;
  const char* const end = answer.data() + answer.size();
  const auto parsed = std::from_chars(answer.data(), end, number);
  if (parsed.ec != std::errc{} || parsed.ptr != end || number >= copies.size()) return nullptr;
  return &copies[number];
}

/// The copy that the others are to be like; of equals the first.
const Copy* reference(const std::vector<Copy>& copies, const std::string& fix) {
  if (fix == "manual") return asked_for(copies);
  return &*std::max_element(copies.begin(), copies.end(), [&](const Copy& left, const Copy& right) {
    if (fix == "largest") return left.info.st_size < right.info.st_size;
    const timespec& a = left.info.st_mtim;
    const timespec& b = right.info.st_mtim;
    return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
  });
}

bool mended(const std::vector<Copy>& copies, const Wishes& wishes) {
  const Copy* const right = reference(copies, wishes.fix);
  if (right == nullptr) return false;
  bool all = true;
  for (const Copy& each : copies) {
    if (&each == right) continue;
    std::string wrong;
    if (!same_type(*right, each))
      wrong = each.path + ": is of another type: left alone";
    else if (wishes.copy_file && S_ISREG(right->info.st_mode))
      wrong = take_content(*right, each);
    else
      wrong = take_owner_and_mode(*right, each);
    if (wrong.empty()) continue;
    all = false;
    std::printf("  %s\n", printable(wrong).c_str());
  }
  // Sizes stay different where only owner and permissions were taken over.
  return all && !differ(looked_at_again(copies), wishes.check_size);
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

Pool pool_with(const std::string& path) {
  const MountInfo mount = pool_of(path);
  Pool pool;
  pool.start = path;
  const std::string real = std::filesystem::canonical(path);
  pool.start_inside = mount.root + real.substr(mount.mount_point.size());
  for (const BranchInfo& branch : parse_shown_branches(ControlClient(path).get("branches")))
    pool.branches.push_back(branch.path);
  return pool;
}

void check(const Pool& pool, const std::string& path, const Wishes& wishes, Findings& findings) {
  const std::vector<Copy> copies = copies_of(pool.branches, pool.relative(path));
  if (copies.size() < 2 || !differ(copies, wishes.check_size)) return;
  ++findings.differing;
  print(path, copies);
  if (wishes.fix == "none" || !mended(copies, wishes)) ++findings.left;
}

int by_name(const FTSENT** left, const FTSENT** right) {
  return std::strcmp((*left)->fts_name, (*right)->fts_name);
}

Findings walk(const Pool& pool, const Wishes& wishes) {
  std::string path = wishes.path;
  char* const start[] = {path.data(), nullptr};
  const std::unique_ptr<FTS, decltype(&::fts_close)> tree(
      ::fts_open(start, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR | FTS_XDEV, by_name),
      &::fts_close);
  if (!tree) throw StartError(ExitStatus::kSystem, path + ": " + std::strerror(errno));
  Findings findings;
  for (errno = 0; const FTSENT* const entry = ::fts_read(tree.get()); errno = 0) {
    if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR || entry->fts_info == FTS_NS)
      std::fprintf(stderr, "boughfs: %s: %s\n", printable(entry->fts_path).c_str(),
                   std::strerror(entry->fts_errno));
    else if (entry->fts_info != FTS_DP && entry->fts_info != FTS_DC)
      check(pool, entry->fts_path, wishes, findings);
  }
  if (errno != 0) throw StartError(ExitStatus::kSystem, path + ": " + std::strerror(errno));
  return findings;
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
  app.add_option("PATH", wishes.path, "a directory of a pool")->required();
  app.add_option("--fix", wishes.fix,
                 "none; or make them alike, after the copy that is asked for (manual), newest or "
                 "largest: owner and permissions")
      ->check(CLI::IsMember({"none", "manual", "newest", "largest"}));
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
  const Pool pool = pool_with(wishes.path);
  if (wishes.fix != "none" && ::geteuid() != 0)
    std::fprintf(stderr, "boughfs: warning: only root can change every copy\n");
  const Findings findings = walk(pool, wishes);
  std::fflush(stdout);
  return findings.left == 0 ? ExitStatus::kOk : ExitStatus::kDiffer;
}

}  // namespace bough::cli
