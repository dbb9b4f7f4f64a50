#pragma once

#include <string>
#include <string_view>

namespace bough::cli {

/// A JSON string with its quotes. Bytes that are not part of valid UTF-8 become U+0080 to U+00FF,
/// since JSON has no bytes.
[[nodiscard]] std::string json_text(std::string_view bytes);

}  // namespace bough::cli
