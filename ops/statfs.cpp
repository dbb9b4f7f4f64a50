#include <fcntl.h>

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

/// One file system that takes part.
struct Part {
  std::uint64_t device = 0;
  FsStat stat;
};

/// The one that a node's path leads to on a branch: something else may be mounted inside. ENOENT
/// and the like: the branch does not have it.
Result<Part> part_of_path(Pool& pool, Branch& branch, const NodeView& view) {
  auto directory = recent_directory(pool, branch, view.path.view());
  if (!directory) return directory.error();
  Fd file;
  if (!view.directory) {
    auto opened = open_with_relief(
        pool, [&] { return pool.backing.open_at(directory->fd(), view.name_c_str(), O_PATH, 0); });
    if (!opened) return opened.error();
    file = *std::move(opened);
  }
  const int fd = view.directory ? directory->fd() : file.get();
  const auto stat = pool.backing.stat(fd);
  if (!stat) return stat.error();
  const auto space = pool.backing.statfs(fd);
  if (!space) return space.error();
  return Part{stat->id.device, *space};
}

Result<Part> part_of_branch(Pool& pool, Branch& branch) {
  const auto space = open_with_relief(pool, [&] { return branch.statfs(); });
  if (!space) return space.error();
  return Part{branch.device(), *space};
}

/// Its room is there, but not for what users make.
bool is_ignored(const Settings& settings, BranchMode mode, bool read_only) noexcept {
  if (mode == BranchMode::kReadWrite) return false;
  const StatfsIgnore ignore = settings.statfs_ignore;
  return read_only || ignore == StatfsIgnore::kRo ||
         (ignore == StatfsIgnore::kNc && mode == BranchMode::kNoCreate);
}

}  // namespace

/// The file systems of the branches as one: each counted once, however many branches it holds (the
/// first decides whether its room counts), in fragments of the smallest size among them. One that
/// does not answer is left out.
Result<proto::StatfsReply> statfs(Pool& pool, const Context& context) {
  const auto set = pool.branches.snapshot();
  NodeView view;
  const bool by_path = pool.settings.statfs_of == StatfsOf::kFull &&
                       pool.nodes.view(context.node, view) && view.named;
  std::vector<Part> parts;
  parts.reserve(set->size());
  for (std::size_t i = 0; i < set->size(); ++i) {
    Branch& branch = (*set)[i];
    auto part = by_path ? part_of_path(pool, branch, view) : part_of_branch(pool, branch);
    if (!part || std::any_of(parts.begin(), parts.end(),
                             [&](const Part& before) { return before.device == part->device; }))
      continue;
    if (part->stat.fragment_size == 0) part->stat.fragment_size = part->stat.block_size;
    if (is_ignored(pool.settings, set->mode(i), part->stat.read_only))
      part->stat.blocks_available = 0;
    parts.push_back(*part);
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
