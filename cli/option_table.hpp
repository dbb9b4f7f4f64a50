#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/mount_words.hpp"
#include "cli/option_words.hpp"
#include "proto/setting.hpp"

namespace bough::cli {

/// Every option there is: the rows that the layers export, put together once. The parser, --help
/// and the hints at misspelt keys all read this and nothing else.
class OptionTable {
 public:
  /// Throws std::logic_error if two rows claim one key, or a row claims a word of mount_words().
  explicit OptionTable(std::vector<proto::Setting> rows);

  [[nodiscard]] std::span<const proto::Setting> rows() const noexcept { return rows_; }
  /// By name or alias, '_' for '-'; null: there is none.
  [[nodiscard]] const proto::Setting* find(std::string_view key) const;
  /// The known key or word that is spelt most like `key`; empty if none comes near.
  [[nodiscard]] std::string_view nearest(std::string_view key) const;

  /// kWarn is for machines that have to boot: what mergerfs passes over is, with a warning, and of
  /// a number with something behind it the number is taken, as mergerfs does.
  enum class Unknown { kRefuse, kIgnore, kWarn };
  /// Applies the words from left to right: rows through their set(), generic words into `mount`.
  /// Returns one line for each wish that is not met. Throws StartError at the first word that is
  /// unknown, lacks its value or has a bad one; those before it have taken effect.
  std::vector<std::string> apply(std::span<const OptionWord> words, MountWords& mount,
                                 Unknown unknown) const;
  /// The same for one word; empty: there is nothing to tell.
  std::string apply_word(const OptionWord& word, MountWords& mount, Unknown unknown) const;

  /// What is said of a word that nothing is known by.
  [[nodiscard]] std::string about_unknown(const OptionWord& word, Unknown unknown) const;

 private:
  [[nodiscard]] static std::string apply_known(const proto::Setting& row, const OptionWord& word,
                                               Unknown unknown);
  std::vector<proto::Setting> rows_;
};

/// Of `candidates` the one that is spelt most like `key`, '_' for '-'; empty if none comes near.
[[nodiscard]] std::string_view nearest_key(std::string_view key,
                                           std::span<const std::string_view> candidates);

}  // namespace bough::cli
