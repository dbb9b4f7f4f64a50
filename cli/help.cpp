#include "cli/help.hpp"

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <vector>

namespace bough::cli {
namespace {

constexpr std::size_t kWidth = 96;
constexpr std::size_t kColumn = 34;

constexpr std::string_view kUsage =
    "usage: boughfs [-o OPTION[,OPTION…]] BRANCHES… MOUNTPOINT\n"
    "       boughfs SOURCE TARGET -o OPTIONS        (as mount(8) and fstab call it)\n"
    "       boughfs status MOUNT [--json]\n"
    "       boughfs explain FUNCTION PATH [--json]  which branch, and why not another\n"
    "       boughfs check --fstab [FILE] [MOUNT]    what would be mounted; check --help\n"
    "       boughfs ctl MOUNT list|get KEY|set KEY [VALUE]|info [--json]\n"
    "       boughfs fsck PATH [--fix none|manual|newest|largest|BRANCH] [--check-size] "
    "[--copy-file]\n"
    "       boughfs move PATH… --to BRANCH | evacuate BRANCH | balance MOUNT [--go]\n"
    "       boughfs collect-info\n"
    "\n"
    "Joins the directories BRANCHES (PATH[=RW|RO|NC[,MINFREE]], separated by ':' or as several\n"
    "arguments) into one pool at MOUNTPOINT. Unmount with umount or fusermount3 -u.\n"
    "\n"
    "Flags\n"
    "  -o OPTION[,OPTION…]             options, applied from left to right; \\, is a comma in a "
    "value,\n"
    "                                  and NAME_X is NAME-X\n"
    "  -f                              stay in the foreground\n"
    "  -d                              trace every request to stderr, in the foreground\n"
    "  -r                              read-only, as -o ro\n"
    "  -n, -s                          accepted; they mean nothing to a pool\n"
    "  -h, --help                      this text\n"
    "  -v, -V, --version               the version\n"
    "\n"
    "Subcommands; MOUNT is any path inside a pool, and a branch of a subcommand's name is ./NAME\n"
    "  status MOUNT [--json]           what is mounted there, and what the pool says: it has 3 "
    "seconds\n"
    "  ctl MOUNT list [--json]         the options of the mounted pool, as they are in force\n"
    "  ctl MOUNT get KEY [--json]      one of them\n"
    "  ctl MOUNT set KEY [VALUE]       change one at once\n"
    "  ctl MOUNT info [--json]         its branches, policies and caching\n"
    "  check …                         what would be mounted, and what is wrong with it; check "
    "--help\n"
    "  fsck PATH [--fix HOW]           find copies that differ; fsck --help\n"
    "  move PATH… --to BRANCH          take files to another branch; move --help\n"
    "  evacuate BRANCH                 take all files from a branch; evacuate --help\n"
    "  balance MOUNT                   fill all branches alike; balance --help\n"
    "  collect-info                    what a report of a fault needs to say\n";

constexpr std::string_view kStatus =
    "\n"
    "Signals\n"
    "  SIGINT, SIGTERM, SIGQUIT        unmount and end\n"
    "  SIGHUP                          read the file of config= again\n"
    "  SIGUSR1                         print the counters: to stderr with -f, else to syslog\n"
    "\n"
    "Exit status\n"
    "   0  success; with -f: the pool was unmounted or told to stop\n"
    "   1  the command line, an option, a branch or the mount point is wrong; nothing is mounted,\n"
    "      or with ctl: nothing is set\n"
    "   2  the system refused (no process, no memory); nothing is mounted. ctl, explain, fsck: "
    "the\n"
    "      pool refused (no permission, mounted read-only), or does not answer; status: no "
    "permission\n"
    "   3  status, ctl, explain, fsck, move, balance: the path is in no boughfs pool\n"
    "   4  with -f: the connection ended by an error or was aborted\n"
    "   5  fsck: copies differ, and were left so\n"
    "   6  check: the pool would be mounted, with warnings; 1: it would not be mounted\n"
    "   7  fsck: not all could be looked at, whatever else was found\n"
    "   8  status: the pool does not answer: it hangs, or its server is gone\n"
    "   9  move, evacuate, balance: something stays where it was\n"
    "  32  the mount failed; nothing is mounted\n";

/// Appends `text` from column kColumn on, broken between words.
void add_wrapped(std::string& to, std::string_view text) {
  std::size_t column = kColumn;
  while (!text.empty()) {
    const auto space = text.find(' ');
    const std::string_view word = text.substr(0, space);
    if (column > kColumn && column + 1 + word.size() > kWidth) {
      to += '\n';
      to.append(kColumn, ' ');
      column = kColumn;
    } else if (column > kColumn) {
      to += ' ';
      ++column;
    }
    to += word;
    column += word.size();
    text.remove_prefix(space == std::string_view::npos ? text.size() : space + 1);
  }
  to += '\n';
}

void add_entry(std::string& to, std::string_view key, std::string_view text) {
  const std::size_t start = to.size();
  to += "  ";
  to += key;
  const std::size_t used = to.size() - start;
  if (used + 1 >= kColumn) {
    to += '\n';
    to.append(kColumn, ' ');
  } else {
    to.append(kColumn - used, ' ');
  }
  add_wrapped(to, text);
}

std::string default_of(const proto::Setting& row, const OptionTable& usual) {
  const proto::Setting* const same = usual.find(row.name);
  if (same == nullptr || !row.get || row.get() == same->get()) return row.fallback;
  return row.get();
}

void add_row(std::string& to, const proto::Setting& row, const OptionTable& usual) {
  std::string key = row.name;
  if (!row.form.empty()) key += row.bare.empty() ? "=" + row.form : "[=" + row.form + "]";
  std::string text = row.help;
  // A form of one word says it already.
  const std::string fallback = default_of(row, usual);
  if (!fallback.empty() && fallback != row.form) text += " [" + fallback + "]";
  if (!row.aliases.empty()) {
    text += " (also:";
    for (const std::string& alias : row.aliases) text += " " + alias;
    text += ")";
  }
  add_entry(to, key, text);
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

void add_mount_words(std::string& to) {
  const GenericWords words = generic_words();
  to += "\nGeneric options, see mount(8)\n";
  add_entry(to, "in force", joined(words.in_force));
  add_entry(to, "accepted", joined(words.accepted));
}

}  // namespace

std::vector<std::string_view> groups_of(const OptionTable& table) {
  std::vector<std::string_view> groups;
  for (const proto::Setting& row : table.rows()) {
    if (std::find(groups.begin(), groups.end(), row.group) == groups.end()) {
      groups.emplace_back(row.group);
    }
  }
  return groups;
}

GenericWords generic_words() {
  GenericWords words;
  for (const MountWord& word : mount_words()) {
    auto& list = word.set != 0 || word.clear != 0 ? words.in_force : words.accepted;
    list.emplace_back(word.name);
  }
  for (const std::string_view label : label_words()) {
    words.in_force.push_back(std::string(label) + "=LABEL");
  }
  words.accepted.insert(words.accepted.end(), {"x-*", "user=NAME", "comment=TEXT"});
  return words;
}

std::string help_text(const OptionTable& table) {
  return help_text(table, table);
}

std::string help_text(const OptionTable& table, const OptionTable& usual) {
  std::string text(kUsage);
  if (&table != &usual)
    text +=
        "\nUnder this name options have the defaults of mergerfs, and subcommands are called by\n"
        "boughfs: boughfs status MOUNT.\n";
  for (const std::string_view group : groups_of(table)) {
    text += "\n" + std::string(group) + "\n";
    for (const proto::Setting& row : table.rows()) {
      if (row.group == group) add_row(text, row, usual);
    }
  }
  add_mount_words(text);
  text += kStatus;
  return text;
}

std::string version_text() {
  return "boughfs " BOUGH_VERSION "\n";
}

std::string_view version_number() {
  return BOUGH_VERSION;
}

}  // namespace bough::cli
