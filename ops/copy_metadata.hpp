#pragma once

#include <array>
#include <string_view>

#include "ops/backing.hpp"
#include "policy/facts.hpp"

/// What copies of directories and of files have in common.
namespace bough::ops {

/// The file system there cannot hold what the source has (owners on vfat, xattrs on NFS), or an
/// ordinary user's daemon may not give it: no reason to refuse the copy.
[[nodiscard]] bool cannot_hold(Errno error) noexcept;

/// Every xattr with the ACLs, as far as the target can hold them; an ACL that the target inherited
/// and the source has not is removed. What a name means to the target's file system is up to that.
[[nodiscard]] Result<void> copy_xattrs(Backing& backing, int source, int target);

/// The attributes of chattr(1) that a copy can bear: not immutable, not append-only. Two open files
/// or directories, no O_PATH. As far as the two file systems know them: it never fails. Compression
/// and no-COW count for data that is written afterwards.
void copy_flags(Backing& backing, int source, const FileStat& like, int target) noexcept;

[[nodiscard]] TimesChange times_of(const FileStat& stat) noexcept;

/// A name for what is not finished: ".boughfs-" and a random number in hex, NUL-terminated. Found
/// lying about after a crash, it can be removed.
using HiddenName = std::array<char, 32>;
[[nodiscard]] HiddenName hidden_name(policy::Random& random) noexcept;

}  // namespace bough::ops
