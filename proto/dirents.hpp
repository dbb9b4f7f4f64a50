#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "proto/claim.hpp"
#include "proto/replies.hpp"

namespace bough::proto {

/// One name of a listing. `cookie` is what the kernel sends back to continue after this entry: not
/// 0, at most 2^63-1. `type` is a DT_* value.
struct Dirent {
  std::string_view name;
  std::uint64_t ino = 0;
  std::uint64_t cookie = 0;
  std::uint32_t type = 0;
};

/// Packs fuse_dirent records into a reply buffer. Does not own the buffer.
class DirentPacker {
 public:
  explicit DirentPacker(std::span<std::byte> out) noexcept : out_(out) {}
  /// False: no room; the record was left out whole.
  [[nodiscard]] bool add(const Dirent& entry) noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return used_; }
  [[nodiscard]] std::size_t entries() const noexcept { return entries_; }

 private:
  std::span<std::byte> out_;
  std::size_t used_ = 0;
  std::size_t entries_ = 0;
};

/// Packs fuse_direntplus records. Each entry with a node hands one lookup count to the kernel; the
/// packer owns those counts until keep(), and if it dies before, walks what it packed and gives
/// every one back. Needs no memory beside the buffer, which must outlive it.
class DirentPlusPacker {
 public:
  DirentPlusPacker(std::span<std::byte> out, ClaimOwner& owner) noexcept
      : out_(out), owner_(&owner) {}
  DirentPlusPacker(const DirentPlusPacker&) = delete;
  DirentPlusPacker& operator=(const DirentPlusPacker&) = delete;
  ~DirentPlusPacker();

  /// Whether a record with this name still has room: ask before paying for the look-up.
  [[nodiscard]] bool fits(std::string_view name) const noexcept;
  /// An entry with attributes; takes over the claim of `reply`. False: no room, `reply` is
  /// untouched.
  [[nodiscard]] bool add(const Dirent& entry, EntryReply& reply) noexcept;
  /// An entry without ("." and "..", or one that vanished meanwhile): nodeid 0, never counted.
  [[nodiscard]] bool add_plain(const Dirent& entry) noexcept;

  [[nodiscard]] std::size_t size() const noexcept { return used_; }
  [[nodiscard]] std::size_t entries() const noexcept { return entries_; }
  void keep() noexcept { owner_ = nullptr; }

 private:
  void put(const Dirent& entry, const Entry& attributes) noexcept;

  std::span<std::byte> out_;
  std::size_t used_ = 0;
  std::size_t entries_ = 0;
  ClaimOwner* owner_;
};

}  // namespace bough::proto
