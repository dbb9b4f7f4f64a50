#pragma once

#include <cstdint>
#include <optional>

#include "ops/backing.hpp"
#include "proto/filesystem.hpp"

namespace bough::ops {

/// In whose name room is taken: reserved blocks and quotas bind him.
struct Payer {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
};

/// The kernel does not say who asks: with ALLOW_IDMAP it names the caller only to requests that
/// make an inode, as whom that is to belong to (Linux, fs/fuse/dev.c: fuse_get_req()). It has
/// checked the caller's rights itself then, since it agrees on that with default_permissions alone.
[[nodiscard]] bool is_anonymous(const proto::Context& context) noexcept;

/// Who pays for what is written to `file`: the caller; for one who is anonymous the file's owner.
/// The owner's write would take the set-ids, as everybody's does without CAP_FSETID: where the
/// kernel wants them kept (`keeps_set_ids`), the caller has that right, and `daemon` stands for
/// him.
[[nodiscard]] Payer payer_for(const proto::Context& context, const FileStat& file,
                              bool keeps_set_ids, const Identity& daemon) noexcept;

/// The fsuid of who asks, in the daemon's user namespace. Of an anonymous caller /proc says it: he
/// waits for the answer, so the thread with his number is himself. Nothing: it cannot be known (a
/// pid namespace that the daemon does not see, a process that is gone).
[[nodiscard]] std::optional<std::uint32_t> uid_of_caller(const proto::Context& context);

}  // namespace bough::ops
