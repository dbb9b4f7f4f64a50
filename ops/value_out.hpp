#pragma once

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>

#include "proto/result.hpp"

namespace bough::ops {

/// Answers GETXATTR and LISTXATTR with `value`. Without room (`out` is empty) only its length is
/// told; with too little, ERANGE, upon which callers try again with more.
[[nodiscard]] inline proto::Result<std::size_t> value_out(std::string_view value,
                                                          std::span<std::byte> out) noexcept {
  if (out.empty()) return value.size();
  if (value.size() > out.size()) return proto::Errno{ERANGE};
  if (!value.empty()) std::memcpy(out.data(), value.data(), value.size());
  return value.size();
}

}  // namespace bough::ops
