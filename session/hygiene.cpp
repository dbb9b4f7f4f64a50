#include "session/hygiene.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string_view>

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

namespace bough::session {
namespace {

/// More open files than this are not worth a kernel table for.
constexpr rlim_t kEnoughDescriptors = 1 << 20;

/// The daemon's death breaks every user of the mount; -1000 would make it immune.
constexpr std::string_view kOomScore = "-900";

void raise_descriptor_limit() noexcept {
  rlim_t most = 0;
  if (std::FILE* file = std::fopen("/proc/sys/fs/nr_open", "re")) {
    unsigned long value = 0;
    if (std::fscanf(file, "%lu", &value) == 1) most = std::min<rlim_t>(value, kEnoughDescriptors);
    std::fclose(file);
  }
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  if (most > limit.rlim_max) {
    const rlimit raised{most, most};
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) return;
  }
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

void drop_resource_capability() noexcept {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (::syscall(SYS_capget, &header, data) != 0) return;
  constexpr __u32 bit = 1U << CAP_SYS_RESOURCE;
  data[0].effective &= ~bit;
  data[0].permitted &= ~bit;
  data[0].inheritable &= ~bit;
  ::syscall(SYS_capset, &header, data);
}

}  // namespace

void prepare_process() noexcept {
  raise_descriptor_limit();
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
  ::umask(0);
}

bool set_priority(int nice) noexcept {
  return ::setpriority(PRIO_PROCESS, 0, nice) == 0;
}

void settle_daemon() noexcept {
  if (::chdir("/") != 0) return;
  ::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
  const int file = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (file >= 0) {
    // Refused to a process without CAP_SYS_RESOURCE: it keeps the score that it was given.
    [[maybe_unused]] const auto written = ::write(file, kOomScore.data(), kOomScore.size());
    ::close(file);
  }
  drop_resource_capability();
}

}  // namespace bough::session
