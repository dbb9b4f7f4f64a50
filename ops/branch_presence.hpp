#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ops/absences.hpp"
#include "ops/backing.hpp"
#include "ops/branch.hpp"
#include "ops/planned_mounts.hpp"
#include "ops/pool_memory.hpp"

namespace bough::ops {

/// What the user says of a directory by a mark in it: an entry `.boughfs.NAME` or `.mergerfs.NAME`,
/// or an extended attribute `user.boughfs.NAME` or `user.mergerfs.NAME`.
enum class BranchMark : std::uint8_t {
  kNone,
  kBranch,     ///< NAME is `branch`: this is the branch, whatever else is to be believed
  kMountPoint  ///< NAME is `branch_mounts_here`: only the place on which a branch is mounted
};

/// The mark of the directory `root` (O_PATH). One that cannot be read is none.
[[nodiscard]] BranchMark mark_of(Backing& backing, int root);

/// Why the directory `root` at `path` is no branch but the place for one: its mark says so, or it
/// lies on a mount point of which `missing` says that nothing is mounted there. Empty: it is a
/// branch.
[[nodiscard]] std::string why_no_branch(const std::string& path, BranchMark mark,
                                        const std::vector<PlannedMount>& missing);

/// Opens a branch; one that is not there by `absences` becomes one that is expected. Errors as from
/// Branch::open(): of a directory that is not there, and of which `absences` know nothing, ENOENT.
[[nodiscard]] Result<std::shared_ptr<Branch>> open_or_expect(Backing& backing, BranchId id,
                                                             BranchSpec spec,
                                                             const Absences& absences);

/// What is known of a pool's branches beside what lies at their paths. Any thread.
class BranchWitness {
 public:
  /// `state_file` and `mountpoint` as in ControlOptions. `backing` outlives this.
  BranchWitness(Backing& backing, std::string state_file, std::string mountpoint,
                MountSources sources = {});

  /// One line for the log if the state file cannot be read; empty: it can, or there is none.
  [[nodiscard]] std::string unread() const;
  /// As KnownPlaces::expected: what a pattern means on mounts that are missing now, and what the
  /// pool used when it was mounted last. Nobody looks into `closed`. Refers to this.
  [[nodiscard]] std::function<std::vector<std::string>(const std::string&)> expectation(
      const std::vector<std::string>& closed = {}) const;
  /// Why the directory `root` (O_PATH; negative: there is none) at `path` is not the branch:
  /// why_no_branch(), or it is not what the pool used at that path when it was mounted last. Empty:
  /// it is the branch; of one that is not there, nothing is known of it.
  [[nodiscard]] std::string why_not(const std::string& path, int root) const;
  /// Whether its mark says that it is the branch.
  [[nodiscard]] bool vouched(int root) const;
  /// The pool uses this branch as it is now. Empty: that is noted; else one line for the log, once.
  [[nodiscard]] std::string uses(Branch& branch);
  /// The branch has left the pool for good. As uses().
  [[nodiscard]] std::string forgets(const Branch& branch);

 private:
  [[nodiscard]] std::string saved();

  Backing& backing_;
  const std::string mountpoint_;
  const MountSources sources_;
  PoolMemory memory_;
};

}  // namespace bough::ops
