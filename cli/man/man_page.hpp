#pragma once

#include <string>
#include <string_view>

#include "cli/option_table.hpp"

namespace bough::cli {

/// The manual page, as roff: `text` with the version, the rows of the table and the generic words
/// in place of @VERSION@, @OPTIONS@, @PASSED_OVER@, @WORDS_IN_FORCE@ and @WORDS_ACCEPTED@. Throws
/// std::runtime_error if one of these is missing or another such marker is there.
[[nodiscard]] std::string man_page(std::string text, const OptionTable& table);

/// Text that roff shows as it is, wherever on a line it stands.
[[nodiscard]] std::string roff_text(std::string_view text);

}  // namespace bough::cli
