#pragma once

#include "ops/copy_metadata.hpp"
#include "ops/pool.hpp"

namespace bough::ops {

/// The copy of a file that moves, which nobody else sees until it gets its names. Without one it
/// goes with this object. One thread; pool and branch outlive it.
class HiddenCopy {
 public:
  HiddenCopy(Pool& pool, Branch& branch) noexcept : pool_(pool), branch_(branch) {}
  ~HiddenCopy();
  HiddenCopy(const HiddenCopy&) = delete;
  HiddenCopy& operator=(const HiddenCopy&) = delete;

  /// Without a name in `directory`, or else under a name that tells it in the branch's root.
  [[nodiscard]] Result<void> make(int directory);
  [[nodiscard]] int fd() const noexcept { return file_.get(); }
  /// Its first name; nothing is replaced.
  [[nodiscard]] Result<void> give_name(int directory, const char* name);

 private:
  [[nodiscard]] bool named() const noexcept { return name_[0] != '\0'; }

  Pool& pool_;
  Branch& branch_;
  DirRef root_;
  HiddenName name_{};
  Fd file_;
};

}  // namespace bough::ops
