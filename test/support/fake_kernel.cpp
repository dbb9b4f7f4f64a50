#include "test/support/fake_kernel.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace bough::test {

namespace abi = proto::abi;

void Body::append(const void* bytes, std::size_t size) {
  const std::size_t at = bytes_.size();
  bytes_.resize(at + size);
  std::memcpy(bytes_.data() + at, bytes, size);
}

Body& Body::name(std::string_view text) {
  append(text.data(), text.size());
  bytes_.push_back(std::byte{0});
  return *this;
}

Body& Body::data(std::size_t size, unsigned char fill) {
  bytes_.insert(bytes_.end(), size, static_cast<std::byte>(fill));
  return *this;
}

class FakeKernel::PickyDevice final : public session::Device {
 public:
  using Device::Device;

  proto::Result<void> write(std::span<const iovec> parts) noexcept override {
    abi::OutHeader header{};
    if (!parts.empty() && parts.front().iov_len >= sizeof header)
      std::memcpy(&header, parts.front().iov_base, sizeof header);
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = refusals_.find(header.unique); found != refusals_.end()) {
        const int error = found->second;
        refusals_.erase(found);
        ++refused_;
        return proto::Errno{error};
      }
    }
    return Device::write(parts);
  }

  void refuse(std::uint64_t unique, int error) {
    const std::lock_guard lock(mutex_);
    refusals_[unique] = error;
  }
  [[nodiscard]] int refused() {
    const std::lock_guard lock(mutex_);
    return refused_;
  }

 private:
  std::mutex mutex_;
  std::map<std::uint64_t, int> refusals_;
  int refused_ = 0;
};

FakeKernel::FakeKernel() : incoming_(2 << 20) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    throw std::system_error(errno, std::generic_category(), "socketpair");
  socket_ = session::Fd(pair[0]);
  // Room for whole replies of 1 MiB where the limits allow it.
  const int room = 4 << 20;
  for (const int fd : pair) ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  device_impl_ = std::make_shared<PickyDevice>(session::Fd(pair[1]));
  device_ = device_impl_;
}

void FakeKernel::refuse(std::uint64_t unique, int error) {
  device_impl_->refuse(unique, error);
}

int FakeKernel::refused() const {
  return device_impl_->refused();
}

void FakeKernel::send_raw(std::span<const std::byte> message) {
  if (::send(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL) < 0)
    throw std::system_error(errno, std::generic_category(), "send to the session");
}

void FakeKernel::send_as(std::uint64_t unique, abi::Opcode opcode, std::uint64_t node,
                         const Body& body) {
  abi::InHeader header{};
  header.len = static_cast<std::uint32_t>(sizeof header + body.bytes().size());
  header.opcode = static_cast<std::uint32_t>(opcode);
  header.unique = unique;
  header.nodeid = node;
  header.pid = pid;
  std::vector<std::byte> message(header.len);
  std::memcpy(message.data(), &header, sizeof header);
  if (!body.bytes().empty())
    std::memcpy(message.data() + sizeof header, body.bytes().data(), body.bytes().size());
  send_raw(message);
}

std::uint64_t FakeKernel::send(abi::Opcode opcode, std::uint64_t node, const Body& body) {
  const std::uint64_t unique = next_;
  next_ += 2;
  send_as(unique, opcode, node, body);
  return unique;
}

std::uint64_t FakeKernel::lookup(std::string_view name) {
  return send(abi::Opcode::kLookup, 1, Body().name(name));
}

void FakeKernel::interrupt(std::uint64_t target) {
  send_as(target | 1, abi::Opcode::kInterrupt, 0, Body().add(abi::InterruptIn{target}));
}

void FakeKernel::forget(std::uint64_t node, std::uint64_t count) {
  send(abi::Opcode::kForget, node, Body().add(abi::ForgetIn{count}));
}

std::optional<FakeKernel::Reply> FakeKernel::receive(std::chrono::milliseconds patience) {
  if (!kept_.empty()) {
    Reply first = std::move(kept_.front());
    kept_.erase(kept_.begin());
    return first;
  }
  pollfd entry{socket_.get(), POLLIN, 0};
  if (::poll(&entry, 1, static_cast<int>(patience.count())) <= 0) return std::nullopt;
  const ssize_t got = ::recv(socket_.get(), incoming_.data(), incoming_.size(), 0);
  if (got <= 0) return std::nullopt;
  const auto message = std::span<const std::byte>(incoming_).first(static_cast<std::size_t>(got));
  abi::OutHeader header{};
  if (message.size() < sizeof header) throw std::runtime_error("a reply shorter than its header");
  std::memcpy(&header, message.data(), sizeof header);
  if (header.len != message.size()) throw std::runtime_error("a reply whose length is not its own");
  if (header.unique != 0 && header.error != 0 &&
      (header.error > 0 || header.error <= -512 || message.size() != sizeof header))
    throw std::runtime_error("an error reply that the kernel would refuse");
  Reply reply;
  reply.unique = header.unique;
  reply.error = header.error < 0 ? -header.error : header.error;
  reply.payload.assign(message.begin() + sizeof header, message.end());
  return reply;
}

std::optional<FakeKernel::Reply> FakeKernel::receive_for(std::uint64_t unique) {
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    if (kept_[i].unique != unique) continue;
    Reply found = std::move(kept_[i]);
    kept_.erase(kept_.begin() + static_cast<std::ptrdiff_t>(i));
    return found;
  }
  std::vector<Reply> others = std::exchange(kept_, {});
  std::optional<Reply> found;
  while (!found) {
    auto next = receive();
    if (!next) break;
    if (next->unique == unique)
      found = std::move(next);
    else
      others.push_back(std::move(*next));
  }
  kept_ = std::move(others);
  return found;
}

bool FakeKernel::quiet(std::chrono::milliseconds patience) {
  return !receive(patience);
}

namespace {

abi::InitIn init_in(std::uint32_t major, std::uint32_t minor, proto::FeatureSet offered) {
  abi::InitIn init{};
  init.major = major;
  init.minor = minor;
  init.max_readahead = 131072;
  init.flags = static_cast<std::uint32_t>(offered.bits());
  init.flags2 = static_cast<std::uint32_t>(offered.bits() >> 32U);
  return init;
}

}  // namespace

std::uint64_t FakeKernel::send_init(std::uint32_t major, std::uint32_t minor) {
  return send(abi::Opcode::kInit, 0, Body().add(init_in(major, minor, kOffered)));
}

std::uint64_t FakeKernel::send_init(std::uint32_t minor, proto::FeatureSet offered) {
  constexpr std::uint32_t kFirstLong = 36;
  if (minor >= kFirstLong)
    return send(abi::Opcode::kInit, 0, Body().add(init_in(abi::kMajor, minor, offered)));
  struct ShortInit {
    std::uint32_t major, minor, max_readahead, flags;
  };
  const abi::InitIn whole = init_in(abi::kMajor, minor, offered);
  return send(abi::Opcode::kInit, 0,
              Body().add(ShortInit{whole.major, whole.minor, whole.max_readahead, whole.flags}));
}

}  // namespace bough::test
