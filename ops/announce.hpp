#pragma once

#include "ops/pool.hpp"

namespace bough::ops {

enum class Announced {
  kAll,
  /// The kernel does not take more now.
  kInPart,
};

/// After branches came, went or changed places: the kernel asks again what each name leads to, and
/// what directories look like. Nothing that is open, mounted or somebody's working directory is
/// disturbed: names expire instead of being dropped. Kernels before Linux 6.2 cannot do that: they
/// drop the names of files, and find out about directories when cache.entry has passed.
///
/// Waits until the kernel has been told, while that goes on; for a second if it does not. No lock
/// of the pool is held meanwhile.
[[nodiscard]] Announced announce_new_places(Pool& pool);

}  // namespace bough::ops
