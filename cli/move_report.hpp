#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "cli/move_plan.hpp"
#include "cli/mover.hpp"

namespace bough::cli {

/// Tells on stdout what moves are planned and how they go: lines for people, with one line of
/// progress on a terminal; or a JSON object a line, with "schema": "boughfs.move/1" and "event":
/// plan, note, progress, stays, end.
class MoveReport {
 public:
  MoveReport(std::string subcommand, bool json);

  /// `goes`: it is done now.
  void plan(const MovePlan& plan, const std::vector<BranchInfo>& branches, bool goes);
  void note(const std::string& line);
  void progress(const Mover::Progress& now);
  /// `all`: nothing was left out because of a signal.
  void end(const MovePlan& plan, bool all);

 private:
  void put(const std::string& line);
  void put_event(const std::string& event, const std::string& fields);
  void put_stays(const MovePlan& plan);

  const std::string subcommand_;
  const bool json_;
  const bool terminal_;
  bool line_open_ = false;
  /// Paths.
  std::set<std::string> told_stays_;
  Mover::Progress last_;
};

/// "12 of 80 files, 1.2G of 80G, 95M/s, 12 min left".
[[nodiscard]] std::string progress_text(const Mover::Progress& now);

}  // namespace bough::cli
