#include "cli/option_table.hpp"

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <utility>

#include "cli/exit_status.hpp"
#include "cli/mergerfs_options.hpp"
#include "proto/size_text.hpp"

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

/// Empty, or what is wrong with the option.
std::string apply_row(const Setting& row, const OptionWord& word) {
  if (!word.value && row.bare.empty())
    return "-o " + word.key + ": " + row.name + " wants a value: " + row.name + "=" + row.form;
  const std::string complaint = row.set(word.value ? *word.value : row.bare);
  if (complaint.empty()) return {};
  return "-o " + spelling(word) + ": " + row.name + " " + complaint;
}

/// The readings of `value` that mergerfs, which stops at the first letter that it does not know,
/// would take: `20GB` is 20G there, and 20G the number that it stands for.
/// A size with a unit that there is none of (3x) has no reading: of a minimum that is a thousand
/// times too small nobody would know.
std::vector<std::string> readings_of(std::string_view value, bool size) {
  const std::size_t digits = std::min(value.find_first_not_of("0123456789"), value.size());
  if (digits == 0 || digits == value.size()) return {};
  std::vector<std::string> readings;
  const std::string with_unit(value.substr(0, digits + 1));
  if (const auto bytes = proto::parse_size(with_unit))
    readings = {with_unit, std::to_string(*bytes)};
  if (!size) readings.emplace_back(value.substr(0, digits));
  return readings;
}

/// Takes what mergerfs would have taken of a value that the row refused. Empty: nothing; else what
/// became of it.
std::string apply_leniently(const Setting& row, const OptionWord& word) {
  const bool size = row.form.find("SIZE") != std::string::npos;
  for (const std::string& reading : readings_of(word.value.value_or(std::string()), size))
    if (row.set(reading).empty()) return "taken as " + row.name + "=" + reading;
  if (may_keep_default(row.name)) return "passed over";
  return {};
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
  for (const OldOption& old : old_options())
    if (old.row != old.name) keys.push_back(old.name);
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

std::string OptionTable::about_unknown(const OptionWord& word, Unknown unknown) const {
  const std::string option = "-o " + spelling(word) + ": ";
  const bool refused = unknown == Unknown::kRefuse;
  const std::string_view hint = nearest(word.key);
  return option + "there is no option '" + word.key + "'" +
         (hint.empty() ? "" : ", did you mean '" + std::string(hint) + "'?") +
         (hint.empty() ? "; " : " ") + (refused ? "boughfs --help lists all" : "passed over");
}

std::string OptionTable::apply_known(const Setting& row, const OptionWord& word, Unknown unknown) {
  const std::string complaint = apply_row(row, word);
  if (complaint.empty()) return {};
  const std::string taken = unknown == Unknown::kWarn ? apply_leniently(row, word) : std::string();
  if (taken.empty()) throw StartError(ExitStatus::kUsage, complaint);
  return complaint + ": " + taken;
}

std::string OptionTable::apply_word(const OptionWord& word, MountWords& mount,
                                    Unknown unknown) const {
  if (take_mount_word(word.key, word.value ? &*word.value : nullptr, mount)) return {};
  if (means_nothing(word.key)) return {};
  const OldOption* const old = old_option(word.key);
  if (old != nullptr && old->row.empty())
    return "-o " + spelling(word) + ": means nothing here: " + std::string(old->loss);
  if (const Setting* const row = find(old != nullptr ? old->row : word.key)) {
    if (old == nullptr) return apply_known(*row, word, unknown);
    if (!old->value.empty()) return apply_known(*row, {word.key, std::string(old->value)}, unknown);
    std::string refused = apply_known(*row, word, unknown);
    if (!refused.empty()) return refused;
    return "-o " + spelling(word) + ": " + row->name +
           " means nothing here: " + std::string(old->loss);
  }
  if (word.key == "remount") {
    throw StartError(
        ExitStatus::kUsage,
        "-o remount: a pool cannot be remounted: change it with boughfs ctl, or unmount it "
        "and mount it again");
  }
  if (unknown == Unknown::kIgnore) return {};
  std::string about = about_unknown(word, unknown);
  if (unknown == Unknown::kRefuse) throw StartError(ExitStatus::kUsage, about);
  return about;
}

std::vector<std::string> OptionTable::apply(std::span<const OptionWord> words, MountWords& mount,
                                            Unknown unknown) const {
  std::vector<std::string> warnings;
  for (const OptionWord& word : words)
    if (std::string warning = apply_word(word, mount, unknown); !warning.empty())
      warnings.push_back(std::move(warning));
  return warnings;
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
