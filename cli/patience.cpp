#include "cli/patience.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>

namespace bough::cli {
namespace {

bool write_all(int fd, const std::string& text) {
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t done = ::write(fd, text.data() + at, text.size() - at);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return false;
    at += static_cast<std::size_t>(done);
  }
  return true;
}

[[noreturn]] void be_the_child(int fd, const std::function<std::string()>& work) {
  bool good = false;
  try {
    good = write_all(fd, work());
  } catch (const std::exception&) {
    good = false;
  }
  // Nothing of the parent's is flushed or undone here.
  ::_exit(good ? 0 : 1);
}

/// False: `limit` came first.
bool read_until_end(int fd, std::chrono::milliseconds limit, std::string& into) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + limit;
  std::array<char, 4096> part{};
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    ::pollfd wait{fd, POLLIN, 0};
    const int ready = ::poll(&wait, 1, static_cast<int>(std::max<long>(left.count(), 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    const ssize_t got = ::read(fd, part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return got == 0;
    into.append(part.data(), static_cast<std::size_t>(got));
  }
}

}  // namespace

std::optional<std::string> within(std::chrono::milliseconds limit,
                                  const std::function<std::string()>& work) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return std::nullopt;
  const ::pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    be_the_child(ends[1], work);
  }
  ::close(ends[1]);
  std::string text;
  const bool whole = child > 0 && read_until_end(ends[0], limit, text);
  ::close(ends[0]);
  if (child < 0) return std::nullopt;
  // A request that waits for its answer is given up at SIGKILL; one that was begun may end first.
  if (!whole) ::kill(child, SIGKILL);
  int status = 0;
  while (whole && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!whole || status != 0) return std::nullopt;
  return text;
}

}  // namespace bough::cli
