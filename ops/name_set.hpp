#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace bough::ops {

/// Names by their hashes, each with a set of 64 branches. Two names of one hash count as one that
/// is wherever either is. Not for several threads at once.
class NameSet {
 public:
  /// What a listing may cost in memory: 256 KiB.
  static constexpr std::size_t kMost = 8192;

  [[nodiscard]] std::uint64_t branches_with(std::uint64_t hash) const noexcept {
    return slots_.empty() ? 0 : slots_[place(hash)].branches;
  }
  /// False: there are too many names. May throw std::bad_alloc, nothing changed.
  [[nodiscard]] bool add(std::uint64_t hash, std::uint64_t branches) {
    if (branches_with(hash) == 0) {
      if (used_ >= kMost) return false;
      if ((used_ + 1) * 2 > slots_.size()) grow();
    }
    Slot& slot = slots_[place(hash)];
    if (slot.branches == 0) ++used_;
    slot.hash = hash;
    slot.branches |= branches;
    return true;
  }
  void clear() noexcept {
    slots_ = {};
    used_ = 0;
  }
  [[nodiscard]] std::size_t size() const noexcept { return used_; }

 private:
  struct Slot {
    std::uint64_t hash = 0;
    /// 0: free.
    std::uint64_t branches = 0;
  };

  /// Where the name is, or belongs.
  [[nodiscard]] std::size_t place(std::uint64_t hash) const noexcept {
    const std::size_t last = slots_.size() - 1;
    std::size_t at = hash & last;
    while (slots_[at].branches != 0 && slots_[at].hash != hash) at = (at + 1) & last;
    return at;
  }
  void grow() {
    constexpr std::size_t kFirst = 64;
    std::vector<Slot> before(std::max(slots_.size() * 2, kFirst));
    before.swap(slots_);
    for (const Slot& each : before)
      if (each.branches != 0) slots_[place(each.hash)] = each;
  }

  /// A power of two, half of it free.
  std::vector<Slot> slots_;
  std::size_t used_ = 0;
};

}  // namespace bough::ops
