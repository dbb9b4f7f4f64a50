#include "ops/clone_path.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "ops/copy_metadata.hpp"
#include "ops/locate.hpp"

namespace bough::ops {

namespace {

/// One checked component with the zero byte that system calls want.
class Component {
 public:
  [[nodiscard]] static Result<Component> of(std::string_view text) {
    Component component;
    if (text.size() >= component.text_.size()) return Errno{ENAMETOOLONG};
    std::memcpy(component.text_.data(), text.data(), text.size());
    component.text_[text.size()] = '\0';
    component.size_ = text.size();
    return component;
  }
  [[nodiscard]] const char* c_str() const noexcept { return text_.data(); }
  [[nodiscard]] std::string_view view() const noexcept { return {text_.data(), size_}; }

 private:
  std::array<char, 256> text_{};
  std::size_t size_ = 0;
};

class Cloner {
 public:
  Cloner(Pool& pool, DirRef from, DirRef to)
      : pool_(pool), backing_(pool.backing), from_(std::move(from)), to_(std::move(to)) {}

  /// Goes down by one component, which is made where it is missing.
  Result<void> step(const Component& name) {
    auto source = open_below(from_.fd(), name.view());
    if (!source) return source.error();
    auto target = open_below(to_.fd(), name.view());
    if (target) {
      made_ = false;
    } else {
      if (target.error() != Errno{ENOENT}) return target.error();
      const std::lock_guard lock(pool_.directory_copies);
      const auto stat = backing_.stat(source->fd());
      if (!stat) return stat.error();
      target = make(name, *source, *stat);
      if (!target) return target.error();
    }
    from_ = *std::move(source);
    to_ = *std::move(target);
    return {};
  }

  [[nodiscard]] DirRef take_target() { return std::move(to_); }

 private:
  Result<DirRef> open_below(int dir, std::string_view name) {
    auto fd =
        open_with_relief(pool_, [&] { return backing_.open_directory(dir, name, O_PATH, false); });
    if (!fd) return fd.error();
    return DirRef(*std::move(fd));
  }

  /// Makes `name` under another name first and moves it when it is whole: what others meanwhile
  /// create in it must find its group and its default ACL in force.
  Result<DirRef> make(const Component& name, const DirRef& source, const FileStat& like) {
    if (!made_) {
      const auto parent = backing_.stat(to_.fd());
      if (!parent) return parent.error();
      parent_times_ = times_of(*parent);
    }
    const auto hidden = make_hidden();
    if (!hidden) return hidden.error();
    auto finished = finish(name, *hidden, source, like);
    if (!finished) static_cast<void>(backing_.rmdir_at(to_.fd(), hidden->c_str()));
    // For users nothing new is in the parent, so its times stay.
    static_cast<void>(backing_.set_times(to_.fd(), parent_times_));
    if (!finished) {
      if (finished.error() != Errno{EEXIST}) return finished;
      // Somebody was faster.
      made_ = false;
      return open_below(to_.fd(), name.view());
    }
    made_ = true;
    pool_.directories.made();
    parent_times_ = times_of(like);
    return finished;
  }

  Result<DirRef> finish(const Component& name, const Component& hidden, const DirRef& source,
                        const FileStat& like) {
    auto target = open_below(to_.fd(), hidden.view());
    if (!target) return target;
    if (const auto copied = copy_attributes(source, like, *target); !copied) return copied.error();
    auto moved =
        backing_.rename_at(to_.fd(), hidden.c_str(), to_.fd(), name.c_str(), RENAME_NOREPLACE);
    // Some network file systems know no flags; a plain rename replaces an empty directory at worst.
    if (!moved && moved.error() == Errno{EINVAL})
      moved = backing_.rename_at(to_.fd(), hidden.c_str(), to_.fd(), name.c_str(), 0);
    if (moved) return target;
    return moved.error() == Errno{ENOTEMPTY} ? Errno{EEXIST} : moved.error();
  }

  Result<Component> make_hidden() {
    constexpr int kTries = 8;
    for (int tries = 0;; ++tries) {
      auto name = Component::of(hidden_name(pool_.random).data());
      const auto made = backing_.mkdir_at(to_.fd(), name->c_str(), S_IRWXU);
      if (made) return name;
      if (made.error() != Errno{EEXIST} || tries == kTries) return made.error();
    }
  }

  Result<void> copy_attributes(const DirRef& source, const FileStat& like, const DirRef& target) {
    std::uint32_t mode = like.mode & 07777U;
    const auto owned = backing_.chown(target.fd(), like.uid, like.gid);
    if (!owned) {
      if (!cannot_hold(owned.error())) return owned;
      // Set-id bits were meant for the other owner.
      mode &= 01777U;
    }
    if (const auto copied = copy_xattrs(backing_, source.fd(), target.fd()); !copied) return copied;
    // After the ACL: the group bits of a mode are the ACL's mask.
    const auto allowed = backing_.chmod(target.fd(), mode);
    if (!allowed && !cannot_hold(allowed.error())) return allowed;
    copy_directory_flags(source, like, target);
    const auto timed = backing_.set_times(target.fd(), times_of(like));
    if (!timed && !cannot_hold(timed.error())) return timed;
    return {};
  }

  void copy_directory_flags(const DirRef& source, const FileStat& like, const DirRef& target) {
    const auto from = backing_.reopen(source.fd(), O_RDONLY | O_DIRECTORY);
    if (!from) return;
    const auto to = backing_.reopen(target.fd(), O_RDONLY | O_DIRECTORY);
    if (to) copy_flags(backing_, from->get(), like, to->get());
  }

  Pool& pool_;
  Backing& backing_;
  DirRef from_;
  DirRef to_;
  /// `to_` is a copy that this walk made, and has these times.
  bool made_ = false;
  TimesChange parent_times_;
};

}  // namespace

Result<DirRef> clone_path(Pool& pool, Branch& from, Branch& to, std::string_view path) {
  auto there = open_directory(pool, to, path);
  if (there || there.error() != Errno{ENOENT}) return there;
  auto source = open_directory(pool, from, "");
  if (!source) return source;
  auto target = open_directory(pool, to, "");
  if (!target) return target;
  return clone_below(pool, *std::move(source), *std::move(target), path);
}

Result<DirRef> clone_below(Pool& pool, DirRef from, DirRef to, std::string_view path) {
  Cloner cloner(pool, std::move(from), std::move(to));
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    const auto name = Component::of(path.substr(0, end));
    if (!name) return name.error();
    if (const auto stepped = cloner.step(*name); !stepped) return stepped.error();
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return cloner.take_target();
}

}  // namespace bough::ops
