#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "ops/locate.hpp"

namespace bough::ops {

/// What the pool tells of an ordinary file or directory, under each of kOwnPrefixes:
///   basepath  its branch, spelt as in `srcmounts` (of a directory: the first copy's)
///   relpath   its path in the pool, without a leading slash; empty for the root
///   fullpath  both together; of the root it ends in a slash
///   allpaths  all full paths in list order, joined by NUL
///   explain.… what a policy would do, see ops/explain
/// A file with several names has the path by which it was used last. ENODATA: another key, or no
/// name leads to it any more. Of allpaths another errno, if a branch could not be asked.
[[nodiscard]] Result<std::size_t> get_virtual(Pool& pool, const Context& context,
                                              std::string_view key, std::span<std::byte> out);

}  // namespace bough::ops
