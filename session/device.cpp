#include "session/device.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "proto/kernel_abi.hpp"

namespace bough::session {

Device::Device(Fd fd) : fd_(std::move(fd)) {
  const int status = ::fcntl(fd_.get(), F_GETFL);
  if (status < 0 || ::fcntl(fd_.get(), F_SETFL, status | O_NONBLOCK) < 0 ||
      ::fcntl(fd_.get(), F_SETFD, FD_CLOEXEC) < 0)
    throw std::system_error(errno, std::generic_category(), "device descriptor");
}

std::shared_ptr<Device> Device::duplicate(int fd) {
  Fd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) throw std::system_error(errno, std::generic_category(), "device descriptor");
  return std::make_shared<Device>(std::move(copy));
}

proto::Result<std::size_t> Device::read(std::span<std::byte> into) noexcept {
  for (;;) {
    const ssize_t got = ::read(fd_.get(), into.data(), into.size());
    if (got > 0) return static_cast<std::size_t>(got);
    if (got == 0 || errno == ECONNRESET) return proto::Errno{ENODEV};
    if (errno != EINTR && errno != ENOENT) return proto::Errno{errno};
  }
}

proto::Result<void> Device::write(std::span<const iovec> parts) noexcept {
  for (;;) {
    if (::writev(fd_.get(), parts.data(), static_cast<int>(parts.size())) >= 0) return {};
    if (errno != EINTR) return proto::Errno{errno};
  }
}

std::shared_ptr<Device> Device::clone() const noexcept {
  try {
    Fd fresh(::open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK));
    if (!fresh) return nullptr;
    auto source = static_cast<std::uint32_t>(fd_.get());
    if (::ioctl(fresh.get(), proto::abi::kDeviceClone, &source) != 0) return nullptr;
    return std::make_shared<Device>(std::move(fresh));
  } catch (const std::exception&) {
    return nullptr;
  }
}

proto::Result<std::int32_t> Device::open_backing(int backing_fd) noexcept {
  proto::abi::BackingMap map{};
  map.fd = backing_fd;
  const int id = ::ioctl(fd_.get(), proto::abi::kDeviceBackingOpen, &map);
  if (id < 0) return proto::Errno{errno};
  return std::int32_t{id};
}

proto::Result<void> Device::close_backing(std::int32_t id) noexcept {
  auto value = static_cast<std::uint32_t>(id);
  if (::ioctl(fd_.get(), proto::abi::kDeviceBackingClose, &value) != 0) return proto::Errno{errno};
  return {};
}

}  // namespace bough::session
