#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

namespace bough::ops {

struct RawDirent {
  /// NUL-terminated in the buffer.
  std::string_view name;
  std::uint64_t ino = 0;
  /// Where the entry after this one begins (d_off).
  std::uint64_t next = 0;
  std::uint8_t type = 0;
};

/// Walks the records of one getdents64(2) answer (struct linux_dirent64). Borrows the buffer.
class RawDirents {
 public:
  explicit RawDirents(std::span<const std::byte> records) noexcept : rest_(records) {}

  /// Nothing at the end, or where a record is malformed: broken() tells.
  [[nodiscard]] std::optional<RawDirent> next() noexcept {
    if (rest_.empty()) return std::nullopt;
    std::uint16_t length = 0;
    if (rest_.size() > kName) std::memcpy(&length, rest_.data() + kLength, sizeof length);
    if (length <= kName || length > rest_.size()) return stop();
    RawDirent entry;
    std::memcpy(&entry.ino, rest_.data(), sizeof entry.ino);
    std::memcpy(&entry.next, rest_.data() + kNext, sizeof entry.next);
    entry.type = static_cast<std::uint8_t>(rest_[kType]);
    const auto* const text = reinterpret_cast<const char*>(rest_.data() + kName);
    const void* const end = std::memchr(text, '\0', length - kName);
    if (end == nullptr) return stop();
    entry.name = {text, static_cast<std::size_t>(static_cast<const char*>(end) - text)};
    rest_ = rest_.subspan(length);
    return entry;
  }
  [[nodiscard]] bool broken() const noexcept { return broken_; }

 private:
  static constexpr std::size_t kNext = 8;
  static constexpr std::size_t kLength = 16;
  static constexpr std::size_t kType = 18;
  static constexpr std::size_t kName = 19;

  std::optional<RawDirent> stop() noexcept {
    broken_ = true;
    rest_ = {};
    return std::nullopt;
  }

  std::span<const std::byte> rest_;
  bool broken_ = false;
};

[[nodiscard]] constexpr bool is_dot(std::string_view name) noexcept {
  return name == "." || name == "..";
}

}  // namespace bough::ops
