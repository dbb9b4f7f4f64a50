#pragma once

#include <string>

#include "cli/mountinfo.hpp"

namespace bough::cli {

/// The pool that `path` lies in; its server is not asked. Throws StartError (kNotAPool).
[[nodiscard]] MountInfo pool_of(const std::string& path);

}  // namespace bough::cli
