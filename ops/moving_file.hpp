#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ops/handle_switch.hpp"
#include "ops/hidden_copy.hpp"
#include "ops/move_record.hpp"
#include "ops/relocate.hpp"

namespace bough::ops {

/// What MoveWatch::reserve() took, given back when this goes.
struct Reserved {
  Reserved(const MoveWatch& of, BranchId on, std::uint64_t size)
      : watch(of), branch(on), bytes(size) {}
  ~Reserved() { watch.give_back(branch, bytes); }
  Reserved(const Reserved&) = delete;
  Reserved& operator=(const Reserved&) = delete;
  const MoveWatch& watch;
  const BranchId branch;
  const std::uint64_t bytes;
};

/// A file that is to move: which it is, under which names, where it could go, and the steps of its
/// move that have nothing to do with others. relocate() says what the caller holds and which errors
/// there are. One thread; pool, aim and watch outlive it.
class MovingFile {
 public:
  using PlaceName = NodeTable::PlaceName;

  /// Not `synced`: the caller sees to it that the copy, its directories and its names are on the
  /// disk.
  MovingFile(Pool& pool, NodeId node, const MoveAim& aim, const MoveWatch& watch, bool synced)
      : pool_(pool),
        backing_(pool.backing),
        node_(node),
        aim_(aim),
        watch_(watch),
        synced_(synced) {}

  // --- with the gate open

  /// Finds it, and whether it may move. Before all else.
  [[nodiscard]] Result<void> look();
  /// A branch that takes it, where room is reserved then. ENOSPC: none but those that were ruled
  /// out.
  [[nodiscard]] Result<Branch*> choose();
  /// That branch is not chosen any more, and its room given back.
  void rule_out(const Branch& branch);
  /// Makes the directories of all names; that of the first.
  [[nodiscard]] Result<DirRef> make_parents(Branch& to);
  [[nodiscard]] Result<FileStat> copy_data(const HiddenCopy& copy);
  /// With the names as they were at the look.
  [[nodiscard]] MoveRecord record_of(const FileStat& copied) const;

  // --- with the gate closed

  /// Nobody has changed the file behind the pool since the look, and both branches are what they
  /// were. What was changed and does no harm goes to the copy.
  [[nodiscard]] Result<void> is_unchanged(const Branch& to, const HiddenCopy& copy);
  /// All names that it has now, each seen to be one and to hide or be hidden by nothing. EBUSY: the
  /// pool does not know all.
  [[nodiscard]] Result<std::vector<PlaceName>> names_now();
  /// The directory of a name, made where it is missing: the way to it is to be on the disk before
  /// the old names go.
  [[nodiscard]] Result<DirRef> directory_on(const Branch& to, const std::string& path);
  /// ETXTBSY: somebody else has the old file open for writing, and would go on writing to it when
  /// it has no names any more. Where that cannot be told nobody is taken to be there.
  [[nodiscard]] Result<void> has_no_other_writers(HandleSwitch& handles);
  /// To users it is the file `fresh` on that branch from now on.
  void settle_in(const Branch& to, const FileId& fresh);

  // --- what was found
  [[nodiscard]] bool synced() const noexcept { return synced_; }
  [[nodiscard]] Branch& from() const { return (*set_)[source_]; }
  [[nodiscard]] const FileStat& like() const noexcept { return like_; }
  /// The old file, open for reading.
  [[nodiscard]] int fd() const noexcept { return file_.get(); }
  [[nodiscard]] const std::vector<PlaceName>& names() const noexcept { return names_; }
  /// In bytes that take room.
  [[nodiscard]] std::uint64_t bytes() const noexcept;
  /// The old branch could not be changed.
  void demote_source();

 private:
  [[nodiscard]] Result<std::vector<PlaceName>> all_names(const FileStat& now);
  [[nodiscard]] Result<bool> leads_here(const PlaceName& place);
  [[nodiscard]] Result<void> has_no_copy(const PlaceName& place);
  [[nodiscard]] Result<std::size_t> by_policy();
  [[nodiscard]] Result<std::size_t> fixed_target();
  [[nodiscard]] bool has_room(std::size_t branch);
  [[nodiscard]] std::uint64_t available(std::size_t branch);

  Pool& pool_;
  Backing& backing_;
  const NodeId node_;
  const MoveAim& aim_;
  const MoveWatch& watch_;
  const bool synced_;
  std::shared_ptr<const BranchSet> set_;
  std::size_t source_ = 0;
  Fd file_;
  FileStat like_;
  std::uint64_t needed_ = 0;
  std::vector<PlaceName> names_;
  std::vector<std::size_t> ruled_out_;
  std::optional<Reserved> reserved_;
};

}  // namespace bough::ops
