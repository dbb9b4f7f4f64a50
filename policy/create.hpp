#pragma once

#include "policy/choice.hpp"
#include "policy/facts.hpp"

namespace bough::policy {

/// Create policies choose where something new goes. Facts::exists() is about its parent directory.

/// The first branch with room.
[[nodiscard]] Choice create_ff(Facts&, Random&);
/// The most available space; the last of equals.
[[nodiscard]] Choice create_mfs(Facts&, Random&);
/// The same among the branches that have the parent directory.
[[nodiscard]] Choice create_epmfs(Facts&, Random&);
/// At random, in proportion to the available space. ENOSPC when there is none at all.
[[nodiscard]] Choice create_pfrd(Facts&, Random&);

}  // namespace bough::policy
