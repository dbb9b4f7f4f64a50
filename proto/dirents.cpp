#include "proto/dirents.hpp"

#include <cstring>

#include "proto/encode.hpp"
#include "proto/kernel_abi.hpp"

namespace bough::proto {

namespace {

constexpr std::size_t kAlignment = 8;

constexpr std::size_t record_size(std::size_t fixed, std::size_t name) {
  return (fixed + name + kAlignment - 1) & ~(kAlignment - 1);
}

abi::Dirent wire_of(const Dirent& entry) noexcept {
  return {entry.ino, entry.cookie, static_cast<std::uint32_t>(entry.name.size()), entry.type};
}

template <class Fixed>
void put_record(std::byte* at, std::size_t size, const Fixed& fixed,
                std::string_view name) noexcept {
  std::memcpy(at, &fixed, sizeof fixed);
  std::memcpy(at + sizeof fixed, name.data(), name.size());
  std::memset(at + sizeof fixed + name.size(), 0, size - sizeof fixed - name.size());
}

}  // namespace

bool DirentPacker::add(const Dirent& entry) noexcept {
  const std::size_t size = record_size(sizeof(abi::Dirent), entry.name.size());
  if (out_.size() - used_ < size) return false;
  put_record(out_.data() + used_, size, wire_of(entry), entry.name);
  used_ += size;
  ++entries_;
  return true;
}

DirentPlusPacker::~DirentPlusPacker() {
  if (owner_ == nullptr) return;
  for (std::size_t at = 0; at < used_;) {
    abi::Direntplus wire;
    std::memcpy(&wire, out_.data() + at, sizeof wire);
    if (wire.entry.nodeid != 0) owner_->drop_lookup(NodeId{wire.entry.nodeid}, 1);
    at += record_size(sizeof wire, wire.dirent.namelen);
  }
}

bool DirentPlusPacker::fits(std::string_view name) const noexcept {
  return out_.size() - used_ >= record_size(sizeof(abi::Direntplus), name.size());
}

bool DirentPlusPacker::add(const Dirent& entry, EntryReply& reply) noexcept {
  if (!fits(entry.name)) return false;
  put(entry, reply.entry);
  reply.claim.keep();
  return true;
}

bool DirentPlusPacker::add_plain(const Dirent& entry) noexcept {
  if (!fits(entry.name)) return false;
  put(entry, Entry{});
  return true;
}

void DirentPlusPacker::put(const Dirent& entry, const Entry& attributes) noexcept {
  const std::size_t size = record_size(sizeof(abi::Direntplus), entry.name.size());
  put_record(out_.data() + used_, size, abi::Direntplus{wire_entry(attributes), wire_of(entry)},
             entry.name);
  used_ += size;
  ++entries_;
}

}  // namespace bough::proto
