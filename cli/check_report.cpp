#include "cli/check_report.hpp"

#include <algorithm>

#include "cli/info_json.hpp"
#include "cli/json_text.hpp"
#include "cli/size_for_people.hpp"

namespace bough::cli {
namespace {

using Level = Finding::Level;

const char* level_name(Level level) {
  switch (level) {
    case Level::kRefused:
      return "refused";
    case Level::kWarning:
      return "warning";
    case Level::kNote:
      break;
  }
  return "note";
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ",") + word;
  return text;
}

std::string branch_line(const CheckedBranch& branch) {
  std::string text = branch.path + " " + branch.mode;
  if (!branch.absent.empty()) return text + " ABSENT";
  if (!branch.ground.type.empty()) text += " " + branch.ground.type;
  if (branch.space)
    text += ", " + size_for_people(branch.space->free) + " of " +
            size_for_people(branch.space->total) + " free, minfreespace " +
            size_for_people(branch.least);
  return text;
}

std::string verdict(const Findings& findings) {
  const std::size_t refused = count_of(findings, Level::kRefused);
  const std::size_t warnings = count_of(findings, Level::kWarning);
  if (refused != 0) return "would NOT be mounted";
  if (warnings == 0) return "would be mounted";
  return "would be mounted, with " + std::to_string(warnings) +
         (warnings == 1 ? " warning" : " warnings");
}

template <class Items, class ToText>
std::string json_list(const Items& items, ToText to_text) {
  std::string text;
  for (const auto& item : items) text += (text.empty() ? "" : ", ") + to_text(item);
  return "[" + text + "]";
}

std::string text_or_null(const std::string& text) {
  return text.empty() ? "null" : json_text(text);
}

std::string branch_json(const CheckedBranch& branch) {
  const bool there = branch.absent.empty();
  const auto bytes = [&](std::uint64_t value) {
    return branch.space ? std::to_string(value) : std::string("null");
  };
  const BranchInfo::Space space = branch.space.value_or(BranchInfo::Space());
  return "{\"path\": " + json_text(branch.path) + ", \"mode\": " + json_text(branch.mode) +
         ", \"absent\": " + text_or_null(branch.absent) +
         ", \"type\": " + text_or_null(branch.ground.type) +
         ", \"disks\": " + json_list(branch.ground.disks, json_text) +
         ", \"free_bytes\": " + bytes(space.free) + ", \"total_bytes\": " + bytes(space.total) +
         ", \"least_bytes\": " + bytes(branch.least) +
         ", \"read_only\": " + (there ? (branch.read_only ? "true" : "false") : "null") + "}";
}

std::string finding_json(const Finding& finding) {
  return "{\"level\": " + json_text(level_name(finding.level)) +
         ", \"about\": " + json_text(finding.about) + ", \"text\": " + json_text(finding.text) +
         "}";
}

std::string pool_json(const CheckedPool& pool) {
  const bool mounts = count_of(pool.findings, Level::kRefused) == 0;
  return "{\"place\": " + text_or_null(pool.place) +
         ", \"mount_point\": " + text_or_null(pool.mountpoint) +
         ", \"type\": " + text_or_null(pool.type) + ", \"kernel\": " + json_text(pool.kernel) +
         ", \"would_be_mounted\": " + (mounts ? "true" : "false") +
         ", \"options\": " + json_object(pool.options) +
         ", \"flags\": " + json_list(pool.flags, json_text) +
         ", \"branches\": " + json_list(pool.branches, branch_json) +
         ", \"findings\": " + json_list(pool.findings, finding_json) + "}";
}

}  // namespace

std::size_t count_of(const Findings& findings, Finding::Level level) {
  return static_cast<std::size_t>(
      std::count_if(findings.begin(), findings.end(),
                    [&](const Finding& finding) { return finding.level == level; }));
}

std::string check_text(const CheckedPool& pool) {
  std::string text = pool.place.empty() ? "" : pool.place + ": ";
  text += pool.mountpoint.empty() ? "no mount point" : pool.mountpoint;
  text +=
      pool.type.empty() ? ", no pool\n" : ", type " + pool.type + ", Linux " + pool.kernel + "\n";
  if (!pool.options.empty()) text += "options that are not as by default:\n";
  for (const auto& [key, value] : pool.options) text += "  " + key + "=" + value + "\n";
  if (!pool.flags.empty()) text += "flags: " + joined(pool.flags) + "\n";
  if (!pool.branches.empty()) text += "branches:\n";
  for (const CheckedBranch& branch : pool.branches) text += "  " + branch_line(branch) + "\n";
  for (const Level level : {Level::kRefused, Level::kWarning, Level::kNote})
    for (const Finding& finding : pool.findings)
      if (finding.level == level)
        text += std::string(level_name(level)) + ": " + finding.about + ": " + finding.text + "\n";
  return text + verdict(pool.findings) + "\n";
}

std::string check_json(const std::vector<CheckedPool>& pools) {
  return R"({"schema": "boughfs.check/1", "pools": )" + json_list(pools, pool_json) + "}\n";
}

}  // namespace bough::cli
