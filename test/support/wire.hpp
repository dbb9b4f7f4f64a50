#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

/// Messages of the FUSE wire as tests write and read them: field by field, with nothing from
/// proto/, so that a layout that is wrong there is not wrong here in the same way.
namespace bough::test {

/// Bytes under construction, in the host's order.
class Bytes {
 public:
  Bytes& u8(std::uint8_t value) { return put(value); }
  Bytes& u16(std::uint16_t value) { return put(value); }
  Bytes& u32(std::uint32_t value) { return put(value); }
  Bytes& u64(std::uint64_t value) { return put(value); }
  Bytes& i32(std::int32_t value) { return put(value); }
  Bytes& i64(std::int64_t value) { return put(value); }
  Bytes& zeros(std::size_t count) {
    bytes_.resize(bytes_.size() + count);
    return *this;
  }
  /// Without a NUL.
  Bytes& text(std::string_view value) {
    const std::size_t at = bytes_.size();
    bytes_.resize(at + value.size());
    if (!value.empty()) std::memcpy(bytes_.data() + at, value.data(), value.size());
    return *this;
  }
  /// With the NUL that ends a string of the wire.
  Bytes& string(std::string_view value) { return text(value).u8(0); }
  Bytes& add(const Bytes& other) {
    bytes_.insert(bytes_.end(), other.bytes_.begin(), other.bytes_.end());
    return *this;
  }
  Bytes& pad_to(std::size_t alignment) {
    return zeros((alignment - bytes_.size() % alignment) % alignment);
  }

  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  [[nodiscard]] const std::vector<std::byte>& get() const { return bytes_; }

 private:
  template <class T>
  Bytes& put(T value) {
    const std::size_t at = bytes_.size();
    bytes_.resize(at + sizeof value);
    std::memcpy(bytes_.data() + at, &value, sizeof value);
    return *this;
  }

  std::vector<std::byte> bytes_;
};

/// What stands in front of every request.
struct Head {
  std::uint32_t opcode = 0;
  std::uint64_t unique = 2;
  std::uint64_t node = 1;
  std::uint32_t uid = 1000;
  std::uint32_t gid = 100;
  std::uint32_t pid = 77;
};

/// A whole request: header, arguments, extension block (a multiple of 8 bytes).
inline std::vector<std::byte> request(const Head& head, const Bytes& body = {},
                                      const Bytes& extensions = {}) {
  Bytes message;
  message.u32(static_cast<std::uint32_t>(40 + body.size() + extensions.size()));
  message.u32(head.opcode).u64(head.unique).u64(head.node);
  message.u32(head.uid).u32(head.gid).u32(head.pid);
  message.u16(static_cast<std::uint16_t>(extensions.size() / 8)).u16(0);
  return message.add(body).add(extensions).get();
}

/// Reads fields back; throws std::out_of_range past the end.
class Fields {
 public:
  explicit Fields(std::span<const std::byte> bytes) : rest_(bytes) {}

  std::uint16_t u16() { return get<std::uint16_t>(); }
  std::uint32_t u32() { return get<std::uint32_t>(); }
  std::uint64_t u64() { return get<std::uint64_t>(); }
  std::int32_t i32() { return get<std::int32_t>(); }
  std::int64_t i64() { return get<std::int64_t>(); }
  Fields& skip(std::size_t count) {
    take(count);
    return *this;
  }
  std::string text(std::size_t size) {
    const auto taken = take(size);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }
  [[nodiscard]] std::span<const std::byte> rest() const { return rest_; }
  [[nodiscard]] bool done() const { return rest_.empty(); }

 private:
  std::span<const std::byte> take(std::size_t size) {
    if (rest_.size() < size) throw std::out_of_range("message too short");
    const auto taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }
  template <class T>
  T get() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  std::span<const std::byte> rest_;
};

/// What stands in front of every reply and notification.
struct ReplyHead {
  std::uint32_t length = 0;
  std::int32_t error = 0;
  std::uint64_t unique = 0;
};

inline ReplyHead reply_head(std::span<const std::byte> message) {
  Fields fields(message);
  ReplyHead head;
  head.length = fields.u32();
  head.error = fields.i32();
  head.unique = fields.u64();
  return head;
}

/// Pairs of hexadecimal digits; blanks and line ends are for the reader's eye.
inline std::vector<std::byte> from_hex(std::string_view text) {
  std::vector<std::byte> bytes;
  int high = -1;
  for (const char c : text) {
    int digit = 0;
    if (c == ' ' || c == '\n') continue;
    if (c >= '0' && c <= '9') {
      digit = c - '0';
    } else if (c >= 'a' && c <= 'f') {
      digit = c - 'a' + 10;
    } else {
      throw std::invalid_argument("not a hexadecimal digit");
    }
    if (high < 0) {
      high = digit;
    } else {
      bytes.push_back(static_cast<std::byte>(high * 16 + digit));
      high = -1;
    }
  }
  if (high >= 0) throw std::invalid_argument("half a byte");
  return bytes;
}

/// Without blanks.
inline std::string to_hex(std::span<const std::byte> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::byte byte : bytes) {
    text += kDigits[std::to_integer<unsigned>(byte) >> 4];
    text += kDigits[std::to_integer<unsigned>(byte) & 0xf];
  }
  return text;
}

}  // namespace bough::test
