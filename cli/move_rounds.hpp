#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "cli/move_plan.hpp"
#include "cli/mover.hpp"

namespace bough::cli {

/// What is to be moved, as places that can be looked at again: what is renamed before its turn has
/// to be found under its new name.
class MoveScope {
 public:
  /// As add_to_plan(). The branch has to be there.
  void add(const std::string& branch, const std::string& relative, const std::string& to);
  /// What is there now, each thing once. A branch whose file system is another one than when it
  /// was added stays as a whole: that nothing is seen there does not mean that nothing is left.
  [[nodiscard]] MovePlan survey() const;

 private:
  struct Place {
    std::string branch;
    std::string relative;
    std::string to;
  };
  std::vector<Place> places_;
  /// By branch.
  std::map<std::string, dev_t> devices_;
};

/// What is left of `done`, which was carried out, by what a survey finds now. Its items are to be
/// tried now; there are none if all that was found has been tried already. Its stays are those that
/// the survey tells of, and those that failed and are still there.
[[nodiscard]] MovePlan what_is_left(const MovePlan& done, MovePlan found);

/// Moves what `plan` has, looks again, and goes round while there is something that was not tried,
/// some times at most. plan.stays is in the end what is still there. Whether all was tried.
[[nodiscard]] bool move_in_rounds(Mover& mover, MovePlan& plan, const MoveScope& scope,
                                  const std::function<void(const Mover::Progress&)>& tell,
                                  const std::function<void(const std::string&)>& note);

}  // namespace bough::cli
