#pragma once

#include <chrono>
#include <stdexcept>

#include "proto/features.hpp"
#include "session/settings.hpp"

namespace bough::proto {
class Filesystem;
}

namespace bough::session {

class Device;
class Trace;

/// The connection could not be agreed on: one line. The kernel has been told where it asked.
class HandshakeError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct HandshakeOptions {
  /// As the mount has it.
  bool default_permissions = true;
  std::chrono::milliseconds deadline{10000};
};

/// Reads INIT, agrees (what `fs` wants and what the session wants) and answers it; `settings` are
/// what was agreed then. Before any worker and any thread; `trace` may be null. Throws
/// HandshakeError: no INIT within the deadline, a first message that is not INIT, a malformed or
/// refused one, a connection that ended.
[[nodiscard]] proto::InitAgreement shake_hands(Device& device, const proto::Filesystem& fs,
                                               Settings& settings, const HandshakeOptions& options,
                                               Trace* trace);

}  // namespace bough::session
