#pragma once

#include <cstddef>
#include <vector>

#include "proto/decode.hpp"

namespace bough::test {

/// A decoded request back into a message, in the one way that loses nothing of it: what the decoder
/// leaves out (padding, unknown flags, unknown extensions) is zero or missing there.
[[nodiscard]] std::vector<std::byte> repack(const proto::Decoded& decoded,
                                            const proto::WireOptions& options);

}  // namespace bough::test
