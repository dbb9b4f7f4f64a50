#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>

#include "ops/backing.hpp"
#include "ops/chunks.hpp"

namespace bough::ops {

enum class NodeKind : std::uint8_t {
  kFree,
  kFile,
  kDirectory,
  kLink,               ///< a file that is shown as a symbolic link to itself
  kFollowed,           ///< a file outside of the branches: what a symbolic link leads to, or below
  kFollowedDirectory,  ///< the same of a directory: with edges, and a FileId
};

/// One node of NodeTable.
struct NodeRecord {
  /// The nodeid; of a free slot, the one that its next use gets.
  std::uint64_t id;
  std::uint64_t lookups;
  std::uint64_t ino;
  /// A file's FileId and branch.
  std::uint64_t device;
  std::uint64_t file_ino;
  std::int64_t birth_ns;
  std::uint32_t branch;
  /// Edges whose parent it is.
  std::uint32_t children;
  /// Edges that lead to it: a ring. `edge` is the last used one, 0 when there is none.
  std::uint32_t names;
  std::uint32_t edge;
  std::uint32_t holds;
  std::uint32_t version;
  /// The next file in the chain of the index by FileId; of a free slot, the next free one.
  std::uint32_t chain;
  NodeKind kind;

  [[nodiscard]] bool is_file(const FileId& file) const noexcept {
    return file_ino == file.ino && device == file.device && birth_ns == file.birth_ns;
  }
};
static_assert(std::is_trivially_copyable_v<NodeRecord> && sizeof(NodeRecord) == 80);

/// `name` in `parent` leads to `node`.
struct EdgeRecord {
  std::uint32_t parent;
  std::uint32_t node;
  /// The other names of the node, in a ring.
  std::uint32_t next;
  std::uint32_t previous;
  /// The next edge in the chain of the index by parent and name; of a free edge, the next free one.
  std::uint32_t chain;
  std::uint32_t hash;
  std::uint32_t name;
  std::uint8_t name_size;
};
static_assert(std::is_trivially_copyable_v<EdgeRecord> && sizeof(EdgeRecord) == 32);

/// The slots of nodes. A nodeid is how often its slot was used before, and the slot: so it is found
/// without a search, and never given twice; a slot that was used too often for the number is left
/// alone. The caller locks.
class NodeSlots {
 public:
  static constexpr unsigned kSlotBits = 28;
  static constexpr std::uint64_t kLastUse = (std::uint64_t{1} << (63 - kSlotBits)) - 1;
  static constexpr std::uint32_t kRoot = 1;
  using Records = Chunks<NodeRecord, 10>;

  /// `last_use`: smaller than kLastUse only where a test wants to see it reached.
  explicit NodeSlots(std::uint64_t last_use = kLastUse) noexcept : last_use_(last_use) {}

  [[nodiscard]] Records& records() noexcept { return records_; }
  [[nodiscard]] NodeRecord& operator[](std::uint32_t slot) noexcept { return records_[slot]; }
  [[nodiscard]] const NodeRecord& operator[](std::uint32_t slot) const noexcept {
    return records_[slot];
  }
  [[nodiscard]] std::size_t bytes() const noexcept { return records_.bytes(); }
  /// Nodes, the root among them.
  [[nodiscard]] std::uint32_t live() const noexcept { return live_; }
  /// Slots from kRoot to below this were used at some time.
  [[nodiscard]] std::uint32_t used() const noexcept { return used_; }

  /// 0: no such node.
  [[nodiscard]] std::uint32_t find(std::uint64_t id) const noexcept {
    const std::uint64_t slot = id & (kMostSlots - 1);
    if (slot == 0 || slot >= used_) return 0;
    const NodeRecord& record = records_[static_cast<std::uint32_t>(slot)];
    return record.id == id && record.kind != NodeKind::kFree ? static_cast<std::uint32_t>(slot) : 0;
  }

