#include "ops/file_copy.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "ops/copy_metadata.hpp"
#include "ops/credentials.hpp"
#include "ops/locate.hpp"
#include "ops/place.hpp"
#include "ops/reserved_space.hpp"

namespace bough::ops {
namespace {

constexpr std::size_t kBuffer = 256U << 10U;

/// The kernel has no way of its own between these two files.
bool must_be_read(Errno error) noexcept {
  switch (error.value()) {
    case EXDEV:
    case EINVAL:
    case EOPNOTSUPP:
    case ENOSYS:
    case EPERM:
    case ETXTBSY:
      return true;
    default:
      return false;
  }
}

bool same(const Time& a, const Time& b) noexcept {
  return a.seconds == b.seconds && a.nanoseconds == b.nanoseconds;
}

class Copying {
 public:
  Copying(Pool& pool, int source, int target, const FileStat& like, Payer payer,
          const std::function<bool(std::uint64_t)>& goes_on, std::uint64_t step, bool synced)
      : pool_(pool),
        backing_(pool.backing),
        source_(source),
        target_(target),
        like_(like),
        payer_(payer),
        goes_on_(goes_on),
        step_(step),
        synced_(synced) {}

  Result<FileStat> run() {
    // Before the data: both decide how that is written.
    copy_flags(backing_, source_, like_, target_);
    const auto owned = backing_.chown(target_, like_.uid, like_.gid);
    if (!owned && !cannot_hold(owned.error())) return owned.error();
    if (const auto done = backing_.truncate(target_, like_.size); !done) return done.error();
    if (const auto done = reserve(); !done) return done.error();
    if (const auto done = data(); !done) return done.error();
    // Without root's rights not even its owner can give it xattrs otherwise.
    if (pool_.own.uid != 0)
      if (const auto done = backing_.chmod(target_, S_IRUSR | S_IWUSR); !done) return done.error();
    // After it: a write clears file capabilities and set-ids.
    if (const auto done = copy_xattrs(backing_, source_, target_); !done) return done.error();
    // Set-id bits were meant for the owner. Group bits are the ACL's mask, so they come after it.
    const std::uint32_t mode = like_.mode & (owned ? 07777U : 01777U);
    if (const auto done = backing_.chmod(target_, mode); !done && !cannot_hold(done.error()))
      return done.error();
    if (const auto done = backing_.set_times(target_, times_of(like_));
        !done && !cannot_hold(done.error()))
      return done.error();
    if (synced_)
      if (const auto done = backing_.sync(target_, false); !done) return done.error();
    return backing_.stat(target_);
  }

 private:
  Result<void> reserve() {
    const CallerGuard guard(pool_, payer_.uid, payer_.gid, std::nullopt, 0,
                            CallerGuard::Purpose::kAllocate);
    if (!guard.ready()) return guard.ready().error();
    return reserve_as(backing_, source_, like_, target_);
  }

  Result<void> data() {
    for (std::uint64_t at = 0; at < like_.size;) {
      const auto begin = backing_.seek(source_, at, SEEK_DATA);
      if (!begin && begin.error() == Errno{ENXIO}) return {};
      std::uint64_t end = like_.size;
      if (begin) {
        at = *begin;
        if (const auto hole = backing_.seek(source_, at, SEEK_HOLE)) end = std::min(*hole, end);
      } else if (begin.error() != Errno{EINVAL} && begin.error() != Errno{EOPNOTSUPP}) {
        return begin.error();
      }
      while (at < end) {
        const auto done = piece(at, std::min(step_, end - at));
        if (!done) return done.error();
        if (*done == 0) return Errno{EBUSY};
        at += *done;
        if (goes_on_ && !goes_on_(at)) return Errno{ECANCELED};
      }
    }
    return {};
  }

