#include "cli/option_table.hpp"

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <utility>

#include "cli/exit_status.hpp"
#include "cli/mergerfs_options.hpp"

namespace bough::cli {
namespace {

using proto::Setting;

/// How many letters have to be changed, added, dropped or swapped with their neighbour.
std::size_t edit_distance(std::string_view from, std::string_view to) {
  std::vector<std::size_t> before_last;
  std::vector<std::size_t> last(to.size() + 1);
  std::vector<std::size_t> current(to.size() + 1);
  for (std::size_t j = 0; j <= to.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= from.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= to.size(); ++j) {
      const std::size_t replaced = last[j - 1] + (from[i - 1] == to[j - 1] ? 0U : 1U);
      current[j] = std::min({replaced, last[j] + 1, current[j - 1] + 1});
      if (i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1]) {
        current[j] = std::min(current[j], before_last[j - 2] + 1);
      }
    }
    before_last = last;
    last = current;
  }
  return last[to.size()];
}

/// As it was given; only the beginning of what would fill a screen.
std::string spelling(const OptionWord& word) {
  constexpr std::size_t kMost = 200;
  const std::string whole = word.value ? word.key + "=" + *word.value : word.key;
  return whole.size() <= kMost ? whole : whole.substr(0, kMost) + "...";
}

void apply_row(const Setting& row, const OptionWord& word) {
  if (!word.value && row.bare.empty()) {
    throw StartError(ExitStatus::kUsage, "-o " + word.key + ": " + row.name +
                                             " wants a value: " + row.name + "=" + row.form);
  }
  const std::string complaint = row.set(word.value ? *word.value : row.bare);
  if (!complaint.empty()) {
    throw StartError(ExitStatus::kUsage,
                     "-o " + spelling(word) + ": " + row.name + " " + complaint);
  }
}

}  // namespace

OptionTable::OptionTable(std::vector<Setting> rows) : rows_(std::move(rows)) {
  std::vector<std::string_view> keys;
  for (const MountWord& word : mount_words()) keys.push_back(word.name);
  for (const std::string_view word : label_words()) keys.push_back(word);
  for (const Setting& row : rows_) {
    keys.push_back(row.name);
    keys.insert(keys.end(), row.aliases.begin(), row.aliases.end());
  }
  std::sort(keys.begin(), keys.end());
  const auto twice = std::adjacent_find(keys.begin(), keys.end());
  if (twice != keys.end()) {
    throw std::logic_error("two rows of the option table claim " + std::string(*twice));
  }
}

const Setting* OptionTable::find(std::string_view key) const {
  const std::string wanted = canonical_key(key);
  const auto row = std::find_if(rows_.begin(), rows_.end(), [&](const Setting& each) {
    return each.name == wanted ||
           std::find(each.aliases.begin(), each.aliases.end(), wanted) != each.aliases.end();
  });
  return row == rows_.end() ? nullptr : &*row;
}

std::string_view OptionTable::nearest(std::string_view key) const {
  std::vector<std::string_view> candidates;
  for (const Setting& row : rows_) {
    candidates.push_back(row.name);
    candidates.insert(candidates.end(), row.aliases.begin(), row.aliases.end());
  }
  for (const MountWord& word : mount_words()) candidates.push_back(word.name);
  for (const std::string_view word : label_words()) candidates.push_back(word);
  return nearest_key(key, candidates);
}

void OptionTable::apply(std::span<const OptionWord> words, MountWords& mount,
                        Unknown unknown) const {
  for (const OptionWord& word : words) {
    if (take_mount_word(word.key, word.value ? &*word.value : nullptr, mount)) continue;
    if (means_nothing(word.key)) continue;
    if (const Setting* row = find(word.key)) {
      apply_row(*row, word);
      continue;
    }
    if (word.key == "remount") {
      throw StartError(
          ExitStatus::kUsage,
          "-o remount: a pool cannot be remounted: change it with boughfs ctl, or unmount it "
          "and mount it again");
    }
    if (unknown == Unknown::kIgnore) continue;
    if (const std::string_view known = about_mergerfs_option(word.key); !known.empty())
      throw StartError(ExitStatus::kUsage,
                       "-o " + spelling(word) + ": " + std::string(known) + ": leave it out");
    const std::string_view hint = nearest(word.key);
    throw StartError(ExitStatus::kUsage,
                     "-o " + spelling(word) + ": there is no option '" + word.key + "'" +
                         (hint.empty() ? "" : ", did you mean '" + std::string(hint) + "'?") +
                         (hint.empty() ? "; " : " ") + "boughfs --help lists all");
  }
}

std::string_view nearest_key(std::string_view key, std::span<const std::string_view> candidates) {
  const std::string wanted = canonical_key(key);
  if (wanted.size() < 2) return {};
  // A third of the letters wrong is a slip; more is another word.
  std::size_t best = std::max<std::size_t>(1, wanted.size() / 3);
  std::string_view name;
  for (const std::string_view candidate : candidates) {
    const std::size_t distance = edit_distance(wanted, candidate);
    if (distance < best || (distance == best && name.empty())) {
      best = distance;
      name = candidate;
    }
  }
  return name;
}

}  // namespace bough::cli
