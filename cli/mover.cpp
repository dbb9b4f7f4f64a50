#include "cli/mover.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "cli/exit_status.hpp"
#include "cli/read_all.hpp"
#include "cli/size_for_people.hpp"
#include "ops/fd.hpp"
#include "ops/move_words.hpp"

namespace bough::cli {
namespace {

/// Half as many more as the pool moves together, so that it need not wait for us; but of large files no
/// more than it moves at once, since all that are asked for are moved before a signal ends it.
constexpr unsigned kAtOnce = 768;
constexpr std::size_t kLargeAtOnce = 4;
constexpr std::uint64_t kBytesAtOnce = 64U << 20U;
constexpr std::uint64_t kKiB = 1024;
/// What breaks off a call of a thread that waits for the pool.
constexpr int kBreakOff = SIGUSR1;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// A set of hard links may have more names than a process may have files open.
void allow_many_files() {
  ::rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

std::string why_it_stays(int error) {
  switch (error) {
    case EBUSY:
      return "it is in use: open and read past the pool (passthrough), or changed meanwhile; "
             "close it and run this again";
    case ETXTBSY:
      return "somebody writes to it on the branch itself, past the pool";
    case EEXIST:
      return "another branch has something of that name as well; boughfs fsck shows both";
    case EXDEV:
      return "the pool shows what another branch has under that name; boughfs fsck shows both";
    case ENOSPC:
      return "no other branch has room for it";
    case EROFS:
      return "a branch is read-only";
    case EPERM:
      return "it is immutable, append-only or encrypted";
    case EIO:
      return "it cannot be read or written whole: a disk fails, or the copy read back differs";
    case ENODEV:
      return "a branch has left the pool";
    case ENOTEMPTY:
      return "there is still something in it";
    case EOPNOTSUPP:
      return "it is shown as something else in the pool (symlinkify, follow-symlinks)";
    case EINTR:
    case ECANCELED:
      return "broken off";
    default:
      return std::strerror(error);
  }
}

/// A name of it is not on its branch any more.
bool has_lost_a_name(const MoveItem& item) {
  return std::any_of(item.names.begin(), item.names.end(), [&](const std::string& name) {
    struct stat ignored = {};
    const std::string there = item.from + "/" + name;
    return ::lstat(there.c_str(), &ignored) != 0 && (errno == ENOENT || errno == ENOTDIR);
  });
}

}  // namespace

std::uint64_t copied_bytes(std::string_view moves) {
  std::uint64_t sum = 0;
  while (!moves.empty()) {
    constexpr std::string_view kBetween = "; ";
    const std::size_t end = std::min(moves.find(kBetween), moves.size());
    std::string_view one = moves.substr(0, end);
    moves.remove_prefix(std::min(end + kBetween.size(), moves.size()));
    // "PATH from A to B: 12 MiB of 80 MiB, …"
    const std::size_t colon = one.rfind(": ");
    if (colon == std::string_view::npos) continue;
    one.remove_prefix(colon + 2);
    std::uint64_t number = 0;
    const auto read = std::from_chars(one.data(), one.data() + one.size(), number);
    one.remove_prefix(static_cast<std::size_t>(read.ptr - one.data()));
    if (one.starts_with(" KiB of ")) sum += number * kKiB;
    if (one.starts_with(" MiB of ")) sum += number * kKiB * kKiB;
  }
  return sum;
}

int Mover::try_rights(const std::string& root, const std::string& branch) {
  const ops::Fd opened(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened) return errno;
  const auto bytes = std::make_unique<ops::MoveBytes>();
  const std::uint32_t command = ops::write_move_call({"", branch, ""}, *bytes);
  if (command == 0) return ENAMETOOLONG;
  return ::ioctl(opened.get(), command, bytes->data()) == 0 ? 0 : errno;
}

int Mover::move(int root, const MoveItem& item) {
  // While they are open the pool knows all its names.
  std::vector<ops::Fd> names;
  names.reserve(item.names.size());
  for (const std::string& name : item.names) {
    names.emplace_back(::openat(root, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (names.back()) continue;
    const int error = errno;
    return error == ENOENT && has_lost_a_name(item) ? kGone : error;
  }
  const auto bytes = std::make_unique<ops::MoveBytes>();
  const std::uint32_t command = ops::write_move_call(
      {item.names.front(), item.from, item.to, how_.rate, how_.verify}, *bytes);
  if (command == 0) return ENAMETOOLONG;
  if (signals_ > 1) return EINTR;
  if (::ioctl(root, command, bytes->data()) == 0) return 0;
  const int error = errno;
  // It may have gone since it was opened. Without its disk nothing is known.
  return error != ENODEV && has_lost_a_name(item) ? kGone : error;
}

bool Mover::may_begin() const {
  const std::uint64_t bytes = bytes_under_way_ + queue_.front()->bytes;
  if (how_.rate != 0) return files_under_way_ == 0 || bytes <= how_.rate;
  return files_under_way_ < kLargeAtOnce || bytes <= kBytesAtOnce;
}

void Mover::work(int root) {
  std::unique_lock lock(mutex_);
  for (;;) {
    turn_.wait(lock, [this] { return queue_.empty() || signals_ != 0 || may_begin(); });
    if (queue_.empty() || signals_ != 0) break;
    const MoveItem* const item = queue_.front();
    queue_.pop_front();
    ++files_under_way_;
    bytes_under_way_ += item->bytes;
    turn_.notify_one();
    lock.unlock();
    const int error = move(root, *item);
    lock.lock();
    --files_under_way_;
    bytes_under_way_ -= item->bytes;
    if (error == kGone) {
      if (!item->directory) ++gone_;
    } else if (signals_ > 1 && (error == EINTR || error == ECANCELED)) {
      broken_off_ = true;
    } else if (error != 0) {
      stays_.push_back({item->from + "/" + item->names.front(), why_it_stays(error), true});
    } else if (!item->directory) {
      ++files_;
      bytes_ += item->bytes;
    }
  }
  if (!queue_.empty()) broken_off_ = true;
  turn_.notify_one();
  --at_work_;
}

std::string Mover::ending_text() {
  const std::lock_guard lock(mutex_);
  // Threads that wait for their turn.
  turn_.notify_all();
  const std::string files =
      files_under_way_ == 1 ? "1 file" : std::to_string(files_under_way_) + " files";
  return "ending after the " + files + " under way (" + size_for_people(bytes_under_way_) +
         "); the same signal once more leaves them where they are";
}

Mover::Progress Mover::progress(const MovePlan& plan) const {
  Progress all{files_,         files_before_ + plan.files(),
               bytes_,         bytes_before_ + plan.bytes(),
               now() - began_, gone_};
  std::string moves;
  const std::string control = root_ + "/.boughfs";
  const auto ask = [&](char* at, std::size_t size) {
    return ::getxattr(control.c_str(), "user.boughfs.moves", at, size);
  };
  if (read_all(ask, moves) >= 0)
    all.bytes = std::min(all.all_bytes, all.bytes + copied_bytes(moves));
  return all;
}

void Mover::move_all(MovePlan& plan, std::vector<const MoveItem*> items,
                     const std::function<void()>& tick) {
  const ops::Fd root(::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root)
    throw StartError(ExitStatus::kSystem,
                     "the pool's root cannot be opened: " + root_ + ": " + std::strerror(errno));
  queue_.assign(items.begin(), items.end());
  std::vector<std::thread> threads;
  threads.reserve(kAtOnce);
  at_work_ = static_cast<unsigned>(std::min<std::size_t>(kAtOnce, items.size()));
  const unsigned wanted = at_work_;
  try {
    while (threads.size() < wanted) threads.emplace_back([this, fd = root.get()] { work(fd); });
  } catch (const std::system_error&) {
    if (threads.empty()) throw;
    // Fewer do it as well.
    const std::lock_guard lock(mutex_);
    at_work_ -= wanted - static_cast<unsigned>(threads.size());
  }
  for (;;) {
    tick();
    const std::lock_guard lock(mutex_);
    if (at_work_ == 0) break;
    if (signals_ > 1)
      for (std::thread& each : threads) (void)::pthread_kill(each.native_handle(), kBreakOff);
  }
  for (std::thread& each : threads) each.join();
  plan.stays.insert(plan.stays.end(), stays_.begin(), stays_.end());
  stays_.clear();
}

bool Mover::run(MovePlan& plan, const std::function<void(const Progress&)>& tell,
                const std::function<void(const std::string&)>& note) {
  allow_many_files();
  if (began_ == 0) began_ = now();
  files_before_ = files_;
  bytes_before_ = bytes_;
  struct sigaction breaks = {};
  breaks.sa_handler = [](int) {};
  (void)::sigaction(kBreakOff, &breaks, nullptr);
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  (void)::pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  double told = 0;
  const auto tick = [&] {
    constexpr timespec kTick{0, 50'000'000};
    if (::sigtimedwait(&ends, nullptr, &kTick) > 0 && ++signals_ == 1) note(ending_text());
    if (now() - told < 1) return;
    told = now();
    tell([&] {
      const std::lock_guard lock(mutex_);
      return progress(plan);
    }());
  };
  std::vector<const MoveItem*> files;
  for (const MoveItem& item : plan.items)
    if (!item.directory) files.push_back(&item);
  move_all(plan, std::move(files), tick);
  // Each when those below it are gone: level by level.
  std::map<std::ptrdiff_t, std::vector<const MoveItem*>, std::greater<>> directories;
  for (const MoveItem& item : plan.items) {
    if (!item.directory) continue;
    const std::string& name = item.names.front();
    directories[std::count(name.begin(), name.end(), '/')].push_back(&item);
  }
  for (auto& [depth, level] : directories) move_all(plan, std::move(level), tick);
  tell(progress(plan));
  (void)::pthread_sigmask(SIG_UNBLOCK, &ends, nullptr);
  return !broken_off_;
}

}  // namespace bough::cli
