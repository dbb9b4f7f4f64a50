#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "proto/ids.hpp"

/// With follow-symlinks a component of a pool path may be a link that is followed as a directory,
/// and all that come after it are directories below that one. The path tells which directories were
/// meant: such a component is NAME NUL NODE, with the nodeid in hexadecimal. So whatever is done by
/// a path is done in the directories that the kernel checked, or not at all; and what takes a path
/// for plain text finds nothing (Branch::directory() is ELOOP), instead of what the name leads to
/// by now.
namespace bough::ops {

/// Whether a path leads through a followed directory, or to one.
[[nodiscard]] inline bool is_followed(std::string_view path) noexcept {
  return path.find('\0') != std::string_view::npos;
}

/// What of a path comes before the link, where is_followed(); else the whole of it, but for its
/// last name.
[[nodiscard]] inline std::string_view plain_part(std::string_view path) noexcept {
  const auto slash = path.substr(0, path.find('\0')).rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

/// A component of a path that is a followed directory, or lies below one.
class MarkedName {
 public:
  /// `name` is one of a node: 255 bytes at most.
  MarkedName(std::string_view name, proto::NodeId node) noexcept {
    char* end = text_.data() + name.copy(text_.data(), kLongest);
    *end++ = '\0';
    end = std::to_chars(end, text_.data() + text_.size(), node.value, 16).ptr;
    size_ = static_cast<std::size_t>(end - text_.data());
  }
  [[nodiscard]] std::string_view view() const noexcept { return {text_.data(), size_}; }

 private:
  static constexpr std::size_t kLongest = 255;
  std::array<char, kLongest + 1 + 16> text_;
  std::size_t size_;
};

struct PathStep {
  std::string name;
  /// The directory that was meant; kNoNode: whatever has the name.
  proto::NodeId followed = proto::kNoNode;
};

/// Takes the first component from `path`, which is not empty.
[[nodiscard]] inline PathStep take_step(std::string_view& path) {
  const std::string_view whole = path.substr(0, path.find('/'));
  path.remove_prefix(whole.size() < path.size() ? whole.size() + 1 : whole.size());
  const auto mark = whole.find('\0');
  PathStep step{std::string(whole.substr(0, mark)), proto::kNoNode};
  if (mark != std::string_view::npos)
    (void)std::from_chars(whole.data() + mark + 1, whole.data() + whole.size(), step.followed.value,
                          16);
  return step;
}

/// A path as users know it.
[[nodiscard]] inline std::string plain_path(std::string_view path) {
  std::string plain;
  while (!path.empty()) {
    if (!plain.empty()) plain += '/';
    plain += take_step(path).name;
  }
  return plain;
}

}  // namespace bough::ops
