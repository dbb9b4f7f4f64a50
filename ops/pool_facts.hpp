#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "ops/pool.hpp"
#include "policy/facts.hpp"

namespace bough::ops {

/// What policies ask about the branches of one set, for one decision on one thread. Each fact is
/// one or two calls into its branch, made when first asked for and remembered: what existence cost
/// is kept (the directory's descriptor, the attributes), so that a search and its answer share
/// them. The pool, the set, the path and the name are borrowed. Up to kInline branches need no
/// allocation.
class PoolFacts final : public policy::Facts {
 public:
  /// How directories are reached: as they are, or, to look something up, as they were lately.
  enum class Directories : std::uint8_t { kNow, kRecent };
  /// exists() is about the directory `path` itself, as create policies want it.
  PoolFacts(Pool& pool, const BranchSet& set, std::string_view path,
            Directories directories = Directories::kNow);
  /// exists() is about `name` (NUL-terminated) in the directory `path`, of any type.
  PoolFacts(Pool& pool, const BranchSet& set, std::string_view path, const char* name,
            Directories directories = Directories::kNow);

  [[nodiscard]] std::size_t branches() const override { return set_.size(); }
  [[nodiscard]] policy::BranchMode mode(std::size_t branch) override;
  /// A branch that fails to answer counts as not having it; first_error() tells.
  [[nodiscard]] bool exists(std::size_t branch) override;
  [[nodiscard]] bool exists_above(std::size_t branch, std::size_t levels) override;
  [[nodiscard]] std::size_t depth() override;
  [[nodiscard]] std::optional<policy::Moment> modified(std::size_t branch) override;
  /// As of some time ago (cache.statfs) where that leaves no doubt that the branch has room.
  [[nodiscard]] std::optional<policy::Space> space(std::size_t branch) override;
  /// The branch's own, else the pool's, else the smaller of 4 GiB and 5 % of the branch.
  [[nodiscard]] std::uint64_t minimum_free(std::size_t branch) override;

  /// Whether `path` leads through a followed link: ESTALE then means that this leads elsewhere now.
  [[nodiscard]] bool is_followed() const noexcept;
  /// Attributes of another name in the directory `path`, where that exists.
  [[nodiscard]] Result<FileStat> stat_name(std::size_t branch, const char* name);

  /// Branches that are known not to have the name are not asked for it. Before the first exists().
  void use(const NameIndex::Answer& known) { known_ = known; }

  /// From now on the branch counts as read-only in this decision: the path cannot be made there.
  void rule_out(std::size_t branch) { record(branch).ruled_out = true; }

  /// The directory `path` there, O_PATH, borrowed. Empty where exists() was not asked yet, or found
  /// none.
  [[nodiscard]] const DirRef& directory(std::size_t branch) { return record(branch).directory; }
  /// The same, given away. Once only.
  [[nodiscard]] DirRef take_directory(std::size_t branch);
  /// From now on directory() is what `path` is now: asked for before something is changed in one
  /// that was reached as it was lately.
  [[nodiscard]] Result<void> reach_now(std::size_t branch);
  /// Where exists() said yes: the attributes of `name`. Without a name there are none.
  [[nodiscard]] const FileStat& stat(std::size_t branch) { return record(branch).stat; }
  /// The same's type (S_IFMT); without a name, a directory's.
  [[nodiscard]] std::uint32_t type(std::size_t branch) {
    return name_ == nullptr ? 0040000U : record(branch).stat.mode & 0170000U;
  }
  /// The first failure of exists() or space() that does not mean absence (EIO, EACCES, EMFILE…);
  /// ESTALE, a branch whose disk is gone, only where nothing else failed.
  [[nodiscard]] const std::optional<Errno>& first_error() const noexcept { return first_error_; }

 private:
  enum class Known : std::uint8_t { kNotAsked, kNo, kYes };
  struct Record {
    Known exists = Known::kNotAsked;
    Known space_known = Known::kNotAsked;
    bool ruled_out = false;
    /// `directory` is no older than this decision.
    bool fresh = false;
    DirRef directory;
    FileStat stat;
    policy::Space space;
    std::uint64_t total = 0;
  };
  static constexpr std::size_t kInline = 8;

  [[nodiscard]] Record& record(std::size_t branch) {
    return branch < kInline ? inline_[branch] : rest_[branch - kInline];
  }
  [[nodiscard]] bool recall_space(std::size_t branch, Record& into);
  static void note_space(const FsStat& stat, Record& into) noexcept;
  void note_failure(Errno error) noexcept;
  /// A broken disk that was unmounted meanwhile answers EIO for as long as it is held on to.
  void reach_anew(Branch& branch);
  [[nodiscard]] Result<void> look(std::size_t branch, Record& into);

  Pool& pool_;
  const BranchSet& set_;
  const std::string_view path_;
  const char* const name_;
  const Directories directories_;
  NameIndex::Answer known_;
  std::array<Record, kInline> inline_;
  std::vector<Record> rest_;
  std::optional<Errno> first_error_;
};

}  // namespace bough::ops
