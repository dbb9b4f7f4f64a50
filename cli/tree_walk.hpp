#pragma once

#include <functional>
#include <string>

namespace bough::cli {

/// Calls `seen` with `start`, which may be a symbolic link to it, and with the path of all that is
/// below it on the same file system, in the order of the names; links below it are not followed.
/// `unseen` is told of what cannot be looked at or listed, and of listings that break off, with
/// errno: fts(3) takes those for whole. What is gone meanwhile is nothing.
void walk_tree(const std::string& start, const std::function<void(const std::string& path)>& seen,
               const std::function<void(const std::string& path, int error)>& unseen);

}  // namespace bough::cli
