#include "ops/converted_link.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>

#include "ops/followed_path.hpp"
#include "ops/rename_exdev.hpp"

namespace bough::ops {

bool is_due(const LinkSettings& settings, const FileStat& stat) noexcept {
  constexpr std::uint32_t kAnyWrites = S_IWUSR | S_IWGRP | S_IWOTH;
  if (stat.is_directory() || stat.is_symlink() || (stat.mode & kAnyWrites) != 0) return false;
  const std::chrono::nanoseconds limit =
      std::chrono::system_clock::now().time_since_epoch() - settings.symlinkify_timeout.get();
  const auto second = std::chrono::floor<std::chrono::seconds>(limit);
  const auto is_older = [&](const Time& time) {
    if (time.seconds != second.count()) return time.seconds < second.count();
    return std::chrono::nanoseconds(time.nanoseconds) < limit - second;
  };
  return is_older(stat.mtime) && is_older(stat.ctime);
}

FileStat as_link(const FileStat& file, std::size_t size) noexcept {
  constexpr std::uint32_t kAllRights = 0777;
  FileStat link = file;
  link.mode = S_IFLNK | kAllRights;
  link.size = size;
  link.blocks = 0;
  return link;
}

std::size_t link_size(const Branch& branch, std::string_view directory, std::string_view name) {
  const std::size_t size = is_followed(directory) ? plain_path(directory).size() : directory.size();
  const std::size_t between = size == 0 ? 0 : size + 1;
  return branch.path().size() + 1 + between + name.size();
}

std::size_t link_size(const Pool& pool, const NodeView& view) {
  const auto set = pool.branches.snapshot();
  const Branch* const branch = set->by_id(view.location.branch);
  if (branch == nullptr || !view.named) return 0;
  return link_size(*branch, view.path.view(), view.name());
}

Result<std::size_t> link_text(const Pool& pool, NodeId node, std::span<std::byte> out) {
  NodeView view;
  const auto set = pool.branches.snapshot();
  if (!pool.nodes.view(node, view) || !view.named) return Errno{ESTALE};
  const Branch* const branch = set->by_id(view.location.branch);
  if (branch == nullptr) return Errno{ESTALE};
  const std::string text = branch->path() + "/" + joined(plain_path(view.path.view()), view.name());
  const std::size_t size = std::min({text.size(), out.size(), kLinkMax});
  std::memcpy(out.data(), text.data(), size);
  return size;
}

}  // namespace bough::ops
