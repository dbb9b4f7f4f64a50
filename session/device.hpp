#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "proto/result.hpp"
#include "session/fd.hpp"

namespace bough::session {

/// One open file description of a FUSE connection: /dev/fuse, a clone of it, or (in tests) a
/// SOCK_SEQPACKET socket whose far end plays the kernel. Non-blocking. Safe from any thread.
///
/// The kernel matches a reply to its request per open file description, so whoever answers holds
/// the device that the request came from; the last holder closes it, and that ends (ECONNABORTED)
/// every request read from it and not answered.
class Device {
 public:
  /// Takes over `fd` and makes it non-blocking and close-on-exec.
  explicit Device(Fd fd);
  virtual ~Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  /// A device on a copy of `fd`, which stays the caller's.
  [[nodiscard]] static std::shared_ptr<Device> duplicate(int fd);

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

  /// One whole message. EAGAIN: none is waiting; ENODEV, ECONNABORTED: the connection ended (also
  /// when the far end of a socket was closed). EINTR and ENOENT (the request vanished while it was
  /// being copied) are retried here.
  [[nodiscard]] proto::Result<std::size_t> read(std::span<std::byte> into) noexcept;

  /// One whole reply or notification, in one call. The error is the kernel's, see the reference of
  /// write(2) on /dev/fuse: ENOENT, nobody waits for it any more.
  [[nodiscard]] virtual proto::Result<void> write(std::span<const iovec> parts) noexcept;

  /// A second description of the same connection; null, and errno says why, where /dev/fuse cannot
  /// be opened or the kernel refuses (a mount by fusermount3 with a device of mode 0600, a socket).
  [[nodiscard]] std::shared_ptr<Device> clone() const noexcept;

  /// FUSE_DEV_IOC_BACKING_OPEN and _CLOSE.
  [[nodiscard]] proto::Result<std::int32_t> open_backing(int backing_fd) noexcept;
  [[nodiscard]] proto::Result<void> close_backing(std::int32_t id) noexcept;

 private:
  Fd fd_;
};

}  // namespace bough::session
