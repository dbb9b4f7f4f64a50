#include "session/fusermount.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <system_error>

extern char** environ;

namespace bough::session {
namespace {

constexpr const char* kName = "fusermount3";
constexpr std::string_view kCommFd = "_FUSE_COMMFD";

[[noreturn]] void fail(int error, const char* what) {
  throw std::system_error(error, std::generic_category(), what);
}

/// Runs the helper with at most one inherited descriptor (named by _FUSE_COMMFD) and its standard
/// error on `complaints`, or nowhere if that is -1.
pid_t spawn(const std::string& path, std::vector<std::string> arguments, int inherited,
            int complaints) {
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);

  std::string comm = std::string(kCommFd) + '=' + std::to_string(inherited);
  std::vector<char*> env;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (text.substr(0, kCommFd.size()) != kCommFd) env.push_back(*entry);
  }
  if (inherited >= 0) env.push_back(comm.data());
  env.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  // Onto itself: takes close-on-exec away in the child alone.
  if (inherited >= 0) ::posix_spawn_file_actions_adddup2(&actions, inherited, inherited);
  if (complaints >= 0)
    ::posix_spawn_file_actions_adddup2(&actions, complaints, STDERR_FILENO);
  else
    ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, path.c_str(), &actions, nullptr, argv.data(), env.data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) fail(error, path.c_str());
  return pid;
}

int wait_for(pid_t pid) noexcept {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return -1;
  return status;
}

/// The descriptor that the helper sends along with one byte; none if it ends without.
Fd receive_device(int socket) noexcept {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got = 0;
  do got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got <= 0) return {};
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
      header->cmsg_len != CMSG_LEN(sizeof(int)))
    return {};
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return Fd(fd);
}

std::string read_all(int fd) {
  std::string text;
  std::array<char, 512> part;
  for (;;) {
    const ssize_t got = ::read(fd, part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(part.data(), static_cast<std::size_t>(got));
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

Fusermount Fusermount::find() {
  std::string places;
  if (const char* path = std::getenv("PATH")) places = path;
  places += ":/usr/bin:/bin";
  for (std::size_t at = 0; at <= places.size();) {
    const std::size_t end = std::min(places.find(':', at), places.size());
    std::string candidate = places.substr(at, end - at);
    at = end + 1;
    // A relative entry would make the helper depend on where we stand.
    if (candidate.empty() || candidate.front() != '/') continue;
    candidate += '/';
    candidate += kName;
    if (::access(candidate.c_str(), X_OK) == 0) return Fusermount(std::move(candidate));
  }
  return Fusermount({});
}

Fusermount::Outcome Fusermount::mount(const std::string& options, const std::string& target) const {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0)
    fail(errno, "socketpair");
  Fd ours(pair[0]);
  Fd theirs(pair[1]);
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) fail(errno, "pipe");
  Fd complaints(pipe[0]);
  Fd complain(pipe[1]);

  const pid_t pid =
      spawn(path_, {kName, "-o", options, "--", target}, theirs.get(), complain.get());
  theirs.reset();
  complain.reset();
  Outcome outcome;
  outcome.device = receive_device(ours.get());
  outcome.complaint = read_all(complaints.get());
  const int status = wait_for(pid);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) outcome.device.reset();
  if (!outcome.device && outcome.complaint.empty())
    outcome.complaint = "fusermount3 sent no descriptor";
  return outcome;
}

bool Fusermount::unmount(const std::string& target) const noexcept {
  try {
    const int status = wait_for(spawn(path_, {kName, "-u", "-z", "-q", "--", target}, -1, -1));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace bough::session
