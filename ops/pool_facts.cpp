#include "ops/pool_facts.hpp"

#include <algorithm>

#include "ops/followed_link.hpp"
#include "ops/followed_path.hpp"
#include "ops/locate.hpp"
#include "ops/minimum_free.hpp"

namespace bough::ops {
namespace {

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30U;

/// With so much above the minimum, what was free a while ago decides as well as what is free now:
/// it is more than any disk takes in meanwhile, by whatever way (through the pool, past it, by the
/// kernel for files that pass through). How long cache.statfs is changes nothing in that: a disk
/// that fills up must be noticed before it is full.
std::uint64_t ample(std::chrono::nanoseconds age) noexcept {
  constexpr std::chrono::nanoseconds kForOne = std::chrono::milliseconds(250);
  return (static_cast<std::uint64_t>(age / kForOne) + 1) * kGiB;
}

}  // namespace

PoolFacts::PoolFacts(Pool& pool, const BranchSet& set, std::string_view path,
                     Directories directories)
    : PoolFacts(pool, set, path, nullptr, directories) {}

PoolFacts::PoolFacts(Pool& pool, const BranchSet& set, std::string_view path, const char* name,
                     Directories directories)
    : pool_(pool),
      set_(set),
      path_(path),
      name_(name),
      directories_(directories),
      rest_(set.size() > kInline ? set.size() - kInline : 0) {}

policy::BranchMode PoolFacts::mode(std::size_t branch) {
  return record(branch).ruled_out ? policy::BranchMode::kReadOnly : set_.mode(branch);
}

Result<void> PoolFacts::look(std::size_t branch, Record& into) {
  if (name_ != nullptr && known_.lacks(branch)) return Errno{ENOENT};
  auto directory = directories_ == Directories::kRecent
                       ? recent_directory(pool_, set_[branch], path_)
                       : open_directory(pool_, set_[branch], path_);
  if (!directory) return directory.error();
  into.directory = *std::move(directory);
  into.fresh = directories_ == Directories::kNow;
  if (name_ == nullptr) return {};
  const auto stat = ops::stat_name(pool_, set_[branch], path_, into.directory.fd(), name_);
  // Of NFS, about this directory alone: no word about the disk.
  if (!stat) return stat.error() == Errno{ESTALE} ? Errno{EIO} : stat.error();
  // What a move could not remove there.
  if (pool_.unsettled.hides(stat->id.device, stat->id.ino)) return Errno{ENOENT};
  into.stat = *stat;
  return {};
}

bool PoolFacts::is_followed() const noexcept {
  return ops::is_followed(path_);
}

Result<FileStat> PoolFacts::stat_name(std::size_t branch, const char* name) {
  return ops::stat_name(pool_, set_[branch], path_, directory(branch).fd(), name);
}

void PoolFacts::note_failure(Errno error) noexcept {
  if (!first_error_ || *first_error_ == Errno{ESTALE}) first_error_ = error;
}

void PoolFacts::reach_anew(Branch& branch) {
  branch.let_go();
  pool_.directories.moved();
}

bool PoolFacts::exists(std::size_t branch) {
  Record& asked = record(branch);
  if (asked.exists == Known::kNotAsked) {
    const auto looked = look(branch, asked);
    asked.exists = looked ? Known::kYes : Known::kNo;
    if (!looked && !means_absent(looked.error())) note_failure(looked.error());
    if (!looked && looked.error() == Errno{EIO} && !set_[branch].absent()) reach_anew(set_[branch]);
  }
  return asked.exists == Known::kYes;
}

bool PoolFacts::exists_above(std::size_t branch, std::size_t levels) {
  std::string_view path = path_;
  for (; levels > 0 && !path.empty(); --levels) {
    const auto slash = path.rfind('/');
    path = slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
  }
  const auto directory = recent_directory(pool_, set_[branch], path);
  if (!directory && !means_absent(directory.error())) note_failure(directory.error());
  return directory.has_value();
}

std::size_t PoolFacts::depth() {
  return path_.empty() ? 0
                       : static_cast<std::size_t>(std::count(path_.begin(), path_.end(), '/')) + 1;
}

std::optional<policy::Moment> PoolFacts::modified(std::size_t branch) {
  const Record& asked = record(branch);
  if (name_ != nullptr)
    return policy::Moment{asked.stat.mtime.seconds, asked.stat.mtime.nanoseconds};
  const auto stat = pool_.backing.stat(asked.directory.fd());
  if (!stat) return std::nullopt;
  return policy::Moment{stat->mtime.seconds, stat->mtime.nanoseconds};
}

void PoolFacts::note_space(const FsStat& stat, Record& into) noexcept {
  const std::uint64_t unit = stat.fragment_size;
  into.space_known = Known::kYes;
  into.total = stat.blocks * unit;
  into.space.available = stat.blocks_available * unit;
  into.space.used = into.total - std::min(into.total, into.space.available);
  into.space.read_only = stat.read_only;
}

/// Whether what the branch last said decides. What is older than it may be decides once more, while
/// somebody else asks the branch.
bool PoolFacts::recall_space(std::size_t branch, Record& into) {
  const std::chrono::nanoseconds most = pool_.settings.statfs_valid;
  const auto last = set_[branch].last_statfs();
  if (!last || most.count() == 0) return false;
  note_space(last->stat, into);
  if (into.space.available < minimum_free(branch) + ample(last->age)) return false;
  if (last->age > most) pool_.refresher.ask(set_.shared(branch));
  return true;
}

std::optional<policy::Space> PoolFacts::space(std::size_t branch) {
  Record& asked = record(branch);
  if (asked.space_known == Known::kNotAsked) {
    if (recall_space(branch, asked)) return asked.space;
    const auto stat = open_with_relief(pool_, [&] { return set_[branch].statfs(); });
    asked.space_known = Known::kNo;
    if (stat)
      note_space(*stat, asked);
    else
      note_failure(stat.error());
  }
  if (asked.space_known == Known::kNo) return std::nullopt;
  return asked.space;
}

std::uint64_t PoolFacts::minimum_free(std::size_t branch) {
  if (const auto& own = set_.min_free(branch)) return *own;
  if (const std::uint64_t common = pool_.settings.min_free; common != kMinFreeBySize) return common;
  if (!space(branch)) return 0;
  return minimum_by_size(record(branch).total);
}

Result<void> PoolFacts::reach_now(std::size_t branch) {
  Record& asked = record(branch);
  if (asked.fresh && asked.directory) return {};
  auto directory = open_directory(pool_, set_[branch], path_);
  if (!directory) return directory.error();
  asked.directory = *std::move(directory);
  asked.fresh = true;
  return {};
}

DirRef PoolFacts::take_directory(std::size_t branch) {
  return std::move(record(branch).directory);
}

}  // namespace bough::ops
