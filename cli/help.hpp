#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/option_table.hpp"

namespace bough::cli {

/// The headings of the table's rows, each once, in the order of the rows. They live in the table.
[[nodiscard]] std::vector<std::string_view> groups_of(const OptionTable& table);

/// The words of mount(8) as people read them, with the form of their values.
struct GenericWords {
  std::vector<std::string> in_force;
  /// Those that mean nothing to a pool.
  std::vector<std::string> accepted;
};
[[nodiscard]] GenericWords generic_words();

/// The text of --help: usage, every row of the table under its group's heading, the generic words,
/// exit status. A row's default is its value if that is another than `usual` has: under the name
/// mergerfs other defaults are in force.
[[nodiscard]] std::string help_text(const OptionTable& table, const OptionTable& usual);
/// The same with the usual defaults.
[[nodiscard]] std::string help_text(const OptionTable& table);
[[nodiscard]] std::string version_text();
/// The bare number.
[[nodiscard]] std::string_view version_number();

}  // namespace bough::cli
