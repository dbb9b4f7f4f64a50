#include "cli/info_json.hpp"

#include "cli/json_text.hpp"

namespace bough::cli {

std::string json_object(const KeyValues& values) {
  std::string text;
  for (const auto& [key, value] : values)
    text += (text.empty() ? "{" : ", ") + json_text(key) + ": " + json_text(value);
  return text.empty() ? "{}" : text + "}";
}

std::string json_branches(const std::vector<BranchInfo>& branches) {
  std::string text;
  for (const BranchInfo& branch : branches) {
    const auto bytes = [&](std::uint64_t BranchInfo::Space::*member) {
      return branch.space ? std::to_string((*branch.space).*member) : "null";
    };
    text +=
        std::string(text.empty() ? "" : ", ") + "{\"path\": " + json_text(branch.path) +
        ", \"mode\": " + (branch.mode.empty() ? "null" : json_text(branch.mode)) +
        ", \"minfreespace\": " + (branch.min_free.empty() ? "null" : json_text(branch.min_free)) +
        ", \"free_bytes\": " + bytes(&BranchInfo::Space::free) +
        ", \"total_bytes\": " + bytes(&BranchInfo::Space::total) +
        ", \"read_only\": " + (branch.space ? branch.read_only ? "true" : "false" : "null") +
        ", \"open_files\": " + std::to_string(branch.open_files) +
        ", \"absent\": " + (branch.absent.empty() ? "null" : json_text(branch.absent)) + "}";
  }
  return "[" + text + "]";
}

}  // namespace bough::cli
