#pragma once

#include "policy/choice.hpp"
#include "policy/facts.hpp"

namespace bough::policy {

/// Action policies choose the copies that are changed or removed.

/// Every copy on a branch that may be changed, in list order.
[[nodiscard]] Choice action_epall(Facts&, Random&);

}  // namespace bough::policy
