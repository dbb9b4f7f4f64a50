#include "cli/option_check.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <string_view>

#include "cli/exit_status.hpp"
#include "cli/mergerfs_defaults.hpp"
#include "cli/mergerfs_options.hpp"

namespace bough::cli {
namespace {

constexpr const char* kAbout = "option";

/// What there is to know of an option that is taken without a word.
std::string remark(const OptionTable& table, const OptionWord& word) {
  if (means_nothing(word.key))
    return word.key + " means nothing, to mergerfs neither: it can be left out";
  if (const OldOption* const old = old_option(word.key)) {
    if (old->row.empty() || !old->loss.empty()) return {};
    const std::string value = old->value.empty() ? "" : "=" + std::string(old->value);
    return word.key + " is an old name: taken as " + std::string(old->row) + value;
  }
  const proto::Setting* const row = table.find(word.key);
  if (row == nullptr || row->name == canonical_key(word.key)) return {};
  return word.key + " is another name of " + row->name;
}

}  // namespace

Findings check_options(CommandLine& line) {
  Findings findings;
  Configuration scratch;
  if (line.as_mergerfs) take_mergerfs_defaults(scratch.table);
  scratch.config_file.treat_unknown(unknown_words(line));
  std::vector<OptionWord> good;
  std::vector<std::size_t> good_before{0};
  for (const OptionWord& word : line.options) {
    try {
      const std::string warning =
          scratch.table.apply_word(word, scratch.words, unknown_words(line));
      if (warning.empty())
        if (std::string text = remark(scratch.table, word); !text.empty())
          note(findings, kAbout, std::move(text));
      good.push_back(word);
    } catch (const StartError& error) {
      refuse(findings, kAbout, error.what());
    }
    good_before.push_back(good.size());
  }
  for (std::size_t& before : line.options_before) before = good_before[before];
  line.options = std::move(good);
  return findings;
}

KeyValues changed_options(const Configuration& config, bool as_root) {
  constexpr std::array<std::string_view, 4> kShownElsewhere{"branches", "mountpoint", "fsname",
                                                            "foreground"};
  Configuration defaults;
  defaults.mount.allow_other = as_root;
  KeyValues changed;
  for (const proto::Setting& row : config.table.rows()) {
    if (!row.get || std::find(kShownElsewhere.begin(), kShownElsewhere.end(), row.name) !=
                        kShownElsewhere.end())
      continue;
    const proto::Setting* const usual = defaults.table.find(row.name);
    std::string value = row.get();
    if (usual != nullptr && value != usual->get()) changed.emplace_back(row.name, std::move(value));
  }
  return changed;
}

std::vector<std::string> mount_flags(const MountWords& words) {
  std::vector<std::string> flags;
  for (const MountWord& word : mount_words())
    if (std::has_single_bit(word.set) && (words.flags & word.set) != 0)
      flags.emplace_back(word.name);
  return flags;
}

}  // namespace bough::cli
