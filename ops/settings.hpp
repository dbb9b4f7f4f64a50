#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "ops/file_settings.hpp"
#include "ops/function_policies.hpp"
#include "ops/inode_number.hpp"
#include "ops/link_settings.hpp"
#include "ops/readdir_policy.hpp"
#include "ops/shown_attributes.hpp"
#include "proto/live_value.hpp"
#include "proto/setting.hpp"

namespace bough::ops {

/// Of Settings::min_free: each branch's own size decides.
inline constexpr std::uint64_t kMinFreeBySize = std::numeric_limits<std::uint64_t>::max();

/// The option xattr.
enum class XattrMode : std::uint8_t { kPassthrough, kNoattr, kNosys };
/// The option statfs: the branches, or what holds the path on those that have it.
enum class StatfsOf : std::uint8_t { kBase, kFull };
/// The option statfs-ignore: which branches' room is not there for users.
enum class StatfsIgnore : std::uint8_t { kNone, kRo, kNc };
/// The option branch-absent: what holds while the disk of a branch is missing. See Absences.
enum class BranchAbsent : std::uint8_t { kHide, kEio, kReadonly, kRefuse };

/// The option nfsopenhack: which files may be lent a write bit to be opened.
enum class NfsOpenHack : std::uint8_t { kOff, kGit, kAll };

/// What the pool was told to do. Filled before the mount, then read by all threads; the live values
/// may change meanwhile.
struct Settings {
  /// As the user wrote it: path[=MODE[,MINFREE]][:path…].
  std::string branches;
  /// Bytes; kMinFreeBySize: the smaller of 4 GiB and 5 % of each branch.
  proto::LiveValue<std::uint64_t> min_free{kMinFreeBySize};
  CreatePolicies create;
  SearchPolicies search;
  ActionPolicies action;
  proto::LiveValue<ReaddirPolicy> readdir;
  /// Whether a create policy that preserves paths lets rename(2) and link(2) make them all the
  /// same.
  proto::LiveValue<bool> clone_on_rename{false};
  proto::LiveValue<std::chrono::nanoseconds> attr_valid{std::chrono::seconds(1)};
  proto::LiveValue<std::chrono::nanoseconds> entry_valid{std::chrono::seconds(1)};
  proto::LiveValue<std::chrono::nanoseconds> negative_valid;
  /// The kernel keeps listings of directories.
  proto::LiveValue<bool> cache_readdir{false};
  /// How old the branches' figures of free room may be for policies; 0: they are always asked.
  proto::LiveValue<std::chrono::nanoseconds> statfs_valid{std::chrono::milliseconds(250)};
  /// The kernel keeps the texts of symbolic links. What INIT agrees on corrects this and the next.
  bool cache_symlinks = false;
  /// A file that is open for direct I/O can be mapped shared.
  bool direct_io_allow_mmap = true;
  /// The kernel checks ACLs; what INIT agrees on corrects this.
  bool posix_acl = false;
  /// The pool's mount can be idmapped; what INIT agrees on corrects this.
  bool allow_idmap = false;
  /// Nodes stay known after FORGET for as long as they have a name.
  bool never_forget = false;
  FileSettings files;
  ShownAttributes shown;
  LinkSettings links;
  proto::LiveValue<XattrMode> xattr{XattrMode::kPassthrough};
  proto::LiveValue<bool> security_capability{true};
  proto::LiveValue<InodeCalc> inode_calc{InodeCalc::kHybridHash};
  proto::LiveValue<NfsOpenHack> nfs_open_hack{NfsOpenHack::kOff};
  proto::LiveValue<StatfsOf> statfs_of{StatfsOf::kBase};
  proto::LiveValue<StatfsIgnore> statfs_ignore{StatfsIgnore::kNone};
  proto::LiveValue<BranchAbsent> branch_absent{BranchAbsent::kEio};
  /// The option moveonenospc: the create policy that chooses where a file goes on that has no room
  /// left on its branch. Null: it stays.
  proto::LiveValue<const policy::Policy*> move_when_full;

  /// Defaults: create pfrd, search ff, action epall, move_when_full pfrd.
  Settings();
};

/// The rows of the option table that this layer owns, bound to `settings`.
[[nodiscard]] std::vector<proto::Setting> settings_table(Settings& settings);

}  // namespace bough::ops
