#pragma once

#include <cstdint>
#include <utility>

#include "proto/ids.hpp"

namespace bough::proto {

/// Takes back what the kernel never got. Both calls may come from any thread, at any time before
/// the file system is destroyed.
class ClaimOwner {
 public:
  virtual ~ClaimOwner() = default;
  virtual void drop_lookup(NodeId node, std::uint64_t count) noexcept = 0;
  virtual void drop_handle(HandleId handle) noexcept = 0;
};

/// Owns one lookup count, already counted, until the kernel has accepted the reply that hands it
/// over (keep()). Dropped unkept, it gives the count back. A FORGET can overtake the accepted
/// write, so the count exists before the reply is written (Linux, fs/fuse: the dentry is usable
/// before write(2) returns).
class LookupClaim {
 public:
  LookupClaim() noexcept = default;
  LookupClaim(ClaimOwner& owner, NodeId node) noexcept : owner_(&owner), node_(node) {}
  LookupClaim(LookupClaim&& other) noexcept
      : owner_(std::exchange(other.owner_, nullptr)), node_(other.node_) {}
  LookupClaim& operator=(LookupClaim&& other) noexcept {
    LookupClaim taken(std::move(other));
    std::swap(owner_, taken.owner_);
    std::swap(node_, taken.node_);
    return *this;
  }
  ~LookupClaim() {
    if (owner_ != nullptr) owner_->drop_lookup(node_, 1);
  }

  void keep() noexcept { owner_ = nullptr; }
  [[nodiscard]] NodeId node() const noexcept { return node_; }

 private:
  ClaimOwner* owner_ = nullptr;
  NodeId node_;
};

/// Owns one open handle until the kernel has it: without an accepted reply no RELEASE ever comes.
class HandleClaim {
 public:
  HandleClaim() noexcept = default;
  HandleClaim(ClaimOwner& owner, HandleId handle) noexcept : owner_(&owner), handle_(handle) {}
  HandleClaim(HandleClaim&& other) noexcept
      : owner_(std::exchange(other.owner_, nullptr)), handle_(other.handle_) {}
  HandleClaim& operator=(HandleClaim&& other) noexcept {
    HandleClaim taken(std::move(other));
    std::swap(owner_, taken.owner_);
    std::swap(handle_, taken.handle_);
    return *this;
  }
  ~HandleClaim() {
    if (owner_ != nullptr) owner_->drop_handle(handle_);
  }

  void keep() noexcept { owner_ = nullptr; }
  [[nodiscard]] HandleId handle() const noexcept { return handle_; }

 private:
  ClaimOwner* owner_ = nullptr;
  HandleId handle_;
};

}  // namespace bough::proto
