#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "policy/registry.hpp"

namespace bough::ops {

/// The functions of each category: what a policy of its own can be set for (func.*).
enum class CreateFunction : std::uint8_t { kCreate, kMkdir, kMknod, kSymlink };
enum class SearchFunction : std::uint8_t {
  kAccess,
  kGetattr,
  kGetxattr,
  kListxattr,
  kOpen,
  kReadlink
};
enum class ActionFunction : std::uint8_t {
  kChmod,
  kChown,
  kLink,
  kRemovexattr,
  kRename,
  kRmdir,
  kSetxattr,
  kTruncate,
  kUnlink,
  kUtimens
};

/// The policies of one category, one a function; each may change while requests run, or all at
/// once. Two policies are the same if their addresses are. Any thread.
template <class Function, std::size_t kCount>
class CategoryPolicies {
 public:
  /// `table` is the registry's; `all` and what is set later are rows of it.
  CategoryPolicies(std::span<const policy::Policy> table, const policy::Policy* all) noexcept
      : table_(table.data()) {
    *this = all;
  }
  /// All functions get it.
  CategoryPolicies& operator=(const policy::Policy* all) noexcept {
    std::uint64_t rows = 0;
    for (std::size_t i = 0; i < kCount; ++i) rows |= row(all) << (i * kBits);
    rows_.store(rows, std::memory_order_relaxed);
    return *this;
  }
  void set(Function function, const policy::Policy* policy) noexcept {
    const std::size_t shift = static_cast<std::size_t>(function) * kBits;
    std::uint64_t before = rows_.load(std::memory_order_relaxed);
    while (!rows_.compare_exchange_weak(before, (before & ~(kMask << shift)) | row(policy) << shift,
                                        std::memory_order_relaxed)) {
    }
  }
  [[nodiscard]] const policy::Policy& operator[](Function function) const noexcept {
    return at(rows_.load(std::memory_order_relaxed), static_cast<std::size_t>(function));
  }
  /// As they were at one moment, in the order of the functions.
  [[nodiscard]] std::array<const policy::Policy*, kCount> all() const noexcept {
    const std::uint64_t rows = rows_.load(std::memory_order_relaxed);
    std::array<const policy::Policy*, kCount> policies{};
    for (std::size_t i = 0; i < kCount; ++i) policies[i] = &at(rows, i);
    return policies;
  }

 private:
  static constexpr std::size_t kBits = 5;
  static constexpr std::uint64_t kMask = (1U << kBits) - 1;
  static_assert(kCount * kBits <= 64);

  [[nodiscard]] std::uint64_t row(const policy::Policy* policy) const noexcept {
    return static_cast<std::uint64_t>(policy - table_) & kMask;
  }
  [[nodiscard]] const policy::Policy& at(std::uint64_t rows, std::size_t function) const noexcept {
    return table_[rows >> (function * kBits) & kMask];
  }

  const policy::Policy* const table_;
  /// The table's row of each function.
  std::atomic<std::uint64_t> rows_;
};

using CreatePolicies = CategoryPolicies<CreateFunction, 4>;
using SearchPolicies = CategoryPolicies<SearchFunction, 6>;
using ActionPolicies = CategoryPolicies<ActionFunction, 10>;

}  // namespace bough::ops
