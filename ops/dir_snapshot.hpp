#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ops/hash.hpp"
#include "proto/dirents.hpp"

namespace bough::ops {

/// The names of a directory that several branches hold. Sorted by a hash of the name, so that a
/// name has the same cookie in every listing, whatever else comes and goes: a reader who opens the
/// directory anew goes on where it was (NFS does so for each READDIR). Names whose hashes are equal
/// are told apart by rank. Filled by one thread, immutable after seal().
class DirSnapshot {
 public:
  /// Cookies below are for "." and "..".
  static constexpr std::uint64_t kFirstCookie = 0x100;

  /// Branch after branch, by its place in the list: the first entry of a name stays.
  void add(std::string_view name, std::uint64_t ino, std::uint32_t type, std::size_t branch);
  /// All that was added to `other`, as if it came now. Neither is sealed.
  void append(const DirSnapshot& other);
  /// Brings the names into order. `hash` is a parameter so that a test can make names collide.
  void seal(std::uint64_t (*hash)(std::string_view) = hash_text);

  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
  /// Where the names behind this cookie begin.
  [[nodiscard]] std::size_t after(std::uint64_t cookie) const noexcept;
  /// The name is NUL-terminated and lives as long as the snapshot.
  [[nodiscard]] proto::Dirent operator[](std::size_t index) const noexcept;
  /// The first branch that had the name.
  [[nodiscard]] std::size_t branch(std::size_t index) const noexcept {
    return entries_[index].branch;
  }
  /// Whether it was not the only one.
  [[nodiscard]] bool on_several(std::size_t index) const noexcept {
    return entries_[index].several;
  }

 private:
  struct Entry {
    std::uint64_t cookie = 0;
    std::uint64_t ino = 0;
    std::size_t text = 0;
    std::uint32_t branch = 0;
    std::uint16_t length = 0;
    std::uint8_t type = 0;
    bool several = false;
  };
  [[nodiscard]] std::string_view name(const Entry& entry) const noexcept {
    return std::string_view(texts_).substr(entry.text, entry.length);
  }

  std::vector<Entry> entries_;
  std::string texts_;
};

}  // namespace bough::ops