  /// Makes room for one more, so that the next add() cannot fail.
  void reserve() {
    if (free_ != 0 || used_ < records_.capacity()) return;
    if (used_ >= kMostSlots) throw std::bad_alloc();
    records_.add();
  }
  /// A record with only its id and kind filled in. The first one is the root's.
  [[nodiscard]] std::uint32_t add(NodeKind kind) noexcept {
    std::uint32_t slot = free_;
    if (slot != 0) {
      free_ = records_[slot].chain;
    } else {
      slot = used_++;
      const std::uint64_t use = slot < Records::kChunk ? 0 : first_use_;
      records_[slot].id = use << kSlotBits | slot;
    }
    const std::uint64_t id = records_[slot].id;
    if (slot >= Records::kChunk && id >> kSlotBits > highest_use_) highest_use_ = id >> kSlotBits;
    records_[slot] = NodeRecord{};
    records_[slot].id = id;
    records_[slot].kind = kind;
    ++live_;
    return slot;
  }
  void remove(std::uint32_t slot) noexcept {
    NodeRecord& record = records_[slot];
    record.kind = NodeKind::kFree;
    record.id += std::uint64_t{1} << kSlotBits;
    --live_;
    link(slot);
  }
  /// Back to the first size, when only the root is left.
  void shrink() noexcept {
    if (used_ <= Records::kChunk || highest_use_ == last_use_) return;
    first_use_ = highest_use_ + 1;
    used_ = Records::kChunk;
    records_.shrink();
    free_ = 0;
    for (std::uint32_t slot = used_ - 1; slot > kRoot; --slot) link(slot);
  }

 private:
  static constexpr std::uint32_t kMostSlots = std::uint32_t{1} << kSlotBits;

  void link(std::uint32_t slot) noexcept {
    NodeRecord& record = records_[slot];
    if (record.id >> kSlotBits > last_use_) return;
    record.chain = free_;
    free_ = slot;
  }

  const std::uint64_t last_use_;
  Records records_;
  std::uint32_t used_ = kRoot;
  std::uint32_t live_ = 0;
  std::uint32_t free_ = 0;
  /// Where the slots behind the first chunk begin to count: above all that shrink() forgot.
  std::uint64_t first_use_ = 0;
  std::uint64_t highest_use_ = 0;
};

/// The slots of edges. The caller locks.
class EdgeSlots {
 public:
  using Records = Chunks<EdgeRecord, 10>;

  [[nodiscard]] Records& records() noexcept { return records_; }
  [[nodiscard]] EdgeRecord& operator[](std::uint32_t slot) noexcept { return records_[slot]; }
  [[nodiscard]] const EdgeRecord& operator[](std::uint32_t slot) const noexcept {
    return records_[slot];
  }
  [[nodiscard]] std::size_t bytes() const noexcept { return records_.bytes(); }
  [[nodiscard]] std::uint32_t live() const noexcept { return live_; }

  /// Makes room for one more, so that the next add() cannot fail.
  void reserve() {
    if (free_ == 0 && used_ >= records_.capacity()) {
      if (used_ > UINT32_MAX - Records::kChunk) throw std::bad_alloc();
      records_.add();
    }
  }
  [[nodiscard]] std::uint32_t add() noexcept {
    const std::uint32_t slot = free_ != 0 ? free_ : used_++;
    if (slot == free_) free_ = records_[slot].chain;
    ++live_;
    return slot;
  }
  void remove(std::uint32_t slot) noexcept {
    records_[slot].chain = free_;
    free_ = slot;
    --live_;
  }
  /// Empty, and at its first size.
  void reset() noexcept {
    records_.shrink();
    used_ = 1;
    free_ = live_ = 0;
  }

 private:
  Records records_;
  std::uint32_t used_ = 1;
  std::uint32_t live_ = 0;
  std::uint32_t free_ = 0;
};

}  // namespace bough::ops
