#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "cli/pool_info.hpp"

namespace bough::cli {

/// One thing to be moved, with all its names: a file, or a directory that is empty by then.
struct MoveItem {
  /// From the pool's root, without a slash in front.
  std::vector<std::string> names;
  /// The branch that it is on, as the pool spells it.
  std::string from;
  /// The branch to go to; empty: where the create policy says.
  std::string to;
  /// That take room.
  std::uint64_t bytes = 0;
  bool directory = false;
};

/// What stays, and why.
struct Staying {
  std::string path;
  std::string why;
  /// The pool was asked to move it; else it cannot even be planned.
  bool tried = false;
};

struct MovePlan {
  /// Files, in the order in which they are to be moved; then directories, the deepest first.
  std::vector<MoveItem> items;
  std::vector<Staying> stays;

  [[nodiscard]] std::uint64_t bytes() const;
  [[nodiscard]] std::size_t files() const;
};

/// Adds to `plan` what branch `from` has at and below `relative` (without a leading slash; empty:
/// everything). A file is added with all its names on the branch, wherever they are. Looks at the
/// branch, not at the pool.
void add_to_plan(MovePlan& plan, const std::string& from, const std::string& relative,
                 const std::string& to);

/// Of what was added several times, as places may lie in each other or share hard links, all but
/// the first.
void drop_duplicates(MovePlan& plan);

/// Which files of a pool go where so that its branches come to be filled alike, as far as `within`
/// parts of a hundred from what they are filled together. Branches that are not RW or absent are
/// left out, and those of one disk count as one.
[[nodiscard]] MovePlan plan_balance(const std::vector<BranchInfo>& branches, double within);

/// How full each of several disks is, and which files are on it: what plan_balance() goes by.
struct Shelf {
  std::uint64_t used = 0;
  std::uint64_t total = 0;
  /// A branch on it.
  std::string branch;
  std::vector<MoveItem> items;
};
/// The items that are to move, with `to`, the largest first.
[[nodiscard]] std::vector<MoveItem> level(std::vector<Shelf> shelves, double within);

}  // namespace bough::cli
