#include "ops/name_watch.hpp"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>

namespace bough::ops {

int NameWatch::add(int directory) noexcept {
  if (!queue_) queue_ = Fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!queue_) return kNone;
  std::array<char, 32> path{};
  (void)std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", directory);
  return ::inotify_add_watch(queue_.get(), path.data(),
                             IN_CREATE | IN_MOVED_TO | IN_MOVE_SELF | IN_DELETE_SELF | IN_ONLYDIR);
}

void NameWatch::remove(int watch) noexcept {
  if (queue_ && watch != kNone) (void)::inotify_rm_watch(queue_.get(), watch);
}

void NameWatch::read(const std::function<void(const Event&)>& take) const {
  alignas(inotify_event) std::array<std::byte, 4096> buffer;
  while (queue_) {
    const ssize_t got = ::read(queue_.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    const std::byte* const end = buffer.data() + got;
    for (const std::byte* at = buffer.data(); at < end;) {
      inotify_event event{};
      std::memcpy(&event, at, sizeof event);
      const auto* const name = reinterpret_cast<const char*>(at + sizeof event);
      at += sizeof event + event.len;
      using What = Event::What;
      if ((event.mask & IN_Q_OVERFLOW) != 0)
        take({What::kLost, kNone, {}});
      else if ((event.mask & (IN_CREATE | IN_MOVED_TO)) != 0)
        take({(event.mask & IN_ISDIR) != 0 ? What::kDirectory : What::kName, event.wd,
              std::string_view(name, ::strnlen(name, event.len))});
      else
        take({What::kGone, event.wd, {}});
    }
  }
}

}  // namespace bough::ops
