#pragma once

#include <string_view>

namespace bough::cli {

/// For the name of an option that mergerfs knows and boughfs does not ('_' and '-' alike): a
/// sentence that says why, without a full stop. Empty: mergerfs has none of that name either, or it
/// is not of this list. It is there for who brings the options of a mergerfs pool along.
[[nodiscard]] std::string_view about_mergerfs_option(std::string_view key);

/// Options of libfuse and of older versions that mergerfs takes, whatever their value, and does
/// nothing with: fstab lines are full of them. They mean as much here.
[[nodiscard]] bool means_nothing(std::string_view key);

}  // namespace bough::cli
