#pragma once

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "ops/node_table.hpp"
#include "proto/kernel_port.hpp"

namespace bough::ops {

/// Which nodes are bound to a file of a branch, so that the kernel reads and writes it without us.
///
/// The kernel wants one answer for all open files of a node (Linux, fs/fuse/iomode.c): once one is
/// open with FOPEN_PASSTHROUGH, each further open must bring the same backing id, or it fails with
/// EIO; and while one is open through the page cache none may bring an id. So a node is bound, and
/// then every open file of it is, or none is:
///
/// - It becomes bound by an open that wants it while no other file of the node is open, from before
///   that open's answer. Plain direct files count as open ones, too: one that is mapped shared is
///   in the page cache.
/// - It stays so until the last of its files is closed. A RELEASE is read a little after the kernel
///   has let go of the file, so that an open that comes between them finds the id still registered,
///   and an open that comes after the last one finds neither we nor the kernel bound.
/// - The id is given back when nothing open has it any more. An answer on its way counts as open;
///   one that the kernel does not take is undone by its claim.
///
/// Holds of nodes are taken and given back here for open files, since who is first is decided
/// together with it. Any thread. One lock a node's shard; nothing is kept of what is not bound.
class Passthrough {
 public:
  /// One open file's part in its node: the node's hold, and the backing id while it lasts. Gives
  /// both back.
  class Share {
   public:
    Share() noexcept = default;
    Share(Share&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)), node_(other.node_), id_(other.id_) {}
    Share& operator=(Share&&) = delete;
    ~Share() {
      if (owner_ != nullptr) owner_->leave(node_, id_);
    }

    /// 0: not bound.
    [[nodiscard]] std::int32_t backing_id() const noexcept { return id_; }

   private:
    friend class Passthrough;
    Share(Passthrough& owner, NodeId node, std::int32_t id) noexcept
        : owner_(&owner), node_(node), id_(id) {}

    Passthrough* owner_ = nullptr;
    NodeId node_;
    std::int32_t id_ = 0;
  };

  explicit Passthrough(NodeTable& nodes) noexcept : nodes_(nodes) {}

  /// Before the first request, where the kernel takes backing files; without it nothing is bound.
  /// `port` outlives every Share.
  void start(proto::KernelPort& port) noexcept { port_ = &port; }
  [[nodiscard]] bool started() const noexcept { return port_ != nullptr; }

  /// For one more open file of the node. `wants`: bind it, if that can be; then, if it is the first
  /// one, `open_backing` (Result<std::int32_t>()) gets an id for its descriptor; it is called under
  /// the shard's lock, throws nothing, and after an error the file is served by us like any other.
  /// ESTALE: the node is bound to another file than `file`, which it was before. Throws
  /// std::bad_alloc, nothing changed.
  template <class OpenBacking>
  [[nodiscard]] Result<Share> enter(NodeId node, const FileId& file, bool wants,
                                    OpenBacking open_backing) {
    if (port_ == nullptr) return hold(node);
    Shard& shard = shard_of(node);
    const std::lock_guard lock(shard.mutex);
    if (const auto found = shard.bound.find(node.value); found != shard.bound.end()) {
      Binding& binding = found->second;
      if (!(binding.file == file)) return Errno{ESTALE};
      ++binding.shares;
      (void)nodes_.hold(node);
      return Share(*this, node, binding.id);
    }
    if (!wants) return hold(node);
    const auto place = shard.bound.try_emplace(node.value).first;
    const std::uint32_t holds = nodes_.hold(node);
    const Result<std::int32_t> id = holds == 1 ? open_backing() : Errno{EBUSY};
    if (id) {
      place->second = {file, *id, 1};
      opened_.fetch_add(1, std::memory_order_relaxed);
    } else {
      shard.erase(place);
    }
    return holds == 0 ? Share() : Share(*this, node, id ? *id : 0);
  }

  /// Whether the kernel reads and writes the node's file itself. Once no, it stays no for as long
  /// as the caller holds the node.
  [[nodiscard]] bool bound(NodeId node);

  struct Figures {
    /// Backing ids registered so far, and given back.
    std::uint64_t opened = 0;
    std::uint64_t closed = 0;
  };
  [[nodiscard]] Figures figures() const noexcept {
    // In this order: never more closed than opened.
    const std::uint64_t closed = closed_.load();
    return {opened_.load(), closed};
  }

 private:
  struct Binding {
    FileId file;
    std::int32_t id = 0;
    std::uint32_t shares = 0;
  };
  struct alignas(64) Shard {
    using Bound = std::unordered_map<std::uint64_t, Binding>;

    void erase(Bound::iterator at) noexcept {
      constexpr std::size_t kFewBuckets = 64;
      bound.erase(at);
      if (bound.empty() && bound.bucket_count() > kFewBuckets) Bound().swap(bound);
    }

    std::mutex mutex;
    Bound bound;
  };
  static constexpr std::size_t kShards = 16;

  [[nodiscard]] Share hold(NodeId node) noexcept {
    return nodes_.hold(node) == 0 ? Share() : Share(*this, node, 0);
  }
  [[nodiscard]] Shard& shard_of(NodeId node) noexcept { return shards_[node.value % kShards]; }
  void leave(NodeId node, std::int32_t id) noexcept;

  NodeTable& nodes_;
  proto::KernelPort* port_ = nullptr;
  std::array<Shard, kShards> shards_;
  std::atomic<std::uint64_t> opened_{0};
  std::atomic<std::uint64_t> closed_{0};
};

}  // namespace bough::ops
