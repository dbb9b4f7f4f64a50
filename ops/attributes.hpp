#pragma once

#include <chrono>

#include "ops/backing.hpp"
#include "ops/followed_link.hpp"
#include "ops/locate.hpp"
#include "proto/replies.hpp"

namespace bough::ops {

/// A branch's attributes as the pool shows them, with the pool's inode number.
[[nodiscard]] proto::Attr to_attr(const Pool& pool, const FileStat& stat,
                                  std::uint64_t ino) noexcept;

/// The inode number that users see of a node, by the option inodecalc. `own` is what the node table
/// has of it (NodeView::ino); `stat` and `branch` are what was found of it.
[[nodiscard]] std::uint64_t number_of(Pool& pool, NodeId node, std::uint64_t own,
                                      const FileStat& stat, BranchId branch);

/// Set-uid, or set-gid where it makes a program run as the group.
[[nodiscard]] bool has_set_ids(const FileStat& stat) noexcept;

/// How long the kernel may keep a file's attributes. Not at all those of one with set-ids, where
/// writes can pass by us: they clear the bits, and the kernel would run it with them meanwhile.
/// While a branch is absent for a second at most: another copy may be shown when it is back.
[[nodiscard]] std::chrono::nanoseconds attr_validity(const Pool& pool,
                                                     const FileStat& stat) noexcept;

/// How long the kernel may keep a name; while a branch is absent for a second at most.
[[nodiscard]] std::chrono::nanoseconds entry_validity(const Pool& pool) noexcept;
/// How long it may keep that there is no such name: not at all while a branch is absent, which may
/// have it.
[[nodiscard]] std::chrono::nanoseconds negative_validity(const Pool& pool) noexcept;

/// Counts a look-up of `name` in `parent`, which is `stat` on `branch`, and makes the reply of it.
/// ESTALE: the parent is not known any more.
[[nodiscard]] Result<proto::EntryReply> make_entry(Pool& pool, NodeId parent, std::string_view name,
                                                   const Branch& branch, const FileStat& stat);
/// The same for a name that was found, not made, and may be shown as something else than it is (see
/// converted_link.hpp).
[[nodiscard]] Result<proto::EntryReply> show_entry(Pool& pool, NodeId parent, std::string_view name,
                                                   const Branch& branch, const Shown& shown);

}  // namespace bough::ops
