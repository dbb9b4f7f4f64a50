#pragma once

#include <sys/stat.h>

#include <functional>
#include <string>
#include <vector>

namespace bough::cli {

/// What one branch has of a name in the pool, as lstat(2) tells of it.
struct Copy {
  std::string branch;
  std::string path;
  struct stat info {};
};

/// What `branches` have at `relative`, a path without a leading slash. Not by the attribute
/// `allpaths`, which tells of a file with several names by one of them. `unseen` is told where it
/// cannot be known whether there is a copy.
[[nodiscard]] std::vector<Copy> copies_of(
    const std::vector<std::string>& branches, const std::string& relative,
    const std::function<void(const std::string& path, int error)>& unseen);

/// The same copies as they are now.
[[nodiscard]] std::vector<Copy> looked_at_again(const std::vector<Copy>& copies);

/// Whether they differ in type, permissions or owner; of regular files, if it is asked for, also in
/// size.
[[nodiscard]] bool differ(const std::vector<Copy>& copies, bool in_size);
[[nodiscard]] bool same_type(const Copy& left, const Copy& right);
[[nodiscard]] bool same_owner_and_mode(const Copy& left, const Copy& right);
/// Whether two regular files hold the same bytes; false, too, if that cannot be found out.
[[nodiscard]] bool same_content(const Copy& left, const Copy& right);

/// Gives `to` the owner and permissions of `from`. Empty, or what went wrong.
[[nodiscard]] std::string take_owner_and_mode(const Copy& from, const Copy& to);

/// Replaces the regular file `to` by one with the content, times, extended attributes, owner and
/// permissions of `from`: written and on disk beside it, then renamed over it. Nothing is replaced
/// if either changed since it was looked at, or if `to` has other names, which would stay behind.
/// Empty, or what went wrong.
[[nodiscard]] std::string take_content(const Copy& from, const Copy& to);

/// "regular", "directory" and so on.
[[nodiscard]] std::string type_text(mode_t mode);

}  // namespace bough::cli
