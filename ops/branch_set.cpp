#include "ops/branch_set.hpp"

#include <algorithm>

namespace bough::ops {

BranchSet::BranchSet(const std::vector<std::shared_ptr<Branch>>& branches) {
  std::vector<Member> members;
  members.reserve(branches.size());
  for (const auto& branch : branches)
    members.push_back({branch, branch->spec().mode, branch->spec().min_free});
  take(members);
}

BranchSet::BranchSet(const std::vector<Member>& members, std::vector<Member> left,
                     std::uint64_t serial)
    : left_(std::move(left)), serial_(serial) {
  take(members);
}

void BranchSet::take(const std::vector<Member>& members) {
  modes_ = std::make_unique<std::atomic<BranchMode>[]>(members.size());
  for (const Member& member : members) {
    modes_[branches_.size()] = member.mode;
    branches_.push_back(member.branch);
    min_free_.push_back(member.min_free);
  }
}

Branch* BranchSet::by_id(BranchId id) const noexcept {
  for (const auto& branch : branches_)
    if (branch->id() == id) return branch.get();
  return nullptr;
}

bool BranchSet::writable(BranchId id) const noexcept {
  for (std::size_t i = 0; i < size(); ++i)
    if (branches_[i]->id() == id) return mode(i) != BranchMode::kReadOnly;
  const auto found = std::find_if(left_.begin(), left_.end(),
                                  [id](const Member& member) { return member.branch->id() == id; });
  return found != left_.end() && found->mode != BranchMode::kReadOnly;
}

void BranchSet::demote(BranchId id) const noexcept {
  for (std::size_t i = 0; i < size(); ++i)
    if (branches_[i]->id() == id) modes_[i].store(BranchMode::kReadOnly, std::memory_order_relaxed);
}

}  // namespace bough::ops
