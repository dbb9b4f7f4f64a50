#include "ops/file_handle.hpp"

#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "ops/locate.hpp"
#include "ops/operations.hpp"

namespace bough::ops {
namespace {

/// The least alignment that any disk asks of O_DIRECT.
constexpr std::uint64_t kSector = 512;
constexpr std::chrono::microseconds kWait{250};
constexpr int kMostWaits = 200;

bool is_longest(const Pool& pool, std::uint64_t size, std::uint64_t limit) noexcept {
  return size + pool.agreement.page_size > limit;
}

/// Whether a request that was cut ended there. Only once.
bool follows_cut(FileHandle& handle, std::uint64_t offset) noexcept {
  return std::any_of(handle.cuts.begin(), handle.cuts.end(), [&](auto& cut) {
    std::uint64_t expected = offset;
    return cut.compare_exchange_strong(expected, FileHandle::kNotCut, std::memory_order_acquire);
  });
}

}  // namespace

Result<int> descriptor_for(Pool& pool, FileHandle& handle, bool direct) {
  if (((handle.flags & O_DIRECT) != 0) == direct) return handle.fd.get();
  if (const int known = handle.twin.load(std::memory_order_acquire); known != -1)
    return known >= 0 ? known : handle.fd.get();
  const std::lock_guard making(handle.making_twin);
  if (const int known = handle.twin.load(std::memory_order_acquire); known != -1)
    return known >= 0 ? known : handle.fd.get();
  int flags =
      branch_open_flags(handle.flags, pool.settings.files.writeback) & ~(O_TRUNC | O_DIRECT);
  if (direct) flags |= O_DIRECT;
  auto opened = reopen_file(pool, handle.fd.get(), flags, handle.flags);
  if (!opened) {
    if (!direct)
      if (const auto changed = pool.backing.clear_direct(handle.fd.get()); !changed)
        return opened.error();
    handle.twin.store(FileHandle::kNoTwin, std::memory_order_release);
    return handle.fd.get();
  }
  const int made = opened->release();
  handle.twin.store(made, std::memory_order_release);
  return made;
}

void note_cut(const Pool& pool, FileHandle& handle, std::uint64_t offset, std::uint64_t size,
              std::uint64_t limit) noexcept {
  const std::uint64_t end = offset + size;
  if (!is_longest(pool, size, limit) || end % pool.agreement.page_size == 0) return;
  const auto slot = handle.next_cut.fetch_add(1, std::memory_order_relaxed) % handle.cuts.size();
  handle.cuts[slot].store(end, std::memory_order_release);
}

bool is_cut_piece(Pool& pool, FileHandle& handle, std::uint64_t offset, std::uint64_t size,
                  std::uint64_t limit) noexcept {
  const std::uint64_t end = offset + size;
  const bool first =
      offset % kSector == 0 && is_longest(pool, size, limit) && end % pool.agreement.page_size != 0;
  bool cut = first || follows_cut(handle, offset);
  // The request before it was read from the device before this one, by a thread that may not have
  // come to noting it.
  const bool later = offset % pool.agreement.page_size != 0 &&
                     (end % kSector == 0 || is_longest(pool, size, limit));
  for (int waits = 0; !cut && later && waits < kMostWaits; ++waits) {
    std::this_thread::sleep_for(kWait);
    cut = follows_cut(handle, offset);
  }
  if (cut) pool.figures.cut_direct_calls.fetch_add(1, std::memory_order_relaxed);
  return cut;
}

}  // namespace bough::ops
