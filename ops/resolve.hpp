#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "proto/result.hpp"

namespace bough::ops {

using proto::Result;

/// As realpath(3), for an absolute path; but a directory whose path is in `closed` is not entered
/// (EDEADLK): where the pool itself is mounted, its own process would wait for itself.
[[nodiscard]] Result<std::string> resolve(std::string_view path,
                                          const std::vector<std::string>& closed);

/// The same where the end of the path, or what a link leads to, is missing: that stays as it is
/// written.
[[nodiscard]] Result<std::string> resolve_what_is_there(std::string_view path,
                                                        const std::vector<std::string>& closed);

}  // namespace bough::ops
