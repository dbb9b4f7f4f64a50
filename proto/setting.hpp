#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace bough::proto {

/// One row of the option table. Each layer exports its settings as such rows, bound to its own
/// settings object; the command line, --help, config files, the control file and the man page are
/// all made from the rows that cli puts together, so that no key can be known to one and not to
/// another. Lives in this folder because it is the only one that both sides of the house see.
struct Setting {
  enum class When {
    kMount,     ///< fixed once mounted
    kRuntime,   ///< in force at once
    kNextOpen,  ///< for files opened from then on
  };

  std::string name;
  std::vector<std::string> aliases;
  /// The heading that --help lists it under.
  std::string group;
  /// The form of a value as people read it: BOOL, N, SIZE, SECONDS, PATH, or "a|b|c".
  std::string form;
  std::string fallback;
  When when = When::kMount;
  /// One line.
  std::string help;
  /// Takes a value; empty if it was good, else what is wrong with it, as the end of a sentence that
  /// begins with the option's name ("wants true or false"). Changes nothing when it complains.
  std::function<std::string(std::string_view)> set;
  std::function<std::string()> get;
  /// The errno by which programs are told of the last refusal of set(); none given: EINVAL.
  std::function<int()> refusal;
  /// set() has told the log itself what is wrong with a value.
  bool tells_log = false;
  /// A key without '=' is set to this; empty means that such a key wants a value.
  std::string bare;
};

}  // namespace bough::proto
