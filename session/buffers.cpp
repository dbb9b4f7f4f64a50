#include "session/buffers.hpp"

#include <sys/mman.h>

#include <new>

#include "proto/kernel_abi.hpp"

namespace bough::session {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kWritePrefix = sizeof(proto::abi::InHeader) + sizeof(proto::abi::WriteIn);

}  // namespace

Buffers::Buffers(std::size_t max_payload)
    // One page in front for what precedes the boundary, one behind for names and extensions.
    : half_(kPage + (max_payload + kPage - 1) / kPage * kPage + kPage) {
  // Most of a large area is never used: it need not be there.
  void* mapped = ::mmap(nullptr, 2 * half_, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  // Huge pages would keep 2 MiB resident for a LOOKUP.
  ::madvise(mapped, 2 * half_, MADV_NOHUGEPAGE);
  base_ = static_cast<std::byte*>(mapped);
}

Buffers::~Buffers() {
  ::munmap(base_, 2 * half_);
}

std::span<std::byte> Buffers::receive() noexcept {
  return {base_ + kPage - kWritePrefix, half_ - kPage + kWritePrefix};
}

std::span<std::byte> Buffers::payload() noexcept {
  return {base_ + half_ + kPage, half_ - kPage};
}

std::span<std::byte, proto::kReplyHeader> Buffers::header() noexcept {
  return std::span<std::byte, proto::kReplyHeader>(base_ + half_ + kPage - proto::kReplyHeader,
                                                   proto::kReplyHeader);
}

void Buffers::trim() noexcept {
  ::madvise(base_, 2 * half_, MADV_DONTNEED);
}

}  // namespace bough::session
