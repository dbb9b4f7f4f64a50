#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "ops/link_settings.hpp"
#include "ops/locate.hpp"

/// The option symlinkify. What nobody writes any more is shown as a symbolic link to itself on its
/// branch, so that who opens it works on the branch's file without the pool: any file but a link or
/// a directory, without a write bit, whose mtime and ctime are both older than the timeout.
///
/// An inode of the kernel never changes its type: the link is a node of its own beside the file's
/// (NodeTable::count_link()), so that nothing that is open breaks. Which of them a name leads to is
/// decided where a name is given, by LOOKUP and READDIRPLUS. While a handle holds the file it is
/// the file's. Names are given and taken (RENAME, UNLINK, LINK) as the file's; owner, times and
/// attributes of the link are the file's, too.
namespace bough::ops {

/// The kernel takes no more of a link's text (FUSE, fuse_readlink_folio()).
inline constexpr std::size_t kLinkMax = 4095;

/// Whether a file with these attributes is to be shown as a link by now.
[[nodiscard]] bool is_due(const LinkSettings& settings, const FileStat& stat) noexcept;

/// The attributes of the link to a file.
[[nodiscard]] FileStat as_link(const FileStat& file, std::size_t size) noexcept;

/// The length of the text: the branch's path, and `name` in its directory `directory`.
[[nodiscard]] std::size_t link_size(const Branch& branch, std::string_view directory,
                                    std::string_view name);
/// The same of a node. 0: no name leads to it, or its branch has left the pool.
[[nodiscard]] std::size_t link_size(const Pool& pool, const NodeView& view);
/// Its text, as much of it as there is room for. ESTALE: there is none any more.
[[nodiscard]] Result<std::size_t> link_text(const Pool& pool, NodeId node,
                                            std::span<std::byte> out);

}  // namespace bough::ops
