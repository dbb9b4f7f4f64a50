#include "cli/subcommands/ctl.hpp"

#include <algorithm>
#include <cstdio>
#include <span>
#include <string_view>

#include "cli/configuration.hpp"
#include "cli/control_client.hpp"
#include "cli/info_json.hpp"
#include "cli/json_text.hpp"
#include "cli/pulse.hpp"
#include "cli/size_for_people.hpp"

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

std::string json_value(const ControlClient& pool, const std::string& key) {
  return opening(pool.mount_point()) + ", \"key\": " + json_text(key) +
         ", \"value\": " + json_text(pool.get(key)) + "}\n";
}

std::string list(const ControlClient& pool, bool json) {
  const KeyValues all = all_values(pool);
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

}  // namespace

std::string info_text(const PoolInfo& info) {
  std::string text = "mount point: " + info.mount_point + "\nversion: " + info.version +
                     "\npid: " + info.pid + "\n";
  for (const BranchInfo& branch : info.branches) {
    text += "branch: " + branch.path + " " + branch.mode;
    if (!branch.absent.empty())
      text += ", ABSENT: " + branch.absent;
    else
      text += branch.space ? ", " + size_for_people(branch.space->free) + " free of " +
                                 size_for_people(branch.space->total)
                           : ", room not known";
    if (branch.read_only) text += ", ITS FILE SYSTEM IS READ-ONLY";
    if (!branch.min_free.empty()) text += ", minimum " + branch.min_free;
    text += "\n";
  }
  for (const KeyValues& part : {info.policies, info.caching})
    for (const auto& [key, value] : part) text += key + ": " + value + "\n";
  return text;
}

std::string info_json(const PoolInfo& info) {
  return opening(info.mount_point) + ", \"version\": " + json_text(info.version) +
         ", \"pid\": " + (info.pid.empty() ? "null" : info.pid) +
         ", \"branches\": " + json_branches(info.branches) +
         ", \"policies\": " + json_object(info.policies) +
         ", \"caching\": " + json_object(info.caching) + "}\n";
}

namespace {

std::string answer_to(const Words& words) {
  const ControlClient pool(words.path);
  if (words.action == "list") return list(pool, words.json);
  if (words.action == "set") return set(pool, words);
  if (words.action == "get") {
    const std::string& key = words.operands[0];
    return words.json ? json_value(pool, key) : pool.get(key) + "\n";
  }
  const PoolInfo info = read_info(pool);
  return words.json ? info_json(info) : info_text(info);
}

void check_words(const Words& words) {
  if (words.action == "list" || words.action == "info")
    want_operands(words, 0, 0);
  else if (words.action == "get")
    want_operands(words, 1, 1);
  else if (words.action == "set")
    want_operands(words, 1, 2);
  else
    misused("there is no '" + words.action + "': list, get, set or info");
}

}  // namespace

ExitStatus ctl_command(int argc, char* const argv[]) {
  const Words words = read_words({argv + 1, static_cast<std::size_t>(argc - 1)});
  std::string text;
  if (words.help) {
    text = kUsage;
  } else {
    check_words(words);
    text = ask_pool(words.path, [&] { return answer_to(words); });
  }
  std::fputs(text.c_str(), stdout);
  return ExitStatus::kOk;
}

}  // namespace bough::cli
