#include "ops/branch_presence.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

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
    return "branch_mounts_here marks it as a mere mount point, and nothing is mounted there";
  const auto on = std::find_if(missing.begin(), missing.end(), [&](const PlannedMount& each) {
    return is_or_lies_in(path, each.path);
  });
  if (on == missing.end()) return {};
  return "nothing is mounted on " + on->path + ", which is a mount point by " + on->file;
}

Result<std::shared_ptr<Branch>> open_or_expect(Backing& backing, BranchId id, BranchSpec spec,
                                               const Absences& absences,
                                               const std::vector<PlannedMount>& missing) {
  std::string why;
  if (const auto root = backing.open_root(spec.path))
    why = absences.why_not(spec.path, root->get());
  else if (means_disk_gone(root.error()))
    why = why_out_of_reach(root.error());
  else if (root.error() == Errno{ENOENT} || root.error() == Errno{ENOTDIR})
    why = why_no_branch(spec.path, BranchMark::kNone, missing);
  if (why.empty()) return Branch::open(backing, id, std::move(spec));
  return Branch::expect(backing, id, std::move(spec), std::move(why));
}

}  // namespace bough::ops
