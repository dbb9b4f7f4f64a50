#include "ops/dir_snapshot.hpp"

#include <algorithm>
#include <tuple>

namespace bough::ops {
namespace {

/// The low bits are left to the rank; the room at the top lets ranks run over without leaving 63
/// bits.
constexpr std::uint64_t kPositions = 0x7fffffffffffff00;
constexpr std::uint64_t kLastPosition = 0x7fffffff00000000;

}  // namespace

void DirSnapshot::add(std::string_view name, std::uint64_t ino, std::uint32_t type,
                      std::size_t branch) {
  entries_.push_back(Entry{0, ino, texts_.size(), static_cast<std::uint32_t>(branch),
                           static_cast<std::uint16_t>(name.size()), static_cast<std::uint8_t>(type),
                           false});
  texts_.append(name).push_back('\0');
}

void DirSnapshot::append(const DirSnapshot& other) {
  const std::size_t texts = texts_.size();
  texts_.append(other.texts_);
  entries_.reserve(entries_.size() + other.entries_.size());
  for (Entry entry : other.entries_) {
    entry.text += texts;
    entries_.push_back(entry);
  }
}

void DirSnapshot::seal(std::uint64_t (*hash)(std::string_view)) {
  for (Entry& entry : entries_)
    entry.cookie = std::clamp(hash(name(entry)) & kPositions, kFirstCookie, kLastPosition);
  std::sort(entries_.begin(), entries_.end(), [this](const Entry& a, const Entry& b) {
    if (a.cookie != b.cookie) return a.cookie < b.cookie;
    return std::tuple(name(a), a.text) < std::tuple(name(b), b.text);
  });
  const auto same = [this](const Entry& a, const Entry& b) {
    return a.cookie == b.cookie && name(a) == name(b);
  };
  for (std::size_t i = entries_.size(); i > 1; --i)
    if (same(entries_[i - 2], entries_[i - 1])) entries_[i - 2].several = true;
  entries_.erase(std::unique(entries_.begin(), entries_.end(), same), entries_.end());
  std::uint64_t last = 0;
  for (Entry& entry : entries_) last = entry.cookie = std::max(entry.cookie, last + 1);
  entries_.shrink_to_fit();
}

std::size_t DirSnapshot::after(std::uint64_t cookie) const noexcept {
  const auto at = std::upper_bound(
      entries_.begin(), entries_.end(), cookie,
      [](std::uint64_t value, const Entry& entry) { return value < entry.cookie; });
  return static_cast<std::size_t>(at - entries_.begin());
}

proto::Dirent DirSnapshot::operator[](std::size_t index) const noexcept {
  const Entry& entry = entries_[index];
  return {name(entry), entry.ino, entry.cookie, entry.type};
}

}  // namespace bough::ops
