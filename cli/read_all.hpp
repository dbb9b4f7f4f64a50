#pragma once

#include <sys/types.h>

#include <cerrno>
#include <string>

namespace bough::cli {

/// Calls one of the getting system calls of xattr(7) (char*, size) until its answer fits. Negative:
/// errno.
template <class Call>
ssize_t read_all(Call call, std::string& into) {
  constexpr std::size_t kFirst = 1024;
  into.resize(kFirst);
  for (;;) {
    const ssize_t got = call(into.data(), into.size());
    if (got >= 0) into.resize(static_cast<std::size_t>(got));
    if (got >= 0 || errno != ERANGE) return got;
    into.resize(2 * into.size());
  }
}

}  // namespace bough::cli
