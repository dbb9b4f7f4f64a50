#pragma once

#include <cstddef>
#include <span>

#include "proto/encode.hpp"

namespace bough::session {

/// The receive and the reply area of one worker, mapped from the system so that trim() can give the
/// memory back. Used by its worker's thread only.
class Buffers {
 public:
  /// `max_payload`: the longest payload that was agreed on. Throws std::bad_alloc.
  explicit Buffers(std::size_t max_payload);
  ~Buffers();
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;

  /// Where a message is read to: the data of a WRITE (behind 40 bytes of header and 40 of struct)
  /// then begins on a page boundary. Has room for the payload and 4096 bytes more, whatever the
  /// message.
  [[nodiscard]] std::span<std::byte> receive() noexcept;

  /// The page-aligned payload of the reply.
  [[nodiscard]] std::span<std::byte> payload() noexcept;
  /// The bytes directly in front of payload().
  [[nodiscard]] std::span<std::byte, proto::kReplyHeader> header() noexcept;

  /// Gives the pages back to the system; what was in them is lost.
  void trim() noexcept;

 private:
  std::size_t half_;
  std::byte* base_;
};

}  // namespace bough::session
