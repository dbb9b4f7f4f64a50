#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

namespace bough::proto {

/// Walks over bytes that nobody has checked yet. Never reads past its end, and copies structs out,
/// since strings and extensions of the wire begin at any byte. Does not own the bytes.
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes) noexcept : rest_(bytes) {}

  /// The next sizeof(T) bytes; none if fewer are left.
  template <class T>
  [[nodiscard]] std::optional<T> read() noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    if (rest_.size() < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, rest_.data(), sizeof(T));
    rest_ = rest_.subspan(sizeof(T));
    return value;
  }

  /// The bytes up to the next NUL, which is stepped over; none if there is no NUL. The view is
  /// followed by that NUL in memory.
  [[nodiscard]] std::optional<std::string_view> string() noexcept {
    if (rest_.empty()) return std::nullopt;
    const void* const nul = std::memchr(rest_.data(), 0, rest_.size());
    if (nul == nullptr) return std::nullopt;
    const auto length = static_cast<std::size_t>(static_cast<const std::byte*>(nul) - rest_.data());
    const std::string_view text(reinterpret_cast<const char*>(rest_.data()), length);
    rest_ = rest_.subspan(length + 1);
    return text;
  }

  /// The next `size` bytes; none if fewer are left.
  [[nodiscard]] std::optional<std::span<const std::byte>> take(std::uint64_t size) noexcept {
    if (rest_.size() < size) return std::nullopt;
    const auto taken = rest_.first(static_cast<std::size_t>(size));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }

  [[nodiscard]] std::size_t left() const noexcept { return rest_.size(); }
  [[nodiscard]] bool done() const noexcept { return rest_.empty(); }

 private:
  std::span<const std::byte> rest_;
};

}  // namespace bough::proto
