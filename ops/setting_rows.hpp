#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "proto/bool_text.hpp"
#include "proto/live_value.hpp"
#include "proto/setting.hpp"

namespace bough::ops {

/// Makes rows of the option table for one group of the help text. What the rows are bound to
/// outlives them.
class SettingRows {
 public:
  using Setting = proto::Setting;

  explicit SettingRows(const char* group) noexcept : group_(group) {}

  [[nodiscard]] Setting row(std::string name, std::string form, Setting::When when,
                            std::string help) const {
    Setting row;
    row.name = std::move(name);
    row.group = group_;
    row.form = std::move(form);
    row.when = when;
    row.help = std::move(help);
    return row;
  }

  /// A value that is one of some words.
  template <class T>
  struct Word {
    std::string_view name;
    T value;
  };
  /// `words` live as long as the program.
  template <class T>
  [[nodiscard]] Setting words(const std::string& name, std::span<const Word<T>> words,
                              Setting::When when, proto::LiveValue<T>& bound,
                              const std::string& help) const {
    const auto joined = [words](std::string_view between) {
      std::string text;
      for (const Word<T>& word : words) {
        if (!text.empty()) text += between;
        text += word.name;
      }
      return text;
    };
    Setting made = row(name, joined("|"), when, help);
    made.set = [words, joined, &bound](std::string_view text) -> std::string {
      for (const Word<T>& word : words) {
        if (word.name != text) continue;
        bound = word.value;
        return {};
      }
      return "wants one of: " + joined(", ");
    };
    made.get = [words, &bound] {
      const T value = bound;
      const auto word = std::find_if(words.begin(), words.end(),
                                     [value](const Word<T>& each) { return each.value == value; });
      return word == words.end() ? std::string() : std::string(word->name);
    };
    made.fallback = made.get();
    return made;
  }

  /// `Bool`: bool or LiveValue<bool>.
  template <class Bool>
  [[nodiscard]] Setting toggle(std::string name, Setting::When when, Bool& bound,
                               std::string help) const {
    Setting made = row(std::move(name), "BOOL", when, std::move(help));
    made.bare = "true";
    made.set = [&bound](std::string_view text) -> std::string {
      const auto value = proto::parse_bool(text);
      if (!value) return "wants true or false";
      bound = *value;
      return {};
    };
    made.get = [&bound] { return proto::bool_text(bound); };
    made.fallback = made.get();
    return made;
  }

 private:
  const char* group_;
};

}  // namespace bough::ops
