#include "ops/hidden_copy.hpp"

#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "ops/kept_times.hpp"
#include "ops/locate.hpp"
#include "ops/move_record.hpp"

namespace bough::ops {
namespace {

/// RENAME_NOREPLACE of renameat2(2).
constexpr std::uint32_t kNoReplace = 1;

}  // namespace

HiddenCopy::~HiddenCopy() {
  if (!named()) return;
  const KeptTimes kept(pool_.backing, root_.fd());
  (void)pool_.backing.unlink_at(root_.fd(), name_.data());
}

Result<void> HiddenCopy::make(int directory) {
  auto unnamed =
      open_with_relief(pool_, [&] { return pool_.backing.open_unnamed(directory, O_RDWR, 0); });
  if (unnamed) {
    file_ = *std::move(unnamed);
    return {};
  }
  if (unnamed.error() != Errno{EOPNOTSUPP} && unnamed.error() != Errno{EISDIR} &&
      unnamed.error() != Errno{EINVAL})
    return unnamed.error();
  auto root = branch_.root();
  if (!root) return root.error();
  root_ = *std::move(root);
  name_ = hidden_name(pool_.random, kPartSuffix);
  const KeptTimes kept(pool_.backing, root_.fd());
  auto file = open_with_relief(pool_, [&] {
    return pool_.backing.open_at(root_.fd(), name_.data(), O_RDWR | O_CREAT | O_EXCL, 0);
  });
  if (!file) {
    name_[0] = '\0';
    return file.error();
  }
  file_ = *std::move(file);
  const auto locked = pool_.backing.lock(file_.get());
  if (!locked && !cannot_hold(locked.error())) return locked;
  return {};
}

Result<void> HiddenCopy::give_name(int directory, const char* name) {
  if (!named()) return pool_.backing.link_fd(fd(), directory, name);
  const KeptTimes kept(pool_.backing, root_.fd());
  auto moved = pool_.backing.rename_at(root_.fd(), name_.data(), directory, name, kNoReplace);
  if (moved) name_[0] = '\0';
  // A file system that knows no flags: the hidden name goes with this object.
  if (!moved && moved.error() == Errno{EINVAL}) return pool_.backing.link_fd(fd(), directory, name);
  return moved;
}

}  // namespace bough::ops
