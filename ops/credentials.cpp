#include "ops/credentials.hpp"

#include <cstdlib>

namespace bough::ops {

CallerGuard::CallerGuard(Pool& pool, std::uint32_t uid, std::uint32_t gid,
                         std::optional<std::uint32_t> group, std::uint32_t umask, Purpose purpose)
    : pool_(pool) {
  Identity who = pool.own;
  if (pool.may_become) {
    who.uid = uid;
    who.gid = gid;
    who.group = group;
  }
  if (purpose == Purpose::kCreate) who.umask = umask;
  if (purpose == Purpose::kRegister) who.keeps_set_ids = false;
  if (who == pool.own) return;
  ready_ = pool.backing.become(who, purpose == Purpose::kCreate || !pool.may_become);
  active_ = static_cast<bool>(ready_);
}

CallerGuard::~CallerGuard() {
  if (!active_) return;
  // The daemon's own ids are its real ones, which a thread may always take again. A thread that
  // could not must not live on as somebody else.
  if (pool_.backing.become(pool_.own, true)) return;
  if (!pool_.backing.become(pool_.own, true)) std::abort();
}

}  // namespace bough::ops
