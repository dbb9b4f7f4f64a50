#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "proto/ids.hpp"

/// The names that the pool keeps for itself. Each comes twice: our own, and mergerfs', which tools
/// for it look for. Both mean the same everywhere.
namespace bough::ops {

using proto::NodeId;

/// Of the control file, in the pool's root.
inline constexpr std::array<std::string_view, 2> kControlNames{".boughfs", ".mergerfs"};
/// Of extended attributes; the place in the list is that of the control file which lists them so.
inline constexpr std::array<std::string_view, 2> kOwnPrefixes{"user.boughfs.", "user.mergerfs."};

/// The control files' node ids count from here. NodeTable gives none with this bit.
inline constexpr std::uint64_t kFirstControlNode = std::uint64_t{1} << 63U;

[[nodiscard]] constexpr bool is_control_node(NodeId node) noexcept {
  return node.value >= kFirstControlNode;
}

/// The node that the pool itself keeps behind `name` in `parent`; kNoNode: it keeps none there.
[[nodiscard]] constexpr NodeId control_node(NodeId parent, std::string_view name) noexcept {
  if (parent != proto::kRootNode) return proto::kNoNode;
  for (std::size_t i = 0; i < kControlNames.size(); ++i)
    if (name == kControlNames[i]) return NodeId{kFirstControlNode + i};
  return proto::kNoNode;
}

[[nodiscard]] constexpr bool is_control_name(NodeId parent, std::string_view name) noexcept {
  return control_node(parent, name) != proto::kNoNode;
}

/// What stands behind one of kOwnPrefixes. Nothing: the attribute is the user's.
[[nodiscard]] constexpr std::optional<std::string_view> own_key(std::string_view xattr) noexcept {
  for (const std::string_view prefix : kOwnPrefixes)
    if (xattr.starts_with(prefix)) return xattr.substr(prefix.size());
  return std::nullopt;
}

}  // namespace bough::ops
