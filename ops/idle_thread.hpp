#pragma once

#include "ops/backing.hpp"

namespace bough::ops {

/// The thread asks disks only when nobody else does, for as long as this lives, if `idles`.
class IdleThread {
 public:
  IdleThread(Backing& backing, bool idles) : backing_(backing), idles_(idles) {
    if (idles_) backing_.act_idle(true);
  }
  ~IdleThread() {
    if (idles_) backing_.act_idle(false);
  }
  IdleThread(const IdleThread&) = delete;
  IdleThread& operator=(const IdleThread&) = delete;

 private:
  Backing& backing_;
  const bool idles_;
};

}  // namespace bough::ops
