#pragma once

#include <cstdint>

#include "ops/pool.hpp"

namespace bough::ops {

/// The handle's descriptor for one request: with O_DIRECT or without. A program may switch O_DIRECT
/// on and off (fcntl(2), F_SETFL), pages that the kernel reads or writes are never aligned to a
/// file's end, and each request tells its own kind; the descriptor of the other kind is opened at
/// first use. What cannot be opened once more (by a daemon without root's rights a file whose mode
/// forbids it; on a file system without O_DIRECT) goes on with its one descriptor, from then on
/// without O_DIRECT: data that was not aligned would be lost otherwise. The descriptor is the
/// handle's.
[[nodiscard]] Result<int> descriptor_for(Pool& pool, FileHandle& handle, bool direct);

/// The alignment that O_DIRECT wants of the caller's memory is invisible here, and a long call from
/// memory that is not aligned to pages comes in pieces that are cut at page ends of that memory:
/// anywhere in the file. Such a piece is to go without O_DIRECT, when the branch refuses it;
/// everything else that it refuses is EINVAL for the caller, as natively. Pieces of one call may
/// come at once, on several threads.
///
/// Before an O_DIRECT request: notes where it ends, if the kernel may have cut it there. `limit`:
/// the longest request in bytes.
void note_cut(const Pool& pool, FileHandle& handle, std::uint64_t offset, std::uint64_t size,
              std::uint64_t limit) noexcept;
/// After it gave EINVAL: whether it is such a piece. May wait some milliseconds for the request
/// before it, where the answer depends on that.
[[nodiscard]] bool is_cut_piece(Pool& pool, FileHandle& handle, std::uint64_t offset,
                                std::uint64_t size, std::uint64_t limit) noexcept;

}  // namespace bough::ops
