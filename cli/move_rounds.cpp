#include "cli/move_rounds.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <set>
#include <utility>

#include "cli/exit_status.hpp"

namespace bough::cli {

void MoveScope::add(const std::string& branch, const std::string& relative, const std::string& to) {
  struct stat root = {};
  if (::stat(branch.c_str(), &root) != 0)
    throw StartError(ExitStatus::kSystem,
                     "branch " + branch + " cannot be looked at: " + std::strerror(errno));
  devices_.emplace(branch, root.st_dev);
  places_.push_back({branch, relative, to});
}

MovePlan MoveScope::survey() const {
  MovePlan plan;
  for (const Place& place : places_) add_to_plan(plan, place.branch, place.relative, place.to);
  // After the walk, so that it went through the right one.
  for (const auto& [branch, device] : devices_) {
    struct stat root = {};
    if (::stat(branch.c_str(), &root) != 0 || root.st_dev != device)
      plan.stays.push_back({branch, "its disk has gone meanwhile: what is on it is not known"});
  }
  drop_duplicates(plan);
  return plan;
}

MovePlan what_is_left(const MovePlan& done, MovePlan found) {
  std::map<std::string, const Staying*> failed;
  for (const Staying& each : done.stays)
    if (each.tried) failed.emplace(each.path, &each);
  MovePlan left;
  left.stays = std::move(found.stays);
  std::vector<MoveItem> full;
  std::vector<Staying> why_full;
  for (MoveItem& item : found.items) {
    const auto known = std::find_if(item.names.begin(), item.names.end(), [&](const auto& name) {
      return failed.contains(item.from + "/" + name);
    });
    if (known == item.names.end()) {
      left.items.push_back(std::move(item));
      continue;
    }
    const Staying& why = *failed.at(item.from + "/" + *known);
    if (item.directory) {
      why_full.push_back(why);
      full.push_back(std::move(item));
    } else {
      left.stays.push_back(why);
    }
  }
  // A directory may be empty once the rest has gone.
  if (left.items.empty())
    std::move(why_full.begin(), why_full.end(), std::back_inserter(left.stays));
  else
    std::move(full.begin(), full.end(), std::back_inserter(left.items));
  return left;
}

bool move_in_rounds(Mover& mover, MovePlan& plan, const MoveScope& scope,
                    const std::function<void(const Mover::Progress&)>& tell,
                    const std::function<void(const std::string&)>& note) {
  constexpr int kMoreRounds = 5;
  for (int round = 0;; ++round) {
    const bool all = mover.run(plan, tell, note);
    if (!all) return false;
    plan = what_is_left(plan, scope.survey());
    if (plan.items.empty()) return true;
    if (round == kMoreRounds) break;
  }
  for (const MoveItem& item : plan.items)
    plan.stays.push_back({item.from + "/" + item.names.front(),
                          "it came, or was renamed, while others were moved; run this again"});
  return true;
}

}  // namespace bough::cli
