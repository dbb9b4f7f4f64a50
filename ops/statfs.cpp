#include <algorithm>
#include <limits>

#include "ops/locate.hpp"
#include "ops/operations.hpp"

namespace bough::ops {
namespace {

std::uint64_t scale(std::uint64_t blocks, std::uint32_t from, std::uint32_t to) noexcept {
  if (to == 0 || from == to) return blocks;
  // from / to is whole on every real file system; a remainder costs less than one block.
  return blocks / to * from + blocks % to * from / to;
}

std::uint64_t add(std::uint64_t a, std::uint64_t b) noexcept {
  constexpr auto kMost = std::numeric_limits<std::uint64_t>::max();
  return a > kMost - b ? kMost : a + b;
}

}  // namespace

/// The file systems of the branches as one: each counted once, however many branches it holds, in
/// fragments of the smallest size among them. One that does not answer is left out. What is mounted
/// read-only and never written through the pool has no room for anybody.
Result<proto::StatfsReply> statfs(Pool& pool, const Context&) {
  const auto set = pool.branches.snapshot();
  struct Part {
    std::uint64_t device;
    FsStat stat;
  };
  std::vector<Part> parts;
  parts.reserve(set->size());
  for (const auto& branch : *set) {
    const std::uint64_t device = branch->device();
    if (std::any_of(parts.begin(), parts.end(),
                    [&](const Part& part) { return part.device == device; }))
      continue;
    auto stat = open_with_relief(pool, [&] { return branch->statfs(); });
    if (!stat) continue;
    if (stat->fragment_size == 0) stat->fragment_size = stat->block_size;
    if (stat->read_only && branch->mode() != BranchMode::kReadWrite) stat->blocks_available = 0;
    parts.push_back(Part{device, *stat});
  }

  proto::StatfsReply reply;
  const auto least = [](std::uint32_t so_far, std::uint32_t next) {
    return next == 0 || (so_far != 0 && so_far < next) ? so_far : next;
  };
  for (const Part& part : parts) {
    reply.block_size = least(reply.block_size, part.stat.block_size);
    reply.fragment_size = least(reply.fragment_size, part.stat.fragment_size);
    reply.name_max = least(reply.name_max, part.stat.name_max);
  }
  for (const Part& part : parts) {
    const auto in_common = [&](std::uint64_t blocks) {
      return scale(blocks, part.stat.fragment_size, reply.fragment_size);
    };
    reply.blocks = add(reply.blocks, in_common(part.stat.blocks));
    reply.blocks_free = add(reply.blocks_free, in_common(part.stat.blocks_free));
    reply.blocks_available = add(reply.blocks_available, in_common(part.stat.blocks_available));
    reply.files = add(reply.files, part.stat.files);
    reply.files_free = add(reply.files_free, part.stat.files_free);
  }
  return reply;
}

}  // namespace bough::ops
