#include "ops/all_copies.hpp"

#include <algorithm>
#include <chrono>

namespace bough::ops {
namespace {

constexpr std::uint32_t kUnknown = 1;
constexpr std::uint32_t kNoneInside = 2;

void take_newer(Time& shown, const Time& other) noexcept {
  const bool newer = other.seconds > shown.seconds ||
                     (other.seconds == shown.seconds && other.nanoseconds > shown.nanoseconds);
  if (newer) shown = other;
}

}  // namespace

void add_copy(FileStat& shown, const FileStat& other) noexcept {
  if (shown.nlink == 0) return;
  take_newer(shown.mtime, other.mtime);
  take_newer(shown.ctime, other.ctime);
  if (shown.nlink == kNoneInside)
    shown.nlink = std::max(other.nlink, kUnknown);
  else if (other.nlink != kNoneInside)
    shown.nlink = kUnknown;
}

void add_all_copies(Pool& pool, const BranchSet& set, PoolFacts& facts, std::size_t chosen,
                    std::string_view path, std::string_view name, FileStat& shown) {
  if (set.size() == 1) return;
  constexpr std::chrono::seconds kLongest{1};
  const auto valid = std::min<std::chrono::nanoseconds>(pool.settings.entry_valid, kLongest);
  PathText whole;
  if (!name.empty()) {
    whole.prepend(name);
    if (!path.empty()) whole.prepend(path);
    path = whole.view();
  }
  for (std::size_t i = 0; i < set.size(); ++i) {
    if (i == chosen || pool.directories.absent(set[i].id(), path, valid)) continue;
    if (!facts.exists(i)) {
      if (!facts.first_error()) pool.directories.note_absent(set[i].id(), path, valid);
      continue;
    }
    const auto stat =
        name.empty() ? pool.backing.stat(facts.directory(i).fd()) : Result<FileStat>(facts.stat(i));
    if (stat && stat->is_directory()) add_copy(shown, *stat);
  }
}

}  // namespace bough::ops
