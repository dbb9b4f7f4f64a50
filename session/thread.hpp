#pragma once

#include <pthread.h>

namespace bough::session {

/// Starts a joinable thread with a small stack and every signal blocked: signals are for the
/// threads of the one who runs the session. `main` gets `argument`. Returns 0 or an errno.
[[nodiscard]] int start_thread(pthread_t& thread, void* (*main)(void*), void* argument) noexcept;

}  // namespace bough::session
