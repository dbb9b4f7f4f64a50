#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "test/fuzz/input.hpp"

namespace bough::test {

/// One record of a READDIR or READDIRPLUS reply.
struct Listed {
  std::string_view name;
  std::uint64_t ino = 0;
  std::uint64_t offset = 0;
  std::uint32_t type = 0;
  /// READDIRPLUS only.
  std::uint64_t node = 0;
};

/// Walks over a payload as the kernel does (fs/fuse/readdir.c): a record is the fixed part and the
/// name, padded to 8 bytes; READDIRPLUS has an entry of 128 bytes in front of each. Breaks a rule
/// where the kernel would answer EIO, and where it would leave a part of the payload unread.
inline std::vector<Listed> walk_listing(std::span<const std::byte> payload, bool plus) {
  constexpr std::size_t kEntry = 128;
  constexpr std::size_t kFixed = 24;
  const std::size_t before_name = (plus ? kEntry : 0) + kFixed;
  std::vector<Listed> all;
  while (!payload.empty()) {
    check(payload.size() >= before_name, "a record is whole");
    Listed listed;
    if (plus) std::memcpy(&listed.node, payload.data(), sizeof listed.node);
    const std::byte* const fixed = payload.data() + before_name - kFixed;
    std::uint32_t name_length = 0;
    std::memcpy(&listed.ino, fixed, sizeof listed.ino);
    std::memcpy(&listed.offset, fixed + 8, sizeof listed.offset);
    std::memcpy(&name_length, fixed + 16, sizeof name_length);
    std::memcpy(&listed.type, fixed + 20, sizeof listed.type);
    check(name_length != 0, "a record has a name");
    const std::size_t size = (before_name + name_length + 7) / 8 * 8;
    check(size <= payload.size(), "a record ends within the payload");
    listed.name = {reinterpret_cast<const char*>(payload.data() + before_name), name_length};
    all.push_back(listed);
    payload = payload.subspan(size);
  }
  return all;
}

}  // namespace bough::test
