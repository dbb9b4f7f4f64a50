#include "ops/handle_table.hpp"

#include <fcntl.h>

#include <utility>

namespace bough::ops {

FileHandle::~FileHandle() {
  const Fd closed(twin.load(std::memory_order_relaxed));
}

namespace {

/// An id: tag (8 bits), generation (24, never 0), index in the shard (28), shard (4). The upper
/// half is the stamp of the slot, so that an id with another tag is not open.
constexpr unsigned kShardBits = 4;
constexpr unsigned kIndexBits = 28;
constexpr std::uint64_t kMostSlots = std::uint64_t{1} << kIndexBits;
constexpr std::uint32_t kNone = 0xffffffff;
constexpr unsigned kGenerationBits = 24;
constexpr std::uint32_t kGenerations = std::uint32_t{1} << kGenerationBits;

std::size_t shard_of(HandleId id) noexcept {
  return id.value & ((1U << kShardBits) - 1);
}
std::size_t index_of(HandleId id) noexcept {
  return (id.value >> kShardBits) & (kMostSlots - 1);
}
std::uint32_t stamp_of(HandleId id) noexcept {
  return static_cast<std::uint32_t>(id.value >> (kShardBits + kIndexBits));
}
HandleId make_id(std::uint32_t stamp, std::size_t index, std::size_t shard) noexcept {
  return HandleId{std::uint64_t{stamp} << (kShardBits + kIndexBits) |
                  std::uint64_t{index} << kShardBits | shard};
}

}  // namespace

struct alignas(64) HandleTable::Shard {
  struct Slot {
    Handle* handle = nullptr;
    /// While it is free, the generation of the next handle without a tag.
    std::uint32_t stamp = 1;
    std::uint32_t next_free = kNone;
  };

  mutable std::mutex mutex;
  std::vector<Slot> slots;
  std::uint32_t free = kNone;
  std::uint64_t live = 0;

  [[nodiscard]] Slot* find(HandleId id) noexcept {
    const std::size_t index = index_of(id);
    if (index >= slots.size()) return nullptr;
    Slot& slot = slots[index];
    return slot.handle != nullptr && slot.stamp == stamp_of(id) ? &slot : nullptr;
  }
  /// A slot whose generation is used up is left alone, so that no id comes twice.
  Handle* take(Slot& slot) noexcept {
    Handle* const handle = std::exchange(slot.handle, nullptr);
    --live;
    slot.stamp = (slot.stamp + 1) % kGenerations;
    if (slot.stamp != 0) {
      slot.next_free = free;
      free = static_cast<std::uint32_t>(&slot - slots.data());
    }
    return handle;
  }
};

void HandleRefBase::drop(Handle* handle) noexcept {
  if (handle != nullptr && handle->refs_.fetch_sub(1, std::memory_order_acq_rel) == 1)
    delete handle;
}

HandleTable::HandleTable() : shards_(std::make_unique<Shard[]>(kShards)) {
  static_assert(kShards == 1U << kShardBits);
  static_assert(kTagShift == kShardBits + kIndexBits + kGenerationBits);
}

HandleTable::~HandleTable() {
  clear();
}

HandleId HandleTable::add(std::unique_ptr<Handle> handle, std::uint8_t tag) {
  const std::size_t number = next_shard_.fetch_add(1, std::memory_order_relaxed) % kShards;
  Shard& shard = shards_[number];
  const std::lock_guard lock(shard.mutex);
  std::size_t index = shard.free;
  if (shard.free != kNone) {
    shard.free = shard.slots[index].next_free;
  } else {
    index = shard.slots.size();
    if (index >= kMostSlots) throw std::bad_alloc();
    shard.slots.emplace_back();
  }
  Shard::Slot& slot = shard.slots[index];
  slot.handle = handle.release();
  slot.stamp |= std::uint32_t{tag} << kGenerationBits;
  ++shard.live;
  return make_id(slot.stamp, index, number);
}

Handle* HandleTable::find(HandleId id, bool directory) {
  Shard& shard = shards_[shard_of(id)];
  const std::lock_guard lock(shard.mutex);
  const Shard::Slot* const slot = shard.find(id);
  if (slot == nullptr || slot->handle->directory != directory) return nullptr;
  slot->handle->refs_.fetch_add(1, std::memory_order_relaxed);
  return slot->handle;
}

HandleRef<FileHandle> HandleTable::file(HandleId id) {
  return HandleRef<FileHandle>(static_cast<FileHandle*>(find(id, false)));
}

BranchId HandleTable::branch_of(HandleId id) const noexcept {
  Shard& shard = shards_[shard_of(id)];
  const std::lock_guard lock(shard.mutex);
  const Shard::Slot* const slot = shard.find(id);
  if (slot == nullptr || slot->handle->directory) return kNoBranch;
  return static_cast<const FileHandle&>(*slot->handle).branch.load(std::memory_order_relaxed);
}

HandleRef<DirHandle> HandleTable::directory(HandleId id) {
  return HandleRef<DirHandle>(static_cast<DirHandle*>(find(id, true)));
}

HandleRef<FileHandle> HandleTable::any_file_of(NodeId node) {
  for (std::size_t i = 0; i < kShards; ++i) {
    Shard& shard = shards_[i];
    const std::lock_guard lock(shard.mutex);
    for (const Shard::Slot& slot : shard.slots) {
      if (slot.handle == nullptr || slot.handle->directory || slot.handle->node != node) continue;
      slot.handle->refs_.fetch_add(1, std::memory_order_relaxed);
      return HandleRef<FileHandle>(static_cast<FileHandle*>(slot.handle));
    }
  }
  return {};
}

template <class Visit>
void HandleTable::visit_files_of(NodeId node, Visit visit) {
  for (std::size_t i = 0; i < kShards; ++i) {
    const std::lock_guard lock(shards_[i].mutex);
    for (const Shard::Slot& slot : shards_[i].slots)
      if (slot.handle != nullptr && !slot.handle->directory && slot.handle->node == node)
        visit(static_cast<FileHandle&>(*slot.handle));
  }
}

std::vector<HandleRef<FileHandle>> HandleTable::files_of(NodeId node) {
  std::vector<HandleRef<FileHandle>> found;
  visit_files_of(node, [&](FileHandle& handle) {
    found.emplace_back(&handle);
    handle.refs_.fetch_add(1, std::memory_order_relaxed);
  });
  return found;
}

bool HandleTable::are_all_of(const FileId& file, NodeId node) const {
  for (std::size_t i = 0; i < kShards; ++i) {
    const std::lock_guard lock(shards_[i].mutex);
    for (const Shard::Slot& slot : shards_[i].slots) {
      if (slot.handle == nullptr || slot.handle->directory) continue;
      const auto& handle = static_cast<const FileHandle&>(*slot.handle);
      if ((handle.file == file) != (handle.node == node)) return false;
    }
  }
  return true;
}

void HandleTable::close_changes(NodeId node) noexcept {
  visit_files_of(node, [](FileHandle& handle) { handle.changes.close(); });
}

void HandleTable::open_changes(NodeId node) noexcept {
  visit_files_of(node, [](FileHandle& handle) { handle.changes.open(); });
}

void HandleTable::relocate(NodeId node, const Location& where) noexcept {
  visit_files_of(node, [&](FileHandle& handle) {
    handle.branch.store(where.branch, std::memory_order_relaxed);
    handle.file = where.file;
  });
}

NodeId HandleTable::writer_of(const FileId& file) {
  for (std::size_t i = 0; i < kShards; ++i) {
    const std::lock_guard lock(shards_[i].mutex);
    for (const Shard::Slot& slot : shards_[i].slots) {
      if (slot.handle == nullptr || slot.handle->directory) continue;
      const auto& handle = static_cast<const FileHandle&>(*slot.handle);
      if ((handle.flags & O_ACCMODE) != O_RDONLY && handle.file == file) return handle.node;
    }
  }
  return proto::kNoNode;
}

std::uint64_t HandleTable::pinned_writers() const {
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < kShards; ++i) {
    const std::lock_guard lock(shards_[i].mutex);
    for (const Shard::Slot& slot : shards_[i].slots) {
      if (slot.handle == nullptr || slot.handle->directory) continue;
      const auto& handle = static_cast<const FileHandle&>(*slot.handle);
      if ((handle.flags & O_ACCMODE) != O_RDONLY && handle.share.backing_id() != 0) ++count;
    }
  }
  return count;
}

