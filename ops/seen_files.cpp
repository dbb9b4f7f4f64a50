#include "ops/seen_files.hpp"

#include <algorithm>

#include "ops/hash.hpp"

namespace bough::ops {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

std::int64_t in_ns(const Time& time) noexcept {
  return static_cast<std::int64_t>(time.seconds) * kSecond + time.nanoseconds;
}

std::uint64_t fingerprint(proto::NodeId node, std::span<const FileStat> stats) noexcept {
  std::uint64_t hash = mix_hash(node.value);
  for (const FileStat& stat : stats)
    for (const std::uint64_t part :
         {stat.id.device, stat.id.ino, static_cast<std::uint64_t>(stat.id.birth_ns), stat.size,
          static_cast<std::uint64_t>(in_ns(stat.mtime)),
          static_cast<std::uint64_t>(in_ns(stat.ctime))})
      hash = combine_hash(hash, part);
  return hash == 0 ? 1 : hash;
}

}  // namespace

std::atomic<std::uint64_t>& SeenFiles::place_of(proto::NodeId node) noexcept {
  return places_[mix_hash(node.value) % kPlaces];
}

void SeenFiles::forget(proto::NodeId node) noexcept {
  place_of(node).store(0, std::memory_order_relaxed);
}

bool SeenFiles::exchange(proto::NodeId node, std::span<const FileStat> stats,
                         std::int64_t settled_before) noexcept {
  // A time in the future proves nothing either.
  const bool settled = std::all_of(stats.begin(), stats.end(), [&](const FileStat& stat) {
    return in_ns(stat.ctime) < settled_before;
  });
  const std::uint64_t now = settled ? fingerprint(node, stats) : 0;
  return place_of(node).exchange(now, std::memory_order_relaxed) == now && now != 0;
}

bool SeenFiles::unchanged(proto::NodeId node, const FileStat& stat, std::int64_t now_ns) noexcept {
  // Whole seconds: a clock that ticks slowly (FAT, ext3), or one chance in a thousand million.
  const bool slow_clock = stat.ctime.nanoseconds == 0;
  return exchange(node, {&stat, 1}, now_ns - (slow_clock ? kSlowlySettled : kSettled));
}

bool SeenFiles::unchanged(proto::NodeId node, std::span<const FileStat> copies,
                          std::int64_t now_ns) noexcept {
  return exchange(node, copies, now_ns - kSlowlySettled);
}

}  // namespace bough::ops
