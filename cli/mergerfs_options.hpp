#pragma once

#include <string_view>

namespace bough::cli {

/// For the name of an option that mergerfs knows and boughfs does not ('_' and '-' alike): a
/// sentence that says why, without a full stop. Empty: mergerfs has none of that name either, or it
/// is not of this list. It is there for who brings the options of a mergerfs pool along.
[[nodiscard]] std::string_view about_mergerfs_option(std::string_view key);

}  // namespace bough::cli
