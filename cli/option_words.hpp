#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bough::cli {

/// One element of -o: a key and, after the first '=', its value.
struct OptionWord {
  std::string key;
  std::optional<std::string> value;

  friend bool operator==(const OptionWord&, const OptionWord&) = default;
};

/// Splits the argument of -o at commas. A backslash takes the next character as it is ("\," is a
/// comma of the value); a backslash and three octal digits, the first at most 3, are that byte.
/// Empty elements are skipped. Throws StartError for a zero byte and for a backslash at the very
/// end.
[[nodiscard]] std::vector<OptionWord> split_options(std::string_view text);

/// The spelling that keys are looked up by: '_' means '-'.
[[nodiscard]] std::string canonical_key(std::string_view key);

}  // namespace bough::cli
