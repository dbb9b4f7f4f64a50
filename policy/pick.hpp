#pragma once

#include "policy/choice.hpp"
#include "policy/facts.hpp"
#include "policy/filter.hpp"

namespace bough::policy {

/// What the policies' names stand for: how one or several branches are picked among those that meet
/// a demand. Pure; see filter.hpp for who meets it and for the refusal where nobody does.

/// All, in list order.
[[nodiscard]] Choice pick_all(Facts&, Random&, Demand);
/// The first; those after it are not asked.
[[nodiscard]] Choice pick_first(Facts&, Random&, Demand);
/// The most available space; the last of equals.
[[nodiscard]] Choice pick_most_free(Facts&, Random&, Demand);
/// The least available space; the last of equals.
[[nodiscard]] Choice pick_least_free(Facts&, Random&, Demand);
/// The least used space; the first of equals.
[[nodiscard]] Choice pick_least_used(Facts&, Random&, Demand);
/// The smallest share of used space; the first of equals.
[[nodiscard]] Choice pick_least_share(Facts&, Random&, Demand);
/// Whose copy of the path was modified last; the last of equals.
[[nodiscard]] Choice pick_newest(Facts&, Random&, Demand);
/// At random, all alike.
[[nodiscard]] Choice pick_any(Facts&, Random&, Demand);
/// At random, in proportion to the available space. Where there is none at all: ENOSPC for what is
/// new, and the first for what is there, which must be found on full disks, too.
[[nodiscard]] Choice pick_by_room(Facts&, Random&, Demand);
/// Nothing may be written.
[[nodiscard]] Choice pick_none(Facts&, Random&, Demand);

}  // namespace bough::policy
