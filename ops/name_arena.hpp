#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>

#include "ops/chunks.hpp"

namespace bough::ops {

/// The texts of names (1 to 255 bytes), in units of four bytes. The place of a freed one is used
/// again by the next of its size. The caller locks, and keeps place and size.
class NameArena {
 public:
  static constexpr std::size_t kLongest = 255;

  /// Makes room, so that the next add() of a name of this size cannot fail.
  void reserve(std::size_t size) {
    const std::uint32_t units = units_of(size);
    const std::uint64_t capacity = texts_.capacity();
    if (free_[units] != 0 || capacity - next_ >= units) return;
    if (capacity >= kMostUnits) throw std::bad_alloc();
    texts_.add();
    const auto rest = static_cast<std::uint32_t>(capacity - next_);
    if (rest != 0) give_back(static_cast<std::uint32_t>(next_), rest);
    next_ = capacity;
  }
  [[nodiscard]] std::uint32_t add(std::string_view text) noexcept {
    const std::uint32_t units = units_of(text.size());
    std::uint32_t place = free_[units];
    if (place != 0) {
      std::memcpy(&free_[units], &texts_[place], sizeof(Unit));
    } else {
      place = static_cast<std::uint32_t>(next_);
      next_ += units;
    }
    std::memcpy(&texts_[place], text.data(), text.size());
    return place;
  }
  [[nodiscard]] std::string_view text(std::uint32_t place, std::size_t size) const noexcept {
    return {reinterpret_cast<const char*>(&texts_[place]), size};
  }
  void remove(std::uint32_t place, std::size_t size) noexcept { give_back(place, units_of(size)); }

  /// Empty, and at its first size.
  void reset() noexcept {
    texts_.shrink();
    free_.fill(0);
    next_ = 1;
  }
  [[nodiscard]] std::size_t bytes() const noexcept { return texts_.bytes(); }

 private:
  struct Unit {
    char bytes[4];
  };
  using Texts = Chunks<Unit, 13>;
  static constexpr std::uint64_t kMostUnits = std::uint64_t{1} << 32;
  static constexpr std::size_t kSizes = (kLongest + sizeof(Unit) - 1) / sizeof(Unit) + 1;

  static std::uint32_t units_of(std::size_t size) noexcept {
    return static_cast<std::uint32_t>((size + sizeof(Unit) - 1) / sizeof(Unit));
  }
  void give_back(std::uint32_t place, std::uint32_t units) noexcept {
    std::memcpy(&texts_[place], &free_[units], sizeof(Unit));
    free_[units] = place;
  }

  Texts texts_;
  /// By units, the first free place of that size; 0: none. A free place holds the next one.
  std::array<std::uint32_t, kSizes> free_{};
  /// The first unit that was never used. It lies in the last chunk, or right behind it.
  std::uint64_t next_ = 1;
};

}  // namespace bough::ops
