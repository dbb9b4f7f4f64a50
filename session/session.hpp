#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "proto/features.hpp"
#include "proto/ids.hpp"
#include "proto/kernel_port.hpp"
#include "proto/result.hpp"
#include "session/device.hpp"
#include "session/settings.hpp"
#include "session/trace.hpp"

namespace bough::proto {
class Filesystem;
}

namespace bough::session {

/// Why a connection ended.
enum class StopReason : std::uint8_t {
  kUnmounted,      ///< ENODEV: nobody uses the mount any more
  kAborted,        ///< ECONNABORTED: somebody wrote to .../fuse/connections/N/abort
  kStopRequested,  ///< stop() was called
  kDeviceError,    ///< the device failed in a way that has no other meaning
};
[[nodiscard]] const char* to_string(StopReason reason) noexcept;

/// What a session starts from: the descriptor that INIT was agreed on, and the result.
struct SessionStart {
  std::shared_ptr<Device> device;
  proto::InitAgreement agreement;
  /// Requests of a former process may still be unanswered in the kernel; it is asked to send them
  /// again.
  bool resumed = false;
};

struct SessionHooks {
  /// Once, when workers serve requests; on the thread that called run().
  std::function<void()> ready;
  /// Detaches the mount on a requested stop. Called on a thread of its own while workers still
  /// serve, since the kernel may write dirty pages back first.
  std::function<void()> unmount;
};

/// One connection being served. Knows no operation of a file system and no mount point: only
/// messages on device descriptors and a proto::Filesystem. `fs` must outlive it; the object is
/// destroyed by the thread that called run().
class Session final : public proto::KernelPort {
 public:
  /// Starts no thread and calls nothing of `fs`. `trace` may be null.
  Session(SessionStart start, proto::Filesystem& fs, const Settings& settings,
          std::shared_ptr<Trace> trace);
  ~Session() override;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Starts `fs`, serves until the connection ends or stop(), drains what is in flight (30 s at
  /// most), joins every thread, stops `fs`. Once in an object's life. The calling thread
  /// supervises: it starts workers as they are needed and sleeps while the pool is idle.
  StopReason run(const SessionHooks& hooks = {});

  /// Ends run(). Any thread, any time, also from a signal handler.
  void stop() noexcept;

  /// After run(): whether handlers, or threads of `fs`, were still stuck in branch calls at the
  /// deadline. Their threads
  /// cannot be joined; the process must then leave by _exit(), destroying neither this object nor
  /// the file system.
  [[nodiscard]] bool stuck() const noexcept;

  /// Answers a request that is still being served with an error, in its handler's place; whatever
  /// the handler returns later is undone. False: no such request, or it is answered already. Any
  /// thread.
  bool answer_for(proto::Unique unique, proto::Errno error) noexcept;

  /// Every counter of the session and of the file system, one "name value" a line. Any thread.
  [[nodiscard]] std::string report() const;

  [[nodiscard]] proto::Result<std::int32_t> open_backing(int fd) override;
  void close_backing(std::int32_t id) noexcept override;
  [[nodiscard]] bool notify(proto::Notification notification) override;
  [[nodiscard]] bool wait_told(std::chrono::milliseconds patience) override;
  void resume(std::uint64_t until) noexcept override;
  [[nodiscard]] bool interrupted(proto::Unique unique) const noexcept override;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace bough::session
