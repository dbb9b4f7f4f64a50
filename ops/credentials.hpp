#pragma once

#include <cstdint>
#include <optional>

#include "ops/pool.hpp"
#include "proto/filesystem.hpp"

namespace bough::ops {

/// Makes the calling thread act as the caller of a request, and itself again on every way out:
/// fsgid, the request's extension group, fsuid, umask. With DAC capabilities raised again for
/// creation (the kernel has already checked, by default_permissions); without them nothing else is
/// kept, so that quotas, reserved blocks and set-id clearing treat the caller as a local user.
///
/// While one lives its thread must not suspend, lock, or call anything but Backing. Where the
/// daemon cannot act as others (an ordinary user's pool) only the umask changes.
class CallerGuard {
 public:
  enum class Purpose : std::uint8_t {
    kCreate,    ///< a new name: DAC capabilities kept, umask of the caller
    kAllocate,  ///< data of an open file: ids only
    kRegister,  ///< a backing file, which the kernel will write with these rights: ids only, and no
                ///< set-ids are kept
  };

  CallerGuard(Pool& pool, std::uint32_t uid, std::uint32_t gid, std::optional<std::uint32_t> group,
              std::uint32_t umask, Purpose purpose);
  ~CallerGuard();
  CallerGuard(const CallerGuard&) = delete;
  CallerGuard& operator=(const CallerGuard&) = delete;

  /// Not 0: the thread could not become the caller and is itself; nothing may be done in his name.
  [[nodiscard]] Result<void> ready() const noexcept { return ready_; }

 private:
  Pool& pool_;
  Result<void> ready_;
  bool active_ = false;
};

}  // namespace bough::ops