  Result<std::uint64_t> piece(std::uint64_t at, std::uint64_t size) {
    const CallerGuard guard(pool_, payer_.uid, payer_.gid, std::nullopt, 0,
                            CallerGuard::Purpose::kAllocate);
    if (!guard.ready()) return guard.ready().error();
    if (!by_hand_) {
      const auto done = backing_.copy_range(source_, at, target_, at, size);
      if (done && *done > 0) return *done;
      if (!done && !must_be_read(done.error())) return done.error();
      by_hand_ = true;
    }
    buffer_.resize(kBuffer);
    const auto got = backing_.read(
        source_, std::span(buffer_).first(std::min<std::uint64_t>(size, kBuffer)), at);
    if (!got) return got.error();
    for (std::size_t written = 0; written < *got;) {
      const auto done = backing_.write(target_, std::span(buffer_).first(*got).subspan(written),
                                       at + written, false);
      if (!done) return done.error();
      if (*done == 0) return Errno{EIO};
      written += *done;
    }
    return *got;
  }

  Pool& pool_;
  Backing& backing_;
  const int source_;
  const int target_;
  const FileStat& like_;
  const Payer payer_;
  const std::function<bool(std::uint64_t)>& goes_on_;
  const std::uint64_t step_;
  const bool synced_;
  bool by_hand_ = false;
  std::vector<std::byte> buffer_;
};

}  // namespace

Result<Fd> open_source(Pool& pool, int path_fd) {
  return open_with_relief(pool, [&] {
    auto fd = pool.backing.reopen(path_fd, O_RDONLY | O_NOATIME);
    if (!fd && fd.error() == Errno{EPERM}) fd = pool.backing.reopen(path_fd, O_RDONLY);
    return fd;
  });
}

bool same_content(const FileStat& now, const FileStat& then) noexcept {
  return now.size == then.size && same(now.mtime, then.mtime);
}

Result<FileStat> copy_file(Pool& pool, int source, int to, const char* name, Payer payer) {
  const auto like = pool.backing.stat(source);
  if (!like) return like.error();
  const auto target = open_with_relief(
      pool, [&] { return pool.backing.open_at(to, name, O_RDWR | O_CREAT | O_EXCL, 0); });
  if (!target) return target.error();
  UndoName undo(pool.backing, to, name, false);
  auto copied = copy_into(pool, source, *like, target->get(), payer, {});
  if (!copied) return copied;
  const auto now = pool.backing.stat(source);
  if (!now) return now.error();
  if (!same_content(*now, *like) || !same(now->ctime, like->ctime)) return Errno{EBUSY};
  undo.dismiss();
  return copied;
}

Result<FileStat> copy_into(Pool& pool, int source, const FileStat& like, int target, Payer payer,
                           const std::function<bool(std::uint64_t)>& goes_on, std::uint64_t step,
                           bool synced) {
  return Copying(pool, source, target, like, payer, goes_on, step, synced).run();
}

Result<bool> reads_back(Pool& pool, int source, int copy, std::uint64_t size,
                        const std::function<bool()>& goes_on) {
  Backing& backing = pool.backing;
  backing.drop_cache(copy, true);
  std::vector<std::byte> left(kBuffer);
  std::vector<std::byte> right(kBuffer);
  /// Where data begins; what cannot be asked for it has data from here on.
  const auto data_from = [&](int fd, std::uint64_t at) {
    const auto found = backing.seek(fd, at, SEEK_DATA);
    if (found) return *found;
    return found.error() == Errno{ENXIO} ? size : at;
  };
  for (std::uint64_t at = 0;;) {
    // Where both have a hole they are alike.
    at = std::min(data_from(source, at), data_from(copy, at));
    if (at >= size) return true;
    if (!goes_on()) return Errno{ECANCELED};
    const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(kBuffer, size - at));
    for (const auto& [fd, into] : {std::pair(source, &left), std::pair(copy, &right)}) {
      for (std::size_t filled = 0; filled < length;) {
        const auto got =
            backing.read(fd, std::span(*into).first(length).subspan(filled), at + filled);
        if (!got) return got.error();
        if (*got == 0) return false;
        filled += *got;
      }
    }
    if (!std::equal(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(length),
                    right.begin()))
      return false;
    at += length;
  }
}

}  // namespace bough::ops
