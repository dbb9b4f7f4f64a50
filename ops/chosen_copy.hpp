#pragma once

#include <string_view>

#include "ops/locate.hpp"

namespace bough::ops {

/// The copy of a node that the policy of `function` chooses, among those of its path and type; the
/// node's own file where that policy is the one by which the node was chosen, where no name leads
/// to the node, or where it is shown as a link or is what a link leads to. For what is only read
/// and of which the kernel keeps nothing. Errors as reach_open(); EROFS: the policy is erofs.
[[nodiscard]] Result<NodeFile> reach_by(Pool& pool, NodeId node, SearchFunction function);

/// As reach_by() for func.getxattr, except for attributes by which the kernel judges the file that
/// is opened or run (security.*, system.*): they are the node's own file's.
[[nodiscard]] Result<NodeFile> reach_for_xattr(Pool& pool, NodeId node, std::string_view name);

}  // namespace bough::ops
