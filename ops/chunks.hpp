#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

namespace bough::ops {

/// An array that grows by whole chunks, so that growing moves nothing and takes the same short time
/// however much is there. Elements are not initialised. One chunk at least, always. The caller
/// locks.
template <class T, unsigned Shift>
class Chunks {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_default_constructible_v<T>);

 public:
  static constexpr std::uint32_t kChunk = std::uint32_t{1} << Shift;

  Chunks() { add(); }

  [[nodiscard]] T& operator[](std::uint32_t index) noexcept {
    return chunks_[index >> Shift][index & (kChunk - 1)];
  }
  [[nodiscard]] const T& operator[](std::uint32_t index) const noexcept {
    return chunks_[index >> Shift][index & (kChunk - 1)];
  }
  [[nodiscard]] std::uint64_t capacity() const noexcept {
    return std::uint64_t{chunks_.size()} * kChunk;
  }
  [[nodiscard]] std::size_t bytes() const noexcept {
    return chunks_.size() * kChunk * sizeof(T) + chunks_.capacity() * sizeof(chunks_[0]);
  }

  void add() { chunks_.push_back(std::make_unique_for_overwrite<T[]>(kChunk)); }
  /// Frees all but the first chunk, whose elements stay.
  void shrink() noexcept {
    chunks_.resize(1);
    chunks_.shrink_to_fit();
  }

 private:
  std::vector<std::unique_ptr<T[]>> chunks_;
};

}  // namespace bough::ops
