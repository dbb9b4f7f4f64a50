#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "proto/features.hpp"
#include "proto/kernel_abi.hpp"
#include "session/device.hpp"
#include "session/fd.hpp"

namespace bough::test {

/// The body of a request, put together from wire structs, names and data.
class Body {
 public:
  Body() = default;
  template <class Struct>
  requires std::is_trivially_copyable_v<Struct> Body& add(const Struct& part) {
    append(&part, sizeof part);
    return *this;
  }
  /// With its NUL.
  Body& name(std::string_view text);
  Body& data(std::size_t size, unsigned char fill);
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  void append(const void* bytes, std::size_t size);

  std::vector<std::byte> bytes_;
};

/// The far end of a session: a SOCK_SEQPACKET socket pair stands for /dev/fuse, and the test plays
/// the kernel. Every wait is over after a second.
class FakeKernel {
 public:
  FakeKernel();

  struct Reply {
    std::uint64_t unique = 0;
    /// 0 or a positive errno; of a notification, its code.
    int error = 0;
    std::vector<std::byte> payload;

    template <class Struct>
    [[nodiscard]] Struct as(std::size_t offset = 0) const {
      Struct out{};
      if (payload.size() >= offset + sizeof out)
        std::memcpy(&out, payload.data() + offset, sizeof out);
      return out;
    }
  };

  /// The server's end, whose writes this object can refuse.
  [[nodiscard]] std::shared_ptr<session::Device> device() const { return device_; }
  /// The reply to this request will be refused with an errno, as the kernel refuses one whose
  /// request is gone.
  void refuse(std::uint64_t unique, int error);
  /// How many replies were refused so far.
  [[nodiscard]] int refused() const;

  void send_raw(std::span<const std::byte> message);
  /// Sends a request and returns its number: rising by two, as the kernel's do.
  std::uint64_t send(proto::abi::Opcode opcode, std::uint64_t node, const Body& body = {});
  /// With a number of the test's choice.
  void send_as(std::uint64_t unique, proto::abi::Opcode opcode, std::uint64_t node,
               const Body& body = {});
  std::uint64_t lookup(std::string_view name);
  /// The thread that asks from now on; 0 is one outside of the mount's pid namespace.
  std::uint32_t pid = 4242;
  void interrupt(std::uint64_t target);
  void forget(std::uint64_t node, std::uint64_t count);

  /// The next reply or notification; none within the time.
  [[nodiscard]] std::optional<Reply> receive(
      std::chrono::milliseconds patience = std::chrono::seconds(20));
  /// The reply to one request, whatever comes before it (which is kept for later calls).
  [[nodiscard]] std::optional<Reply> receive_for(std::uint64_t unique);
  /// Whether nothing comes for a while.
  [[nodiscard]] bool quiet(std::chrono::milliseconds patience = std::chrono::milliseconds(50));

  /// INIT as Linux 6.18 sends it.
  std::uint64_t send_init(std::uint32_t major = 7, std::uint32_t minor = 45);
  /// INIT of another kernel: of 16 bytes without the upper half of the flags before 7.36.
  std::uint64_t send_init(std::uint32_t minor, proto::FeatureSet offered);
  /// What Linux 6.18 offers.
  static constexpr proto::FeatureSet kOffered{0x7fd'73fffffb};
  /// Ends the connection, as an unmount does.
  void hang_up() { socket_.reset(); }

 private:
  class PickyDevice;

  session::Fd socket_;
  std::shared_ptr<PickyDevice> device_impl_;
  std::shared_ptr<session::Device> device_;
  std::uint64_t next_ = 2;
  std::vector<Reply> kept_;
  std::vector<std::byte> incoming_;
};

}  // namespace bough::test
