#pragma once

#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

#include "proto/ids.hpp"

namespace bough::ops {

/// A lock for each node, to be shared or had alone; who waits, waits for the same node only. One
/// who wants it alone goes before those who come after him to share it. Not recursive. Any thread.
class NodeLocks {
 public:
  class Shared {
   public:
    /// Holds nothing.
    Shared() noexcept = default;
    Shared(NodeLocks& locks, proto::NodeId node);
    Shared(Shared&& other) noexcept
        : locks_(std::exchange(other.locks_, nullptr)), node_(other.node_) {}
    Shared& operator=(Shared&&) = delete;
    ~Shared();
    [[nodiscard]] explicit operator bool() const noexcept { return locks_ != nullptr; }

   private:
    friend class NodeLocks;
    NodeLocks* locks_ = nullptr;
    proto::NodeId node_ = proto::kNoNode;
  };

  class Alone {
   public:
    Alone(NodeLocks& locks, proto::NodeId node);
    Alone(const Alone&) = delete;
    Alone& operator=(const Alone&) = delete;
    ~Alone();

   private:
    NodeLocks& locks_;
    const proto::NodeId node_;
  };

  /// To share it without waiting; holds nothing if somebody has it alone, or waits to.
  [[nodiscard]] Shared try_share(proto::NodeId node);

 private:
  using Nodes = std::vector<proto::NodeId>;
  void give_back(Nodes& from, proto::NodeId node) noexcept;

  std::mutex mutex_;
  std::condition_variable given_back_;
  /// One entry for each who shares it, and for each who has it alone or waits to: as many as there
  /// are threads at most, and files in the batches of small files that move.
  Nodes shared_;
  Nodes alone_;
};

}  // namespace bough::ops
