#pragma once

#include <cerrno>

#include "proto/result.hpp"

namespace bough::ops {

/// Whether an errno of a call on a branch says that its disk, or the server behind it, is gone.
[[nodiscard]] constexpr bool means_disk_gone(proto::Errno error) noexcept {
  switch (error.value()) {
    case EIO:
    case ENODEV:
    case ENXIO:
    case ENOMEDIUM:
    case ENOTCONN:
    case ECONNABORTED:
    case ESHUTDOWN:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ETIMEDOUT:
      return true;
    default:
      return false;
  }
}

}  // namespace bough::ops
