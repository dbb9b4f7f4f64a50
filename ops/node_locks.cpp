#include "ops/node_locks.hpp"

#include <algorithm>

namespace bough::ops {
namespace {

bool has(const std::vector<proto::NodeId>& nodes, proto::NodeId node) noexcept {
  return std::find(nodes.begin(), nodes.end(), node) != nodes.end();
}

}  // namespace

NodeLocks::Shared::Shared(NodeLocks& locks, proto::NodeId node) : locks_(&locks), node_(node) {
  std::unique_lock lock(locks.mutex_);
  locks.given_back_.wait(lock, [&] { return !has(locks.alone_, node); });
  locks.shared_.push_back(node);
}

NodeLocks::Shared::~Shared() {
  if (locks_ != nullptr) locks_->give_back(locks_->shared_, node_);
}

NodeLocks::Shared NodeLocks::try_share(proto::NodeId node) {
  const std::lock_guard lock(mutex_);
  Shared shared;
  if (has(alone_, node)) return shared;
  shared_.push_back(node);
  shared.locks_ = this;
  shared.node_ = node;
  return shared;
}

NodeLocks::Alone::Alone(NodeLocks& locks, proto::NodeId node) : locks_(locks), node_(node) {
  std::unique_lock lock(locks.mutex_);
  locks.given_back_.wait(lock, [&] { return !has(locks.alone_, node); });
  locks.alone_.push_back(node);
  locks.given_back_.wait(lock, [&] { return !has(locks.shared_, node); });
}

NodeLocks::Alone::~Alone() {
  locks_.give_back(locks_.alone_, node_);
}

void NodeLocks::give_back(Nodes& from, proto::NodeId node) noexcept {
  {
    const std::lock_guard lock(mutex_);
    from.erase(std::find(from.begin(), from.end(), node));
  }
  given_back_.notify_all();
}

}  // namespace bough::ops
