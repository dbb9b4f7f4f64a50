#include "cli/control_client.hpp"

#include <sys/statvfs.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "cli/configuration.hpp"
#include "cli/exit_status.hpp"
#include "cli/pool_of.hpp"
#include "cli/pulse.hpp"
#include "cli/read_all.hpp"
#include "ops/control_file.hpp"

namespace bough::cli {
namespace {

constexpr std::string_view kPrefix = "user.boughfs.";
/// Those are not listed.
constexpr std::array<std::string_view, 3> kCommands{"cmd.gc", "cmd.gc1",
                                                    "cmd.invalidate-all-nodes"};

std::string attribute(std::string_view key) {
  return std::string(kPrefix).append(key);
}

bool is_read_only(const std::string& mount_point) {
  struct statvfs room = {};
  return ::statvfs(mount_point.c_str(), &room) == 0 && (room.f_flag & ST_RDONLY) != 0;
}

}  // namespace

ControlClient::ControlClient(const std::string& path)
    : mount_point_(root_of(pool_of(path))), file_(mount_point_ + "/.boughfs") {}

std::vector<std::string> ControlClient::keys() const {
  std::string names;
  const auto list = [&](char* at, std::size_t size) {
    return ::listxattr(file_.c_str(), at, size);
  };
  if (read_all(list, names) < 0) failed(errno);
  std::vector<std::string> keys;
  for (std::size_t at = 0; at < names.size();) {
    const std::string_view name(names.c_str() + at);
    if (name.starts_with(kPrefix)) keys.emplace_back(name.substr(kPrefix.size()));
    at += name.size() + 1;
  }
  return keys;
}

std::string ControlClient::get(std::string_view key) const {
  std::string value;
  const std::string name = attribute(key);
  const auto ask = [&](char* at, std::size_t size) {
    return ::getxattr(file_.c_str(), name.c_str(), at, size);
  };
  if (read_all(ask, value) >= 0) return value;
  if (errno == ENODATA) unknown(key);
  failed(errno);
}

void ControlClient::set(std::string_view key, std::string_view value) const {
  if (::setxattr(file_.c_str(), attribute(key).c_str(), value.data(), value.size(), 0) != 0)
    refused(key, value, errno);
}

void ControlClient::unknown(std::string_view key) const {
  if (std::find(kCommands.begin(), kCommands.end(), key) != kCommands.end())
    throw StartError(ExitStatus::kUsage,
                     std::string(key) + " is a command, which can be set and not read");
  const std::vector<std::string> known = keys();
  std::vector<std::string_view> candidates(known.begin(), known.end());
  candidates.insert(candidates.end(), kCommands.begin(), kCommands.end());
  const std::string_view hint = nearest_key(key, candidates);
  throw StartError(ExitStatus::kUsage,
                   "the pool has no key '" + std::string(key) + "'" +
                       (hint.empty() ? "; " : ", did you mean '" + std::string(hint) + "'? ") +
                       "boughfs ctl " + mount_point_ + " list shows all");
}

void ControlClient::refused(std::string_view key, std::string_view value, int error) const {
  const std::string name(key);
  const std::string what = name + "=" + std::string(value.substr(0, 200));
  if (error == ENODATA) unknown(key);
  const std::string reason = reason_for(key, value);
  if (!reason.empty() && error != EROFS && error != EACCES && error != EPERM)
    throw StartError(error == EAGAIN || error == EBUSY ? ExitStatus::kSystem : ExitStatus::kUsage,
                     reason);
  if (error == EINVAL || error == EOVERFLOW)
    throw StartError(ExitStatus::kUsage, what + ": " + name +
                                             " was refused, and something else by now: the pool's "
                                             "log says why");
  Configuration defaults;
  const proto::Setting* const row = defaults.table.find(key);
  if (error == EROFS && is_read_only(mount_point_))
    throw StartError(ExitStatus::kSystem, what + ": the pool at " + mount_point_ +
                                              " is mounted read-only: nothing can be set");
  if (error == EROFS && row != nullptr)
    throw StartError(ExitStatus::kUsage,
                     row->name +
                         " is fixed once mounted: unmount the pool and mount it again with -o " +
                         row->name + "=" + std::string(value.substr(0, 200)));
  if (error == EROFS)
    throw StartError(ExitStatus::kUsage,
                     name + " tells of the pool and is no option: it cannot be set");
  if (error == EACCES || error == EPERM)
    throw StartError(ExitStatus::kSystem,
                     what + ": only root, or who mounted the pool, may set something");
  const bool answered = error != ENOTCONN && error != ECONNABORTED;
  if (row != nullptr && (row->name == "log.file" || row->name == "debug") && answered)
    throw StartError(ExitStatus::kUsage,
                     what + ": the pool cannot write the log file: " + std::strerror(error));
  failed(error);
}

std::string ControlClient::reason_for(std::string_view key, std::string_view value) const {
  std::string told;
  const std::string name = attribute("last-refusal");
  const auto ask = [&](char* at, std::size_t size) {
    return ::getxattr(file_.c_str(), name.c_str(), at, size);
  };
  if (read_all(ask, told) < 0) return {};
  // Another client's refusal may have come in between.
  const auto serial = told.find(' ');
  if (serial == std::string::npos) return {};
  told.erase(0, serial + 1);
  return told.starts_with(ops::refused_text(key, value)) ? told : std::string();
}

void ControlClient::failed(int error) const {
  if (error == ENOENT || error == EOPNOTSUPP)
    throw StartError(ExitStatus::kSystem,
                     "the pool at " + mount_point_ +
                         " has no control file of boughfs: another program serves it");
  if (error == EACCES)
    throw StartError(ExitStatus::kSystem,
                     "the pool at " + mount_point_ + " " + about(Pulse::kClosed));
  throw StartError(ExitStatus::kSystem,
                   "the pool at " + mount_point_ + " does not answer: " + std::strerror(error));
}

}  // namespace bough::cli
