#pragma once

#include <span>
#include <string_view>

namespace bough::cli {

/// Options of libfuse and of older versions that mergerfs takes, whatever their value, and does
/// nothing with: fstab lines are full of them. They mean as much here.
[[nodiscard]] bool means_nothing(std::string_view key);

/// An option of libfuse, or of mergerfs, by which a user wanted something else than it does here.
struct OldOption {
  std::string_view name;
  /// The row that is set in its place, to `value` or else to what was given; empty: none.
  std::string_view row;
  std::string_view value;
  /// What its user does not get, as a sentence without a full stop; empty: nothing is lost.
  std::string_view loss;
};
/// Null: `key` is none ('_' and '-' alike).
[[nodiscard]] const OldOption* old_option(std::string_view key);
[[nodiscard]] std::span<const OldOption> old_options();

/// Rows that may keep their default where a migrated machine asks for something else: no file is
/// placed, shown or kept differently for it.
[[nodiscard]] bool may_keep_default(std::string_view row);
/// Their names, sorted.
[[nodiscard]] std::span<const std::string_view> rows_that_may_keep_default();

}  // namespace bough::cli
