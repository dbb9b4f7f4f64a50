#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace bough::proto {

/// One checked component of a path: not empty, no '/', no NUL, neither "." nor "..". Holding a Name
/// means the check was made; nothing else may be joined to a directory descriptor.
///
/// Does not own its bytes: a Name decoded from a request lives as long as the receive buffer. The
/// byte after the last one is NUL (the wire has it there), so that c_str() needs no copy.
class Name {
 public:
  /// FUSE's own limit (a name of FUSE_NAME_MAX is refused by the kernel before it reaches us).
  static constexpr std::size_t kMax = 4095;

  /// `terminated` must be followed by a NUL byte in memory.
  [[nodiscard]] static constexpr std::optional<Name> check(std::string_view terminated) noexcept {
    if (terminated.empty() || terminated.size() > kMax || terminated == "." || terminated == "..")
      return std::nullopt;
    for (const char c : terminated)
      if (c == '/' || c == '\0') return std::nullopt;
    return Name{terminated};
  }

  [[nodiscard]] constexpr std::string_view view() const noexcept { return text_; }
  [[nodiscard]] constexpr const char* c_str() const noexcept { return text_.data(); }
  [[nodiscard]] constexpr std::size_t size() const noexcept { return text_.size(); }
  friend constexpr bool operator==(Name, Name) noexcept = default;

 private:
  constexpr explicit Name(std::string_view text) noexcept : text_(text) {}
  std::string_view text_;
};

}  // namespace bough::proto
