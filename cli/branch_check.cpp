#include "cli/branch_check.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "cli/size_for_people.hpp"
#include "ops/planned_mounts.hpp"

namespace bough::cli {
namespace {

constexpr const char* kAbout = "branch";

bool same_directory(const CheckedBranch& one, const CheckedBranch& other) {
  return one.ground.device == other.ground.device && one.ground.ino == other.ground.ino;
}

const std::string& named(const CheckedBranch& branch) {
  return branch.written.empty() ? branch.path : branch.written;
}

std::string shared_disk(const Ground& one, const Ground& other) {
  std::string shared;
  for (const std::string& disk : one.disks)
    if (other.disks.count(disk) != 0) shared += (shared.empty() ? "" : ", ") + disk;
  return shared;
}

void check_absent(const CheckedBranch& branch, ops::BranchAbsent how, Findings& findings) {
  const std::string text = branch.path + " is absent: " + branch.absent;
  if (how == ops::BranchAbsent::kRefuse)
    refuse(findings, kAbout, text + ": mount its disk first, or choose another branch-absent");
  else
    warn(findings, kAbout, text + ": mount its disk; until then branch-absent says what holds");
}

void check_room(const CheckedBranch& branch, Findings& findings) {
  const bool takes_new = branch.mode == "RW";
  if (branch.read_only && branch.mode != "RO")
    warn(findings, kAbout,
         branch.path + " is " + branch.mode +
             ", but its file system is mounted read-only: nothing is changed there");
  else if (takes_new && branch.space && branch.space->free < branch.least)
    warn(findings, kAbout,
         branch.path +
             " is too full, nothing new will be put there: " + size_for_people(branch.space->free) +
             " free, at least " + size_for_people(branch.least) + " wanted (minfreespace)");
  if (!branch.has_xattrs)
    note(findings, kAbout,
         branch.path + ": its file system (" + branch.ground.type +
             ") has no extended attributes of users");
}

void check_system(const CheckedBranch& branch, const Ground& system, Findings& findings) {
  if (branch.ground.device == system.device) {
    warn(findings, kAbout,
         branch.path +
             " lies on the file system of /: the pool can fill the system's disk; if it is "
             "meant to be a disk of its own, that is not mounted");
    return;
  }
  if (const std::string disk = shared_disk(branch.ground, system); !disk.empty())
    note(findings, kAbout, branch.path + " lies on the disk of the system (" + disk + ")");
}

/// What is wrong with `later` beside one that stands before it in the list; empty: nothing.
std::string wrong_beside(const CheckedBranch& earlier, const CheckedBranch& later) {
  if (same_directory(earlier, later))
    return named(later) +
           (named(later) == named(earlier) ? " is named twice"
                                           : " is the same directory as " + named(earlier)) +
           ": it is used once";
  const bool inside = ops::is_or_lies_in(later.path, earlier.path);
  if (inside || ops::is_or_lies_in(earlier.path, later.path))
    return (inside ? later : earlier).path + " lies inside " + (inside ? earlier : later).path +
           ": each of its files has two paths in the pool";
  if (earlier.ground.device == later.ground.device)
    return later.path + " lies on the same file system as " + earlier.path +
           ": they share its room, and are lost together";
  const std::string disk = shared_disk(earlier.ground, later.ground);
  if (disk.empty()) return {};
  return later.path + " lies on the same disk as " + earlier.path + " (" + disk +
         "): they are lost together, and slow each other down";
}

/// One line for each branch is enough.
void check_beside(std::span<const CheckedBranch> earlier, const CheckedBranch& later,
                  Findings& findings) {
  for (const CheckedBranch& other : earlier) {
    if (!other.absent.empty()) continue;
    std::string wrong = wrong_beside(other, later);
    if (wrong.empty()) continue;
    warn(findings, kAbout, std::move(wrong));
    return;
  }
}

}  // namespace

Findings check_branches(const std::vector<CheckedBranch>& branches,
                        const std::optional<Ground>& system, ops::BranchAbsent when_absent) {
  Findings findings;
  for (std::size_t i = 0; i < branches.size(); ++i) {
    const CheckedBranch& branch = branches[i];
    if (!branch.absent.empty()) {
      check_absent(branch, when_absent, findings);
      continue;
    }
    check_room(branch, findings);
    if (system) check_system(branch, *system, findings);
    check_beside(std::span(branches).first(i), branch, findings);
  }
  return findings;
}

}  // namespace bough::cli
