#include "ops/free_names.hpp"

#include <cstring>

#include "ops/hash.hpp"

namespace bough::ops {

FreeNames::Slot& FreeNames::slot(proto::NodeId parent, std::string_view name) noexcept {
  return slots_[combine_hash(hash_text(name), parent.value) % kSlots];
}

bool FreeNames::holds(const Slot& slot, proto::NodeId parent, std::string_view name) noexcept {
  return slot.parent == parent && std::string_view(slot.name.data(), slot.size) == name;
}

void FreeNames::note(proto::NodeId parent, std::string_view name, std::uint32_t changes) noexcept {
  Slot& kept = slot(parent, name);
  if (name.size() > kept.name.size()) return;
  const auto now = Clock::now();
  const std::lock_guard lock(mutex_);
  if (changes != kept.changes.load()) return;
  kept.parent = parent;
  kept.size = static_cast<std::uint8_t>(name.size());
  std::memcpy(kept.name.data(), name.data(), name.size());
  kept.since = now;
}

void FreeNames::found(proto::NodeId parent, std::string_view name) noexcept {
  Slot& kept = slot(parent, name);
  const std::lock_guard lock(mutex_);
  kept.changes.fetch_add(1);
  if (holds(kept, parent, name)) kept.parent = proto::kNoNode;
}

void FreeNames::forget_all() noexcept {
  const std::lock_guard lock(mutex_);
  for (Slot& kept : slots_) {
    kept.changes.fetch_add(1);
    kept.parent = proto::kNoNode;
  }
}

bool FreeNames::take(proto::NodeId parent, std::string_view name) noexcept {
  const auto now = Clock::now();
  Slot& kept = slot(parent, name);
  const std::lock_guard lock(mutex_);
  if (!holds(kept, parent, name)) return false;
  kept.parent = proto::kNoNode;
  return now - kept.since < kMoment;
}

}  // namespace bough::ops
