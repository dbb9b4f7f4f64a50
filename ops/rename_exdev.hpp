#pragma once

#include <string>
#include <string_view>

#include "ops/locate.hpp"
#include "proto/requests.hpp"

/// The options rename-exdev and link-exdev: a symbolic link where a file cannot come to.
namespace bough::ops {

/// Where renamed files go, in each branch's root: mergerfs's name, whose links lead there already.
inline constexpr std::string_view kAsideDirectory = ".mergerfs_rename_exdev";

/// `name` below `directory`; either may be empty.
[[nodiscard]] std::string joined(std::string_view directory, std::string_view name);
/// The text of a link in the directory `from` that leads to `path`. Both are pool paths.
[[nodiscard]] std::string relative_target(std::string_view from, std::string_view path);

/// A RENAME that came to EXDEV. Each copy that the action policy chooses goes to
/// .mergerfs_rename_exdev/OLD-PATH on its branch, and the new name becomes a symbolic link to that,
/// the caller's own. What an earlier one left there under the same path stays: a number is put
/// behind the name. Whatever fails, the copies are moved back.
///
/// EXDEV: the option is passthrough; the new name is taken, which a link does not replace; the file
/// cannot be put aside. mv(1) copies then.
[[nodiscard]] Result<void> rename_aside(Pool& pool, const Context& context,
                                        const proto::RenameRequest& request,
                                        std::string_view old_path, std::string_view new_path);

}  // namespace bough::ops
