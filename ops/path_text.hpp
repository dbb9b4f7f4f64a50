#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace bough::ops {

/// A pool path without a leading slash ("" is the root), built back to front from edges. Short
/// paths, nearly all, live inside the object: no allocation. NUL-terminated.
class PathText {
 public:
  PathText() noexcept { clear(); }

  void clear() noexcept {
    begin_ = kInline - 1;
    inline_[begin_] = '\0';
    long_.clear();
  }
  /// Puts `name` and a slash (unless this is the last component) in front.
  void prepend(std::string_view name);

  [[nodiscard]] std::string_view view() const noexcept {
    return long_.empty() ? std::string_view(inline_.data() + begin_, kInline - 1 - begin_)
                         : std::string_view(long_).substr(begin_);
  }
  [[nodiscard]] const char* c_str() const noexcept { return view().data(); }
  [[nodiscard]] bool empty() const noexcept { return view().empty(); }

 private:
  void grow(std::size_t needed);

  static constexpr std::size_t kInline = 1024;
  std::array<char, kInline> inline_;
  /// Where the text begins in inline_, or in long_ once that is not empty.
  std::size_t begin_;
  std::string long_;
};

}  // namespace bough::ops
