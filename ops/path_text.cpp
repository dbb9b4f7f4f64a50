#include "ops/path_text.hpp"

#include <algorithm>
#include <cstring>

namespace bough::ops {

void PathText::prepend(std::string_view name) {
  const std::size_t slash = empty() ? 0 : 1;
  const std::size_t needed = name.size() + slash;
  if (needed > begin_) grow(needed);
  char* const buffer = long_.empty() ? inline_.data() : long_.data();
  begin_ -= needed;
  std::memcpy(buffer + begin_, name.data(), name.size());
  if (slash != 0) buffer[begin_ + name.size()] = '/';
}

void PathText::grow(std::size_t needed) {
  const std::string_view text = view();
  std::string wider(std::max(2 * (text.size() + needed), 2 * kInline), '\0');
  const std::size_t begin = wider.size() - text.size();
  std::memcpy(wider.data() + begin, text.data(), text.size());
  long_.swap(wider);
  begin_ = begin;
}

}  // namespace bough::ops
