#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "proto/requests.hpp"
#include "proto/result.hpp"

namespace bough::proto {

/// What INIT settled about the layout of later requests.
struct WireOptions {
  /// SETXATTR_EXT was agreed: the struct of SETXATTR has 16 bytes, else 8.
  bool setxattr_ext = false;
};

struct Decoded {
  RequestHeader header;
  Request request;
};

/// The header alone; none if the message is shorter than one. Checks nothing else, so that a
/// request whose body is malformed can still be answered.
[[nodiscard]] std::optional<RequestHeader> decode_header(
    std::span<const std::byte> message) noexcept;

/// One whole message as read(2) gave it. Names and data in the result are views into `message`.
/// EINVAL: malformed (its length differs from the header's, a struct is cut short, a name is no
/// component, a size field disagrees with what follows, bytes are left over, an extension is
/// broken). An opcode that is not served is no error: UnservedRequest. Neither allocates nor
/// throws.
[[nodiscard]] Result<Decoded> decode(std::span<const std::byte> message,
                                     const WireOptions& options);

}  // namespace bough::proto
