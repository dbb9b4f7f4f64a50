#include "ops/pool_facts.hpp"

#include <algorithm>

#include "ops/locate.hpp"

namespace bough::ops {

PoolFacts::PoolFacts(Pool& pool, const BranchSet& set, std::string_view path)
    : PoolFacts(pool, set, path, nullptr) {}

PoolFacts::PoolFacts(Pool& pool, const BranchSet& set, std::string_view path, const char* name)
    : pool_(pool),
      set_(set),
      path_(path),
      name_(name),
      rest_(set.size() > kInline ? set.size() - kInline : 0) {}

policy::BranchMode PoolFacts::mode(std::size_t branch) {
  return record(branch).ruled_out ? policy::BranchMode::kReadOnly : set_[branch].mode();
}

Result<void> PoolFacts::look(std::size_t branch, Record& into) {
  auto directory = open_directory(pool_, set_[branch], path_);
  if (!directory) return directory.error();
  if (name_ != nullptr) {
    auto stat = pool_.backing.stat_at(directory->fd(), name_);
    if (!stat) return stat.error();
    into.stat = *stat;
  }
  into.directory = *std::move(directory);
  return {};
}

bool PoolFacts::exists(std::size_t branch) {
  Record& asked = record(branch);
  if (asked.exists == Known::kNotAsked) {
    const auto looked = look(branch, asked);
    asked.exists = looked ? Known::kYes : Known::kNo;
    if (!looked && !means_absent(looked.error()) && !first_error_) first_error_ = looked.error();
  }
  return asked.exists == Known::kYes;
}

std::optional<policy::Space> PoolFacts::space(std::size_t branch) {
  Record& asked = record(branch);
  if (asked.space_known == Known::kNotAsked) {
    const auto stat = open_with_relief(pool_, [&] { return set_[branch].statfs(); });
    asked.space_known = stat ? Known::kYes : Known::kNo;
    if (stat) {
      const std::uint64_t unit = stat->fragment_size;
      asked.total = stat->blocks * unit;
      asked.space.available = stat->blocks_available * unit;
      asked.space.used = asked.total - std::min(asked.total, asked.space.available);
      asked.space.read_only = stat->read_only;
    }
  }
  if (asked.space_known == Known::kNo) return std::nullopt;
  return asked.space;
}

std::uint64_t PoolFacts::minimum_free(std::size_t branch) {
  if (const auto& own = set_[branch].min_free()) return *own;
  if (const auto& common = pool_.settings.min_free) return *common;
  if (!space(branch)) return 0;
  constexpr std::uint64_t kMost = std::uint64_t{4} << 30U;
  constexpr std::uint64_t kShare = 20;
  return std::min(kMost, record(branch).total / kShare);
}

DirRef PoolFacts::take_directory(std::size_t branch) {
  return std::move(record(branch).directory);
}

}  // namespace bough::ops
