#pragma once

#include "policy/choice.hpp"
#include "policy/facts.hpp"

namespace bough::policy {

/// Search policies choose the copy that is read. No branch is left out because of its mode or room.

/// The first branch that has the path; the ones after it are not asked.
[[nodiscard]] Choice search_ff(Facts&, Random&);

}  // namespace bough::policy
