#include "session/tune_mount.hpp"

#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "session/read_ahead.hpp"

namespace bough::session {
namespace {

std::string complaint(const std::string& where, int error) {
  const std::string what = "readahead of " + where + " cannot be set: ";
  if (error == ENODEV) return what + "its file system has none, or does not show it in /sys";
  return what + std::strerror(error);
}

void tune_read_ahead(Settings& settings, dev_t device, std::span<const BranchDevice> branches,
                     const std::string& sys, std::vector<std::string>& lines) {
  const ReadAhead pool(device, sys);
  const std::uint64_t wanted = settings.read_ahead;
  if (wanted == kReadAheadByMessage) {
    const std::uint64_t message = std::uint64_t{settings.message_pages} *
                                  static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / 1024;
    // Where it cannot be raised, nobody was promised that it would.
    if (pool.kib().value_or(message) < message) static_cast<void>(pool.set(message));
  } else if (wanted != 0) {
    if (const int error = pool.set(wanted)) lines.push_back(complaint("the pool", error));
    for (const BranchDevice& branch : branches)
      if (const int error = ReadAhead(branch.device, sys).set(wanted))
        lines.push_back(complaint("branch " + branch.path, error));
  }
  if (const auto now = pool.kib()) settings.read_ahead = *now;
}

/// `value` stays what it is where the control file system of FUSE is not mounted.
void read_limit(const std::string& sys, dev_t pool, const char* name, std::uint32_t& value) {
  const std::string path = sys + "/fs/fuse/connections/" + std::to_string(minor(pool)) + '/' + name;
  std::FILE* const file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return;
  std::uint32_t now = 0;
  if (std::fscanf(file, "%" SCNu32, &now) == 1) value = now;
  std::fclose(file);
}

}  // namespace

std::vector<std::string> tune_mount(Settings& settings, dev_t pool,
                                    std::span<const BranchDevice> branches,
                                    const std::string& sys) {
  std::vector<std::string> lines;
  tune_read_ahead(settings, pool, branches, sys, lines);
  read_limit(sys, pool, "max_background", settings.max_background);
  read_limit(sys, pool, "congestion_threshold", settings.congestion_threshold);
  return lines;
}

}  // namespace bough::session
