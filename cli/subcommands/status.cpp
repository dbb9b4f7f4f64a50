#include "cli/subcommands/status.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <fstream>

#include "cli/json_text.hpp"
#include "cli/pool_of.hpp"

namespace bough::cli {
namespace {

// Documentation/filesystems/fuse.rst, "Control filesystem": a connection's directory is named by
// the device number of its mount.
long waiting_requests(const MountInfo& mount) {
  const unsigned long device =
      (static_cast<unsigned long>(mount.device_major) << 20U) | mount.device_minor;
  std::ifstream file("/sys/fs/fuse/connections/" + std::to_string(device) + "/waiting");
  long waiting = -1;
  return file >> waiting ? waiting : -1;
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

std::string status_json(const PoolStatus& status) {
  const MountInfo& mount = status.mount;
  return "{\"schema\": \"boughfs.status/1\", \"mount_point\": " + json_text(mount.mount_point) +
         ", \"source\": " + json_text(mount.source) + ", \"options\": " + json_text(mount.options) +
         ", \"pool_options\": " + json_text(mount.super_options) +
         ", \"mount_id\": " + std::to_string(mount.id) + ", \"device\": \"" +
         std::to_string(mount.device_major) + ":" + std::to_string(mount.device_minor) +
         "\", \"unanswered_requests\": " +
         (status.waiting >= 0 ? std::to_string(status.waiting) : "null") + "}\n";
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
  std::fputs((json ? status_json(status) : status_text(status)).c_str(), stdout);
  return ExitStatus::kOk;
}

}  // namespace bough::cli
