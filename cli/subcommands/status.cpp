#include "cli/subcommands/status.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <optional>

#include "cli/info_json.hpp"
#include "cli/json_text.hpp"
#include "cli/patience.hpp"
#include "cli/pool_of.hpp"
#include "cli/pulse.hpp"
#include "cli/size_for_people.hpp"

namespace bough::cli {
namespace {

constexpr std::string_view kWhyOff = "passthrough.why-off";

// Documentation/filesystems/fuse.rst, "Control filesystem": a connection's directory is named by
// the device number of its mount.
long waiting_requests(const MountInfo& mount) {
  const unsigned long device =
      (static_cast<unsigned long>(mount.device_major) << 20U) | mount.device_minor;
  std::ifstream file("/sys/fs/fuse/connections/" + std::to_string(device) + "/waiting");
  long waiting = -1;
  return file >> waiting ? waiting : -1;
}

std::string bar(const BranchInfo::Space& space) {
  constexpr std::size_t kCells = 20;
  const std::uint64_t used = space.total - std::min(space.total, space.free);
  const auto share =
      space.total == 0 ? 0.0 : static_cast<double>(used) / static_cast<double>(space.total);
  const auto full = static_cast<std::size_t>(std::lround(share * kCells));
  return "[" + std::string(full, '#') + std::string(kCells - full, '.') + "] " +
         std::to_string(std::lround(share * 100)) + "%";
}

std::string silence_json(Pulse pulse) {
  const char* const why = pulse == Pulse::kDead     ? "server gone"
                          : pulse == Pulse::kClosed ? "not allowed"
                                                    : "hangs";
  return R"(false, "why_silent": ")" + std::string(why) + "\"";
}

PoolStatus read_status(const std::string& path) {
  const MountInfo mount = pool_of(path);
  return {mount, waiting_requests(mount)};
}

}  // namespace

std::string status_text(const PoolStatus& status) {
  const MountInfo& mount = status.mount;
  std::string text = "mount point: " + mount.mount_point + "\nsource: " + mount.source +
                     "\noptions: " + mount.options + "\npool options: " + mount.super_options +
                     "\nmount id: " + std::to_string(mount.id) +
                     "\ndevice: " + std::to_string(mount.device_major) + ":" +
                     std::to_string(mount.device_minor) + "\n";
  if (status.waiting >= 0) text += "unanswered requests: " + std::to_string(status.waiting) + "\n";
  return text;
}

std::string status_json(const PoolStatus& status, const std::string& more) {
  const MountInfo& mount = status.mount;
  return "{\"schema\": \"boughfs.status/1\", \"mount_point\": " + json_text(mount.mount_point) +
         ", \"source\": " + json_text(mount.source) + ", \"options\": " + json_text(mount.options) +
         ", \"pool_options\": " + json_text(mount.super_options) +
         ", \"mount_id\": " + std::to_string(mount.id) + ", \"device\": \"" +
         std::to_string(mount.device_major) + ":" + std::to_string(mount.device_minor) +
         "\", \"unanswered_requests\": " +
         (status.waiting >= 0 ? std::to_string(status.waiting) : "null") + more + "}\n";
}

std::string pool_text(const PoolInfo& info) {
  std::string text = "version: " + info.version + "\npid: " + info.pid + "\n";
  for (const BranchInfo& branch : info.branches) {
    text += "branch: " + branch.path + " " + branch.mode + ", ";
    if (!branch.absent.empty())
      text += "ABSENT: " + branch.absent;
    else if (branch.space)
      text += bar(*branch.space) + ", " + size_for_people(branch.space->free) + " free of " +
              size_for_people(branch.space->total);
    else
      text += "does not say how much room it has";
    if (branch.read_only) text += ", ITS FILE SYSTEM IS READ-ONLY";
    if (!branch.min_free.empty()) text += ", minimum " + branch.min_free;
    text += ", open files: " + std::to_string(branch.open_files) + "\n";
  }
  for (const BranchInfo& branch : info.left)
    text += "taken out of the pool but in use: " + branch.path +
            ", open files: " + std::to_string(branch.open_files) + "\n";
  for (const std::string& move : info.moves) text += "moving: " + move + "\n";
  if (info.pinned_files != 0)
    text += "open files that cannot move to another branch, as they are passed through: " +
            std::to_string(info.pinned_files) + "\n";
  // Where the functions of each category have one policy, that says it all.
  bool alike = true;
  for (const auto& [key, value] : info.policies) {
    if (!key.starts_with("category.")) continue;
    alike = alike && value.find(',') == std::string::npos;
    text += key + ": " + value + "\n";
  }
  for (const auto& [key, value] : info.changed)
    if (!key.starts_with("category.") && !(key.starts_with("func.") && alike))
      text += key + ": " + value + "\n";
  for (const auto& [key, value] : info.caching)
    if (key == kWhyOff) text += "passthrough is off: " + value + "\n";
  return text;
}

std::string pool_json(const PoolInfo& info) {
  return ", \"version\": " + json_text(info.version) +
         ", \"pid\": " + (info.pid.empty() ? "null" : info.pid) +
         ", \"branches\": " + json_branches(info.branches) +
         ", \"left_branches\": " + json_branches(info.left) +
         ", \"policies\": " + json_object(info.policies) +
         ", \"caching\": " + json_object(info.caching) +
         ", \"changed_options\": " + json_object(info.changed);
}

ExitStatus status_command(int argc, char* const argv[]) {
  CLI::App app("What is mounted at MOUNT, any path inside a pool.", "boughfs status");
  std::string path;
  bool json = false;
  app.add_option("MOUNT", path, "any path inside the pool")->required();
  app.add_flag("--json", json, "one JSON object, schema boughfs.status/1");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) {
      throw StartError(ExitStatus::kUsage,
                       std::string(error.what()) + "; boughfs status --help explains");
    }
    app.exit(error);
    return ExitStatus::kOk;
  }
  const PoolStatus status = read_status(path);
  const std::string root = root_of(status.mount);
  Pulse pulse = pulse_of(root);
  std::optional<std::string> said;
  if (pulse == Pulse::kAnswers) {
    said = within(kPulsePatience, [&] {
      const PoolInfo info = read_info(ControlClient(path));
      return json ? pool_json(info) : pool_text(info);
    });
    if (!said) pulse = Pulse::kSilent;
  }
  std::string text;
  if (json) {
    text = status_json(status, R"(, "answers": )" + (said ? "true" + *said : silence_json(pulse)));
  } else {
    text = status_text(status) + said.value_or("THE POOL " + about(pulse) + "\n");
  }
  std::fputs(text.c_str(), stdout);
  if (said) return ExitStatus::kOk;
  return pulse == Pulse::kClosed ? ExitStatus::kSystem : ExitStatus::kSilent;
}

}  // namespace bough::cli
