#include "cli/subcommands/ctl.hpp"

#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <span>
#include <string_view>

#include "cli/configuration.hpp"
#include "cli/control_client.hpp"
#include "cli/json_text.hpp"

namespace bough::cli {
namespace {

constexpr std::string_view kUsage =
    "usage: boughfs ctl MOUNT list [--json]             every key and its value\n"
    "       boughfs ctl MOUNT get KEY [--json]          one value\n"
    "       boughfs ctl MOUNT set KEY [VALUE] [--json]  change one at once; VALUE may begin with "
    "-\n"
    "       boughfs ctl MOUNT info [--json]             branches, policies and caching in force\n"
    "\n"
    "Reads and sets the options of a mounted pool. MOUNT is any path inside it. --json prints one\n"
    "JSON object, schema boughfs.ctl/1.\n";

[[noreturn]] void misused(const std::string& what) {
  throw StartError(ExitStatus::kUsage, what + "; boughfs ctl --help explains");
}

struct Words {
  std::string path;
  std::string action;
  std::vector<std::string> operands;
  bool json = false;
  bool help = false;
};

/// What stands where a value is wanted is one, though it may begin with a hyphen.
Words read_words(std::span<char* const> arguments) {
  constexpr std::size_t kBeforeValue = 3;
  Words words;
  std::vector<std::string> plain;
  bool flags = true;
  for (const char* const argument : arguments) {
    const std::string_view word = argument;
    if (flags && word == "--") {
      flags = false;
    } else if (flags && word == "--json") {
      words.json = true;
    } else if (flags && (word == "--help" || word == "-h")) {
      words.help = true;
    } else if (flags && word.size() > 1 && word[0] == '-' && plain.size() != kBeforeValue) {
      misused("there is no flag " + std::string(word));
    } else {
      plain.emplace_back(word);
    }
  }
  if (words.help) return words;
  if (plain.empty()) misused("MOUNT is required");
  if (plain.size() < 2) misused("list, get, set or info is required behind " + plain[0]);
  words.path = plain[0];
  words.action = plain[1];
  words.operands.assign(plain.begin() + 2, plain.end());
  return words;
}

void want_operands(const Words& words, std::size_t least, std::size_t most) {
  if (words.operands.size() < least) misused(words.action + " wants a KEY");
  if (words.operands.size() > most) misused("'" + words.operands[most] + "' is too much");
}

std::string opening(const std::string& mount_point) {
  return R"({"schema": "boughfs.ctl/1", "mount_point": )" + json_text(mount_point);
}

std::string json_object(const KeyValues& values) {
  std::string text;
  for (const auto& [key, value] : values)
    text += (text.empty() ? "{" : ", ") + json_text(key) + ": " + json_text(value);
  return text.empty() ? "{}" : text + "}";
}

std::string json_value(const ControlClient& pool, const std::string& key) {
  return opening(pool.mount_point()) + ", \"key\": " + json_text(key) +
         ", \"value\": " + json_text(pool.get(key)) + "}\n";
}

KeyValues read_all(const ControlClient& pool) {
  KeyValues all;
  for (const std::string& key : pool.keys()) all.emplace_back(key, pool.get(key));
  return all;
}

std::string list(const ControlClient& pool, bool json) {
  const KeyValues all = read_all(pool);
  if (json) return opening(pool.mount_point()) + ", \"values\": " + json_object(all) + "}\n";
  std::string text;
  for (const auto& [key, value] : all) text += key + "=" + value + "\n";
  return text;
}

/// A key without a value means what it means among mount options.
std::string value_of(const Words& words) {
  if (words.operands.size() > 1) return words.operands[1];
  const std::string& key = words.operands[0];
  if (key.starts_with("cmd.")) return {};
  const Configuration defaults;
  const proto::Setting* const row = defaults.table.find(key);
  if (row != nullptr && !row->bare.empty()) return row->bare;
  misused("set " + key + " wants a VALUE" + (row != nullptr ? ": " + row->form : ""));
}

std::string set(const ControlClient& pool, const Words& words) {
  const std::string& key = words.operands[0];
  pool.set(key, value_of(words));
  if (!words.json) return {};
  if (key.starts_with("cmd."))
    return opening(pool.mount_point()) + ", \"key\": " + json_text(key) + ", \"value\": null}\n";
  return json_value(pool, key);
}

std::optional<BranchInfo::Space> space_of(const std::string& path) {
  struct statvfs room = {};
  if (::statvfs(path.c_str(), &room) != 0) return std::nullopt;
  return BranchInfo::Space{std::uint64_t{room.f_bavail} * room.f_frsize,
                           std::uint64_t{room.f_blocks} * room.f_frsize};
}

PoolInfo read_info(const ControlClient& pool) {
  PoolInfo info;
  info.mount_point = pool.mount_point();
  for (auto& [key, value] : read_all(pool)) {
    if (key == "version") info.version = value;
    if (key == "pid") info.pid = value;
    if (key == "branches") info.branches = parse_shown_branches(value);
    if (key == "minfreespace" || key.starts_with("category.") || key.starts_with("func."))
      info.policies.emplace_back(key, value);
    if (key.starts_with("cache.") || (key.starts_with("passthrough.") && !value.empty()))
      info.caching.emplace_back(key, value);
  }
  for (BranchInfo& branch : info.branches) branch.space = space_of(branch.path);
  return info;
}

/// Three digits at least: 980M, 12.5G.
std::string size_for_people(std::uint64_t bytes) {
  constexpr std::string_view kUnits = "BKMGTPE";
  std::size_t unit = 0;
  auto number = static_cast<double>(bytes);
  while (number >= 1024 && unit + 1 < kUnits.size()) {
    number /= 1024;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), number < 100 && unit > 0 ? "%.1f%c" : "%.0f%c", number,
                kUnits[unit]);
  return text.data();
}

/// "path=MODE[,MINFREE]"; nothing: this is only the beginning of one.
std::optional<BranchInfo> parse_shown_branch(std::string_view text) {
  const auto equals = text.rfind('=');
  if (equals == std::string_view::npos) return std::nullopt;
  const std::string_view tail = text.substr(equals + 1);
  const std::string_view mode = tail.substr(0, tail.find(','));
  if (mode != "RW" && mode != "RO" && mode != "NC") return std::nullopt;
  BranchInfo branch;
  branch.path = text.substr(0, equals);
  branch.mode = mode;
  if (mode.size() < tail.size()) branch.min_free = tail.substr(mode.size() + 1);
  return branch;
}

}  // namespace

