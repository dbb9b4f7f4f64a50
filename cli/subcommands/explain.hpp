#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/exit_status.hpp"

namespace bough::cli {

/// boughfs explain FUNCTION PATH [--json]: which branches the policy of a function would take for
/// PATH now, and why none of the others. Asks the pool itself. argv[0] is "explain".
/// kUsage: there is no such function or path. kSystem: the pool cannot be asked.
[[nodiscard]] ExitStatus explain_command(int argc, char* const argv[]);

/// What the pool said, see ops/explain.hpp.
struct Explanation {
  std::string function;
  std::string path;
  std::string policy;
  /// What the caller would get; 0: no error.
  int error = 0;
  /// Drawn at random: the next one may be another.
  bool by_chance = false;
  /// Nothing: while a branch is absent nobody knows. Of what exists nothing new is made.
  std::optional<bool> exists = false;
  /// Why the kernel refuses it before the pool is asked, for people; empty: as far as it was looked
  /// at, it does not.
  std::string refused;
  struct Branch {
    std::string path;
    std::string mode;
    std::string verdict;
    /// Bytes; empty: it was not looked at.
    std::optional<std::uint64_t> free;
    std::optional<std::uint64_t> least;
    /// Users see this branch's copy.
    bool shown = false;
  };
  std::vector<Branch> branches;
};

/// Fills in what follows `path`. False: malformed.
[[nodiscard]] bool parse_explanation(std::string_view answer, Explanation& into);

[[nodiscard]] std::string explanation_text(const Explanation& explanation);
/// One object with "schema": "boughfs.explain/1".
[[nodiscard]] std::string explanation_json(const Explanation& explanation);

}  // namespace bough::cli
