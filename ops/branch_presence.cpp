#include "ops/branch_presence.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "ops/branch_change.hpp"
#include "ops/disk_gone.hpp"

namespace bough::ops {
namespace {

constexpr std::array<std::string_view, 2> kPrefixes{"boughfs.", "mergerfs."};

bool is_marked(Backing& backing, int root, std::string_view name) {
  return std::any_of(kPrefixes.begin(), kPrefixes.end(), [&](std::string_view prefix) {
    const std::string marked = std::string(prefix).append(name);
    return backing.stat_at(root, ("." + marked).c_str()).has_value() ||
           backing.get_xattr(root, ("user." + marked).c_str(), {}).has_value();
  });
}

}  // namespace

BranchMark mark_of(Backing& backing, int root) {
  if (is_marked(backing, root, "branch")) return BranchMark::kBranch;
  if (is_marked(backing, root, "branch_mounts_here")) return BranchMark::kMountPoint;
  return BranchMark::kNone;
}

std::string why_no_branch(const std::string& path, BranchMark mark,
                          const std::vector<PlannedMount>& missing) {
  if (mark == BranchMark::kBranch) return {};
  if (mark == BranchMark::kMountPoint)
    return ".boughfs.branch_mounts_here in it says that it is a mere mount point, and nothing is "
           "mounted there";
  const auto on = std::find_if(missing.begin(), missing.end(), [&](const PlannedMount& each) {
    return is_or_lies_in(path, each.path);
  });
  if (on == missing.end()) return {};
  return "nothing is mounted on " + on->path + ", which is a mount point by " + on->file;
}

BranchWitness::BranchWitness(Backing& backing, std::string state_file, std::string mountpoint,
                             MountSources sources)
    : backing_(backing),
      mountpoint_(std::move(mountpoint)),
      sources_(std::move(sources)),
      memory_(std::move(state_file)) {}

std::function<std::vector<std::string>(const std::string&)> BranchWitness::expectation(
    const std::vector<std::string>& closed) const {
  return [this, missing = missing_mounts(sources_, closed)](const std::string& pattern) {
    std::vector<std::string> meant = meant_on_missing(pattern, missing);
    for (std::string& path : memory_.meant_by(pattern)) meant.push_back(std::move(path));
    return meant;
  };
}

std::string BranchWitness::unread() const {
  if (memory_.unread() == 0) return {};
  return "what the branches were when the pool was mounted last cannot be read from " +
         memory_.file() + " (" + std::strerror(memory_.unread()) +
         "): until the next mount a missing disk is told by fstab and marks alone";
}

std::string BranchWitness::why_not(const std::string& path, int root) const {
  if (root < 0) {
    std::string why = why_no_branch(path, BranchMark::kNone, missing_mounts(sources_));
    if (!why.empty() || !memory_.holds(path)) return why;
    return "it is not there, and the pool used it when it was mounted last; if it is gone for "
           "good: " +
           removal_command(mountpoint_, path);
  }
  const BranchMark mark = mark_of(backing_, root);
  std::string why = why_no_branch(path, mark, missing_mounts(sources_));
  if (!why.empty() || mark == BranchMark::kBranch) return why;
  const auto stat = backing_.stat(root);
  const auto fs = backing_.statfs(root);
  if (!stat || !fs || !memory_.is_another(path, root_mark(*stat, *fs))) return {};
  return "it is not the directory that the pool used when it was mounted last: mount its disk; "
         "only if what is there now is to be used instead, make a file .boughfs.branch in it";
}

bool BranchWitness::vouched(int root) const {
  return mark_of(backing_, root) == BranchMark::kBranch;
}

std::string BranchWitness::uses(Branch& branch) {
  const auto root = branch.root();
  if (!root) return {};
  const auto stat = backing_.stat(root->fd());
  const auto fs = backing_.statfs(root->fd());
  struct ::stat top = {};
  if (!stat || !fs || ::stat("/", &top) != 0) return {};
  memory_.uses(branch.path(), root_mark(*stat, *fs), stat->id.device == top.st_dev);
  return saved();
}

std::string BranchWitness::forgets(const Branch& branch) {
  memory_.forget(branch.path());
  return saved();
}

std::string BranchWitness::saved() {
  if (memory_.save()) return {};
  return "what the branches are cannot be kept in " + memory_.file() + " (" + std::strerror(errno) +
         "): a missing disk is told by fstab and marks alone";
}

Result<std::shared_ptr<Branch>> open_or_expect(Backing& backing, BranchId id, BranchSpec spec,
                                               const Absences& absences) {
  std::string why;
  if (const auto root = backing.open_root(spec.path))
    why = absences.why_not(spec.path, root->get());
  else if (means_disk_gone(root.error()))
    why = why_out_of_reach(root.error());
  else if (root.error() == Errno{ENOENT} || root.error() == Errno{ENOTDIR})
    why = absences.why_not(spec.path, -1);
  if (why.empty()) return Branch::open(backing, id, std::move(spec));
  return Branch::expect(backing, id, std::move(spec), std::move(why));
}

}  // namespace bough::ops
