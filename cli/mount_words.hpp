#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bough::cli {

/// What the generic words of mount(8) among the options add up to.
struct MountWords {
  /// MS_* of mount(2). A pool mounted by command starts from nosuid,nodev; mount(8) says what it
  /// wants.
  unsigned long flags = 0;
  /// LSM labels, which the kernel takes as they are: "context=…", "fscontext=…" and so on.
  std::vector<std::string> labels;
};

struct MountWord {
  std::string_view name;
  unsigned long set = 0;
  unsigned long clear = 0;
};

/// Every word that takes no value, those that mean nothing to a file system included.
[[nodiscard]] std::span<const MountWord> mount_words();

/// The words that take a value and go to the kernel as they are.
[[nodiscard]] std::span<const std::string_view> label_words();

/// Takes one option if it is such a word ("ro", "nofail", "x-systemd.requires=…", "context=…");
/// false: it is not, and nothing changed. `key` as the user spelt it.
[[nodiscard]] bool take_mount_word(std::string_view key, const std::string* value,
                                   MountWords& into);

}  // namespace bough::cli
