#pragma once

#include <string>
#include <utility>
#include <vector>

namespace bough::cli {

/// One thing that `boughfs check` has to say.
struct Finding {
  enum class Level {
    kNote,     ///< nothing is wrong
    kWarning,  ///< mounted all the same
    kRefused,  ///< nothing would be mounted
  };
  Level level = Level::kNote;
  /// What it concerns: "option", "branch", "mountpoint" or "kernel".
  std::string about;
  /// For people, one line.
  std::string text;
};

using Findings = std::vector<Finding>;

inline void note(Findings& to, std::string about, std::string text) {
  to.push_back({Finding::Level::kNote, std::move(about), std::move(text)});
}
inline void warn(Findings& to, std::string about, std::string text) {
  to.push_back({Finding::Level::kWarning, std::move(about), std::move(text)});
}
inline void refuse(Findings& to, std::string about, std::string text) {
  to.push_back({Finding::Level::kRefused, std::move(about), std::move(text)});
}

}  // namespace bough::cli
