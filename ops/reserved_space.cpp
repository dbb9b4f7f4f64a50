#include "ops/reserved_space.hpp"

#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace bough::ops {
namespace {

constexpr std::uint64_t kBlock = 512;
constexpr std::size_t kExtents = 64;

/// FS_IOC_FIEMAP's argument: a fiemap and the room for extents behind it.
struct alignas(fiemap) Map {
  std::array<std::byte, sizeof(fiemap) + kExtents * sizeof(fiemap_extent)> bytes{};

  void ask_from(std::uint64_t start) noexcept {
    fiemap head{};
    head.fm_start = start;
    head.fm_length = FIEMAP_MAX_OFFSET - start;
    head.fm_extent_count = kExtents;
    std::memcpy(bytes.data(), &head, sizeof head);
  }
  [[nodiscard]] std::size_t size() const noexcept {
    fiemap head{};
    std::memcpy(&head, bytes.data(), sizeof head);
    return std::min<std::size_t>(head.fm_mapped_extents, kExtents);
  }
  [[nodiscard]] fiemap_extent operator[](std::size_t index) const noexcept {
    fiemap_extent extent{};
    std::memcpy(&extent, bytes.data() + sizeof(fiemap) + index * sizeof extent, sizeof extent);
    return extent;
  }
};

class Reserving {
 public:
  Reserving(Backing& backing, int source, const FileStat& like, int target)
      : backing_(backing), source_(source), like_(like), target_(target) {}

  Result<void> run() {
    if (like_.blocks == 0) return {};
    Map map;
    const std::uint64_t most = is_xfs() ? like_.size : FIEMAP_MAX_OFFSET;
    for (std::uint64_t at = 0; at < most;) {
      map.ask_from(at);
      if (!backing_.control(source_, FS_IOC_FIEMAP, map.bytes)) return whole();
      const std::size_t size = map.size();
      for (std::size_t i = 0; i < size; ++i) {
        const fiemap_extent extent = map[i];
        at = extent.fe_logical + extent.fe_length;
        const std::uint64_t end = std::min<std::uint64_t>(at, most);
        if ((extent.fe_flags & FIEMAP_EXTENT_UNWRITTEN) != 0 && extent.fe_logical < end)
          if (const auto done = reserve(extent.fe_logical, end); !done) return done;
        if ((extent.fe_flags & FIEMAP_EXTENT_LAST) != 0) return {};
      }
      if (size == 0) return {};
    }
    return {};
  }

 private:
  [[nodiscard]] bool is_xfs() const {
    const auto system = backing_.statfs(source_);
    return system && system->type == XFS_SUPER_MAGIC;
  }
  /// A file system that does not tell where (tmpfs): the file takes up as much as if it had no
  /// holes, but shows some, or more.
  Result<void> whole() {
    const std::uint64_t taken = like_.blocks * kBlock;
    if (taken < like_.size) return {};
    const auto hole = backing_.seek(source_, 0, SEEK_HOLE);
    const bool shows_holes = like_.size > 0 && hole && *hole < like_.size;
    const bool more = taken - like_.size > std::max<std::uint64_t>(like_.block_size, kBlock);
    return shows_holes || more ? reserve(0, more ? taken : like_.size) : Result<void>();
  }
  Result<void> reserve(std::uint64_t begin, std::uint64_t end) {
    const auto done = backing_.allocate(target_, FALLOC_FL_KEEP_SIZE, begin, end - begin);
    if (!done && (done.error() == Errno{EOPNOTSUPP} || done.error() == Errno{ENOSYS})) return {};
    return done;
  }

  Backing& backing_;
  const int source_;
  const FileStat& like_;
  const int target_;
};

}  // namespace

Result<void> reserve_as(Backing& backing, int source, const FileStat& like, int target) {
  return Reserving(backing, source, like, target).run();
}

}  // namespace bough::ops
