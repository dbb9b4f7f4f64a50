#include "cli/pulse.hpp"

#include <sys/xattr.h>

#include <cerrno>
#include <optional>

#include "cli/exit_status.hpp"
#include "cli/patience.hpp"
#include "cli/pool_of.hpp"

namespace bough::cli {

Pulse pulse_of(const std::string& mount_point) {
  const std::string file = mount_point + "/.boughfs";
  const auto error = within(kPulsePatience, [&] {
    const ssize_t got = ::getxattr(file.c_str(), "user.boughfs.pid", nullptr, 0);
    return std::to_string(got < 0 ? errno : 0);
  });
  if (!error) return Pulse::kSilent;
  if (*error == std::to_string(ENOTCONN) || *error == std::to_string(ECONNABORTED))
    return Pulse::kDead;
  return *error == std::to_string(EACCES) ? Pulse::kClosed : Pulse::kAnswers;
}

std::string about(Pulse pulse) {
  switch (pulse) {
    case Pulse::kSilent:
      return "does not answer: it hangs, or its disks do";
    case Pulse::kDead:
      return "does not answer: its server is gone; unmount it, or mount it again";
    case Pulse::kClosed:
      return "lets in only the user who mounted it: ask as that user, or mount it with "
             "-o allow-other";
    case Pulse::kAnswers:
      break;
  }
  return {};
}

std::string root_of(const MountInfo& pool) {
  if (pool.root == "/") return pool.mount_point;
  for (const MountInfo& mount : mount_table()) {
    if (mount.root == "/" && mount.device_major == pool.device_major &&
        mount.device_minor == pool.device_minor)
      return mount.mount_point;
  }
  throw StartError(ExitStatus::kNotAPool,
                   pool.mount_point + " is a directory of a pool whose root is not mounted here");
}

std::string ask_pool(const std::string& path, const std::function<std::string()>& work) {
  const std::string mount_point = root_of(pool_of(path));
  if (const std::string wrong = about(pulse_of(mount_point)); !wrong.empty())
    throw StartError(ExitStatus::kSystem, "the pool at " + mount_point + " " + wrong);
  // In front of what came of it: 0, or the status of the error that the rest is.
  const std::optional<std::string> answer = within(kAnswerPatience, [&]() -> std::string {
    try {
      return '\0' + work();
    } catch (const StartError& error) {
      return static_cast<char>(error.status) + std::string(error.what());
    }
  });
  if (!answer || answer->empty())
    throw StartError(ExitStatus::kSystem,
                     "the pool at " + mount_point + " did not answer in " +
                         std::to_string(kAnswerPatience.count()) +
                         " seconds: a disk may hang; what was asked may be done later");
  if (answer->front() != 0)
    throw StartError(static_cast<ExitStatus>(answer->front()), answer->substr(1));
  return answer->substr(1);
}

}  // namespace bough::cli
