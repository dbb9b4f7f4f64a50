#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "ops/link_settings.hpp"
#include "test/support/pool_fixture.hpp"

/// What the tests of follow-symlinks share.
namespace bough::test {

using ops::FollowSymlinks;
using proto::kRootNode;
using proto::NodeId;

inline constexpr std::uint32_t kType = 0170000;

inline PoolFixture::Tune following(FollowSymlinks which) {
  return [which](ops::Settings& settings) { settings.links.follow = which; };
}

inline void link_to(const std::filesystem::path& target, const std::filesystem::path& name,
                    uid_t owner = 0) {
  std::filesystem::create_symlink(target, name);
  REQUIRE(::lchown(name.c_str(), owner, owner) == 0);
}

inline void write_file(const std::filesystem::path& path, std::string_view text,
                       mode_t mode = 0644) {
  std::ofstream(path, std::ios::binary) << text;
  REQUIRE(::chmod(path.c_str(), mode) == 0);
}

inline std::string text_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline proto::EntryReply entry(PoolFixture& pool, NodeId parent, const std::string& name) {
  auto found = pool.lookup(parent, name);
  REQUIRE(found.has_value());
  pool.keep(*found);
  return std::move(*found);
}

inline std::uint32_t type(PoolFixture& pool, const std::string& name) {
  return entry(pool, kRootNode, name).entry.attr.mode & kType;
}

inline int open_error(PoolFixture& pool, NodeId node, std::uint32_t flags) {
  proto::OpenRequest request;
  request.flags = flags;
  auto opened = pool.fs().open(pool.as(node), request);
  if (!opened) return opened.error().value();
  pool.release(pool.keep(*opened));
  return 0;
}

}  // namespace bough::test
