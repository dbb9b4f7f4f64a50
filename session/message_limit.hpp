#pragma once

#include <cstdint>
#include <string>

namespace bough::session {

/// The most pages that INIT can name.
inline constexpr std::uint32_t kMostMessagePages = 65535;

/// What the kernel lets a message have, made to allow `pages` if that is in our power, and `pages`
/// brought down to it. Returns what there is to tell, as one line; empty if all is as wanted.
///
/// The limit (Linux 6.13: `file`; before, 256 pages) is the whole system's and is read by the
/// kernel when a connection is mounted, so this comes before that. It is raised, which takes root,
/// and never lowered: other mounts may live by it.
[[nodiscard]] std::string fit_message(
    std::uint32_t& pages, const std::string& file = "/proc/sys/fs/fuse/max_pages_limit");

}  // namespace bough::session
