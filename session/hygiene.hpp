#pragma once

namespace bough::session {

/// What a daemon that serves a file system needs of its process. Call once, in main, before the
/// branches are opened and before any thread: RLIMIT_NOFILE to its hard limit (raised to fs.nr_open
/// where that is allowed), SIGPIPE and SIGXFSZ ignored, umask 0. Nothing here fails: each step does
/// what the process is allowed to.
void prepare_process() noexcept;

/// nice(2) value of the process, -20 to 19; before any thread. Whether that is allowed.
[[nodiscard]] bool set_priority(int nice) noexcept;

/// Once the mount exists, before any thread; paths that are still needed must be absolute: the
/// working directory becomes "/", and with the right to it the process is marked as one that cleans
/// dirty pages (PR_SET_IO_FLUSHER: its allocations never wait for its own mount) and spared by the
/// out-of-memory killer. Ends with dropping CAP_SYS_RESOURCE, with which writes would ignore quotas
/// and reserved blocks.
void settle_daemon() noexcept;

}  // namespace bough::session