std::vector<BranchInfo> parse_shown_branches(std::string_view text) {
  std::vector<BranchInfo> branches;
  std::size_t begin = 0;
  for (std::size_t at = 0; at <= text.size(); ++at) {
    if (at < text.size() && text[at] != ':') continue;
    auto branch = parse_shown_branch(text.substr(begin, at - begin));
    if (!branch) continue;
    branches.push_back(*std::move(branch));
    begin = at + 1;
  }
  return branches;
}

std::string info_text(const PoolInfo& info) {
  std::string text = "mount point: " + info.mount_point + "\nversion: " + info.version +
                     "\npid: " + info.pid + "\n";
  for (const BranchInfo& branch : info.branches) {
    text += "branch: " + branch.path + " " + branch.mode;
    text += branch.space ? ", " + size_for_people(branch.space->free) + " free of " +
                               size_for_people(branch.space->total)
                         : ", room not known";
    if (!branch.min_free.empty()) text += ", minimum " + branch.min_free;
    text += "\n";
  }
  for (const KeyValues& part : {info.policies, info.caching})
    for (const auto& [key, value] : part) text += key + ": " + value + "\n";
  return text;
}

std::string info_json(const PoolInfo& info) {
  std::string branches;
  for (const BranchInfo& branch : info.branches) {
    const auto bytes = [&](std::uint64_t BranchInfo::Space::*member) {
      return branch.space ? std::to_string((*branch.space).*member) : "null";
    };
    branches += std::string(branches.empty() ? "" : ", ") + "{\"path\": " + json_text(branch.path) +
                ", \"mode\": " + json_text(branch.mode) + ", \"minfreespace\": " +
                (branch.min_free.empty() ? "null" : json_text(branch.min_free)) +
                ", \"free_bytes\": " + bytes(&BranchInfo::Space::free) +
                ", \"total_bytes\": " + bytes(&BranchInfo::Space::total) + "}";
  }
  return opening(info.mount_point) + ", \"version\": " + json_text(info.version) +
         ", \"pid\": " + (info.pid.empty() ? "null" : info.pid) + ", \"branches\": [" + branches +
         "], \"policies\": " + json_object(info.policies) +
         ", \"caching\": " + json_object(info.caching) + "}\n";
}

ExitStatus ctl_command(int argc, char* const argv[]) {
  const Words words = read_words({argv + 1, static_cast<std::size_t>(argc - 1)});
  std::string text;
  if (words.help) {
    text = kUsage;
  } else if (words.action == "list" || words.action == "info") {
    want_operands(words, 0, 0);
    const ControlClient pool(words.path);
    if (words.action == "list") {
      text = list(pool, words.json);
    } else {
      const PoolInfo info = read_info(pool);
      text = words.json ? info_json(info) : info_text(info);
    }
  } else if (words.action == "get") {
    want_operands(words, 1, 1);
    const ControlClient pool(words.path);
    const std::string& key = words.operands[0];
    text = words.json ? json_value(pool, key) : pool.get(key) + "\n";
  } else if (words.action == "set") {
    want_operands(words, 1, 2);
    text = set(ControlClient(words.path), words);
  } else {
    misused("there is no '" + words.action + "': list, get, set or info");
  }
  std::fputs(text.c_str(), stdout);
  return ExitStatus::kOk;
}

}  // namespace bough::cli
