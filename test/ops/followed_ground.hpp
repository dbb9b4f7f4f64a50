#pragma once

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "ops/link_settings.hpp"
#include "test/support/full_root.hpp"
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

inline int error_of(const proto::Result<void>& done) {
  return done ? 0 : done.error().value();
}

template <class T>
int error_of(const proto::Result<T>& done) {
  return done ? 0 : done.error().value();
}

/// What came of opening and reading a directory.
inline int list_error(PoolFixture& pool, NodeId directory) {
  auto opened = pool.fs().opendir(pool.as(directory), proto::OpendirRequest{});
  if (!opened) return opened.error().value();
  const auto handle = pool.keep(*opened, true);
  std::array<std::byte, 4096> buffer;
  proto::DirentPacker packer(buffer);
  proto::ReaddirRequest request;
  request.handle = handle;
  request.size = buffer.size();
  const int error = error_of(pool.fs().readdir(pool.as(directory), request, packer));
  pool.release(handle);
  return error;
}

inline int create_error(PoolFixture& pool, NodeId parent, const char* name) {
  auto made = pool.fs().create(pool.as(parent), {pool.name(name), O_RDWR, 0100640, 0, false, {}});
  if (!made) return made.error().value();
  pool.keep(made->entry);
  pool.release(pool.keep(made->open));
  return 0;
}

/// A mount of its own, with the flags of the mount that its place is on and others; "bind": of
/// `from`, or of the place itself.
class Mounted {
 public:
  Mounted(const std::filesystem::path& at, const char* type, unsigned long more,
          const std::filesystem::path& from = {})
      : at_(at) {
    struct statvfs home {};
    REQUIRE(::statvfs(at.c_str(), &home) == 0);
    unsigned long flags = more;
    if ((home.f_flag & ST_NOSUID) != 0) flags |= MS_NOSUID;
    if ((home.f_flag & ST_NODEV) != 0) flags |= MS_NODEV;
    if ((home.f_flag & ST_NOEXEC) != 0) flags |= MS_NOEXEC;
    if (std::string_view(type) == "bind") {
      REQUIRE(::mount((from.empty() ? at : from).c_str(), at.c_str(), nullptr, MS_BIND, nullptr) ==
              0);
      REQUIRE(::mount(nullptr, at.c_str(), nullptr, MS_BIND | MS_REMOUNT | flags, nullptr) == 0);
    } else {
      REQUIRE(::mount(type, at.c_str(), type, flags, nullptr) == 0);
    }
    added_ = (flags & ~home.f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY)) != 0;
  }
  ~Mounted() { ::umount2(at_.c_str(), MNT_DETACH); }
  Mounted(const Mounted&) = delete;
  Mounted& operator=(const Mounted&) = delete;
  /// Whether it has a flag that its place has not.
  [[nodiscard]] bool is_narrower() const noexcept { return added_; }

 private:
  std::filesystem::path at_;
  bool added_ = false;
};

}  // namespace bough::test
