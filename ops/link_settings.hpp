#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "proto/live_value.hpp"
#include "proto/setting.hpp"

namespace bough::ops {

/// The option rename-exdev: what RENAME does where a file cannot come to its new directory.
enum class RenameExdev : std::uint8_t { kPassthrough, kRelative, kAbsolute };
/// The option link-exdev, for LINK.
enum class LinkExdev : std::uint8_t { kPassthrough, kRelative, kOnBranch, kInPool };

/// The option follow-symlinks: which symbolic links are shown as what they lead to
/// (followed_link.hpp).
enum class FollowSymlinks : std::uint8_t { kNever, kDirectory, kRegular, kAll };

/// What hard and symbolic links do.
struct LinkSettings {
  /// A file with several names is copied before it is opened for writing.
  proto::LiveValue<bool> cow{false};
  proto::LiveValue<RenameExdev> rename_exdev{RenameExdev::kPassthrough};
  proto::LiveValue<LinkExdev> link_exdev{LinkExdev::kPassthrough};
  proto::LiveValue<FollowSymlinks> follow{FollowSymlinks::kNever};
  /// What is not written any more is shown as a symbolic link to itself (converted_link.hpp), when
  /// it has not changed for that long.
  proto::LiveValue<bool> symlinkify{false};
  proto::LiveValue<std::chrono::nanoseconds> symlinkify_timeout{std::chrono::hours(1)};
};

/// Adds the rows of the option table that are bound to `settings`.
void add_link_settings(std::vector<proto::Setting>& table, LinkSettings& settings);

}  // namespace bough::ops
