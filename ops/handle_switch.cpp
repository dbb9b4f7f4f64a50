#include "ops/handle_switch.hpp"

#include <fcntl.h>

#include <cerrno>
#include <exception>

#include "ops/operations.hpp"

namespace bough::ops {

Result<void> HandleSwitch::take(NodeId node) {
  locks_.clear();
  files_ = pool_.handles.files_of(node);
  locks_.reserve(files_.size());
  // From prepare() on nothing is to fail for want of memory.
  constexpr std::size_t kMostOfOne = 2;
  all_.clear();
  all_.reserve(kMostOfOne * files_.size());
  for (const auto& file : files_) {
    locks_.emplace_back(file->making_twin, std::try_to_lock);
    if (locks_.back()) continue;
    locks_.clear();
    return Errno{ETIMEDOUT};
  }
  return {};
}

Result<void> HandleSwitch::prepare(int target) {
  for (const auto& file : files_)
    if (const auto added = add(*file, target); !added) return added;
  return {};
}

Result<void> HandleSwitch::add(FileHandle& handle, int target) {
  const int twin = handle.twin.load(std::memory_order_acquire);
  int flags = branch_open_flags(handle.flags, pool_.settings.files.writeback) & ~O_TRUNC;
  if (twin == FileHandle::kNoTwin) flags &= ~O_DIRECT;
  if (const auto added = add(handle.fd.get(), target, flags, handle.flags); !added) return added;
  if (twin < 0) return {};
  return add(twin, target, flags ^ O_DIRECT, handle.flags);
}

Result<void> HandleSwitch::add(int number, int target, int flags, std::uint32_t asked) {
  One one;
  one.number = number;
  one.flags = flags;
  one.asked = asked;
  auto fresh = reopen_file(pool_, target, flags, asked);
  if (!fresh) return fresh.error();
  one.fresh = *std::move(fresh);
  auto old = pool_.backing.duplicate(number);
  if (!old) return old.error();
  one.old = *std::move(old);
  all_.push_back(std::move(one));
  return {};
}

Result<void> HandleSwitch::run() {
  for (One& one : all_) {
    const auto replaced = pool_.backing.replace(one.number, one.fresh.get());
    one.switched = replaced.has_value();
    if (one.switched) continue;
    (void)replace_all(false);
    return replaced;
  }
  return {};
}

void HandleSwitch::let_go() noexcept {
  locks_.clear();
}

void HandleSwitch::leave() noexcept {
  for (One& one : all_)
    if ((one.flags & O_ACCMODE) != O_RDONLY) one.old.reset();
}

bool HandleSwitch::back(int source) noexcept {
  // All are opened before one is changed.
  for (One& one : all_)
    if (one.switched && !one.old && !reopen_old(one, source)) return false;
  if (replace_all(false)) return true;
  (void)replace_all(true);
  return false;
}

bool HandleSwitch::reopen_old(One& one, int source) noexcept {
  try {
    auto again = reopen_file(pool_, source, one.flags, one.asked);
    if (!again) return false;
    one.old = *std::move(again);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

bool HandleSwitch::replace_all(bool by_new) noexcept {
  // dup3(2) of two open descriptors has no reason to fail; a handle that is of the other file than
  // the rest would lose what is written to it.
  constexpr int kTries = 100;
  bool all = true;
  for (One& one : all_) {
    const int by = by_new ? one.fresh.get() : one.old.get();
    for (int tries = 0; one.switched != by_new && tries < kTries; ++tries)
      if (pool_.backing.replace(one.number, by)) one.switched = by_new;
    all = all && one.switched == by_new;
  }
  return all;
}

}  // namespace bough::ops