std::set<BranchId> HandleTable::branches_of_files() {
  std::set<BranchId> branches;
  for (std::size_t i = 0; i < kShards; ++i) {
    const std::lock_guard lock(shards_[i].mutex);
    for (const Shard::Slot& slot : shards_[i].slots)
      if (slot.handle != nullptr && !slot.handle->directory)
        branches.insert(static_cast<const FileHandle*>(slot.handle)->branch);
  }
  return branches;
}

HandleRefBase HandleTable::remove(HandleId id) noexcept {
  Shard& shard = shards_[shard_of(id)];
  const std::lock_guard lock(shard.mutex);
  Shard::Slot* const slot = shard.find(id);
  return HandleRefBase(slot != nullptr ? shard.take(*slot) : nullptr);
}

std::uint64_t HandleTable::size() const noexcept {
  std::uint64_t size = 0;
  for (std::size_t i = 0; i < kShards; ++i) {
    const std::lock_guard lock(shards_[i].mutex);
    size += shards_[i].live;
  }
  return size;
}

void HandleTable::clear() noexcept {
  for (std::size_t i = 0; i < kShards; ++i) {
    Shard& shard = shards_[i];
    for (std::size_t index = 0;; ++index) {
      HandleRefBase dropped;
      const std::lock_guard lock(shard.mutex);
      if (index >= shard.slots.size()) break;
      if (Shard::Slot& slot = shard.slots[index]; slot.handle != nullptr)
        dropped = HandleRefBase(shard.take(slot));
    }
  }
}

std::vector<HandleId> HandleTable::ids() const {
  std::vector<HandleId> ids;
  for (std::size_t i = 0; i < kShards; ++i) {
    const Shard& shard = shards_[i];
    const std::lock_guard lock(shard.mutex);
    for (std::size_t index = 0; index < shard.slots.size(); ++index)
      if (shard.slots[index].handle != nullptr)
        ids.push_back(make_id(shard.slots[index].stamp, index, i));
  }
  return ids;
}

std::map<BranchId, std::uint64_t> HandleTable::files_by_branch() const {
  std::map<BranchId, std::uint64_t> counts;
  for (std::size_t i = 0; i < kShards; ++i) {
    const Shard& shard = shards_[i];
    const std::lock_guard lock(shard.mutex);
    for (const auto& slot : shard.slots)
      if (slot.handle != nullptr && !slot.handle->directory)
        ++counts[static_cast<const FileHandle*>(slot.handle)->branch];
  }
  return counts;
}

}  // namespace bough::ops
