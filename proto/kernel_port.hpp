#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "proto/ids.hpp"
#include "proto/result.hpp"

namespace bough::proto {

/// Attributes (and, with `offset` >= 0, pages from there; `length` 0: to the end) are dropped.
struct InvalidateInode {
  NodeId node;
  std::int64_t offset = -1;
  std::int64_t length = 0;
};
/// The name is looked up again; `expire_only` leaves what is mounted or open below it alone.
struct InvalidateEntry {
  NodeId parent;
  std::string name;
  bool expire_only = false;
};
/// As InvalidateEntry, and inotify watchers see a delete if `child` is what the name meant.
struct NotifyDelete {
  NodeId parent;
  NodeId child;
  std::string name;
};
struct NotifyPoll {
  std::uint64_t kernel_handle = 0;
};
struct NotifyStore {
  NodeId node;
  std::uint64_t offset = 0;
  std::vector<std::byte> data;
};
/// The kernel answers with a NOTIFY_REPLY of this `unique`.
struct NotifyRetrieve {
  Unique unique;
  NodeId node;
  std::uint64_t offset = 0;
  std::uint32_t size = 0;
};
struct NotifyResend {};
struct NotifyIncrementEpoch {};
struct NotifyPrune {
  std::vector<NodeId> nodes;
};

using Notification =
    std::variant<InvalidateInode, InvalidateEntry, NotifyDelete, NotifyPoll, NotifyStore,
                 NotifyRetrieve, NotifyResend, NotifyIncrementEpoch, NotifyPrune>;

/// What the file system may ask of its connection. Every call is safe from any thread and lives as
/// long as the session.
class KernelPort {
 public:
  virtual ~KernelPort() = default;

  /// FUSE_DEV_IOC_BACKING_OPEN: the id is the caller's until close_backing(). EPERM when
  /// passthrough was not agreed.
  [[nodiscard]] virtual Result<std::int32_t> open_backing(int fd) = 0;
  virtual void close_backing(std::int32_t id) noexcept = 0;

  /// Queues and returns at once: a notification takes kernel locks that a request may hold while it
  /// waits for us, so only the notifier thread writes it. False: the queue is full, nothing was
  /// queued, and the caller must do without.
  [[nodiscard]] virtual bool notify(Notification notification) = 0;
  /// Waits until the kernel has got what was queued so far; false: not in time. Only for a request
  /// during which the kernel holds nothing that a notification waits for, and the patience must be
  /// short: requests that hold such locks may wait for the caller's own thread.
  [[nodiscard]] virtual bool wait_told(std::chrono::milliseconds patience) = 0;

  /// What was put off until this (PutOff) is served once more, soon and by a worker.
  virtual void resume(std::uint64_t until) noexcept = 0;

  /// Whether the kernel asked to give up this request, which is still being served.
  [[nodiscard]] virtual bool interrupted(Unique unique) const noexcept = 0;
};

}  // namespace bough::proto
