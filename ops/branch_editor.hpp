#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ops/branch_change.hpp"
#include "ops/branch_presence.hpp"
#include "ops/place_facts.hpp"
#include "ops/pool.hpp"

namespace bough::ops {

/// Both are absolute and free of symbolic links.
[[nodiscard]] bool lies_inside(std::string_view path, std::string_view outer);

/// Changes the branches of a live pool. A change is made as a whole or not at all: what is to be
/// added is opened first, then the next set takes the place of the current one, then what is known
/// of the old one is forgotten here and in the kernel. Requests under way keep theirs, and so do
/// open files. A branch that stays (its path counts) stays itself, whatever its mode is now; the
/// id of one that goes is not used again.
///
/// One call at a time (ControlFile sees to it); it waits for what it adds, for no branch that is
/// there, and a moment for the kernel's queue of notifications.
class BranchEditor {
 public:
  /// Both outlive this. `witness` is told which branches come, and which leave for good.
  BranchEditor(Pool& pool, PlaceFacts places, BranchWitness& witness);

  /// Takes a value of the key `branches`. Empty if good, else what is wrong, as the end of a
  /// sentence that begins with the key; nothing is changed then.
  [[nodiscard]] std::string set(std::string_view value);

 private:
  using Members = std::vector<Member>;

  /// The branches as `change` wants them. Empty: `why` says what is wrong.
  [[nodiscard]] Members plan(const BranchSet& now, const BranchChange& change, std::string& why);
  /// The branches that the list of `change` names: those that are there and stay, and new ones.
  [[nodiscard]] Members named(const BranchSet& now, const BranchChange& change, std::string& why);
  /// `meant`: by a pattern, so that it may be one whose disk is missing.
  [[nodiscard]] Member opened(const BranchSpec& spec, bool meant, std::string& why);
  /// Empty: the branches that are new among `next` may stand beside the others.
  [[nodiscard]] std::string clash(const BranchSet& now, const Members& next) const;
  void publish(const BranchSet& now, const Members& next);
  /// `line` is one for the log, or empty.
  void tell(const std::string& line) const;
  /// What holds descriptors of branches that have gone, except open files.
  void let_go_of(const std::vector<std::shared_ptr<Branch>>& gone, const BranchSet& now);

  Pool& pool_;
  PlaceFacts places_;
  BranchWitness& witness_;
  /// Above that of every branch that was ever in a set.
  BranchId next_id_ = 0;
};

}  // namespace bough::ops
