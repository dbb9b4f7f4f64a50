#include "ops/file_handle.hpp"

#include <fcntl.h>

#include "ops/locate.hpp"
#include "ops/operations.hpp"

namespace bough::ops {

Result<int> descriptor_for(Pool& pool, FileHandle& handle, bool direct) {
  if (((handle.flags & O_DIRECT) != 0) == direct) return handle.fd.get();
  const int known = handle.twin.load(std::memory_order_acquire);
  if (known >= 0) return known;
  int flags = branch_open_flags(handle.flags, pool.settings.files.writeback) & ~(O_TRUNC | O_DIRECT);
  if (direct) flags |= O_DIRECT;
  auto opened = reopen_file(pool, handle.fd.get(), flags, handle.flags);
  if (!opened) {
    if (direct && opened.error() == Errno{EINVAL}) return handle.fd.get();
    return opened.error();
  }
  int first = -1;
  if (!handle.twin.compare_exchange_strong(first, opened->get(), std::memory_order_acq_rel))
    return first;
  return opened->release();
}

bool is_cut_piece(Pool& pool, FileHandle& handle, std::uint64_t offset, std::uint64_t size,
                  std::uint64_t limit) noexcept {
  const bool first = size + pool.agreement.page_size > limit;
  const bool next = handle.cut_at.load(std::memory_order_relaxed) == offset;
  if (!first && !next) return false;
  handle.cut_at.store(first ? offset + size : FileHandle::kNotCut, std::memory_order_relaxed);
  pool.figures.cut_direct_calls.fetch_add(1, std::memory_order_relaxed);
  return true;
}

}  // namespace bough::ops
