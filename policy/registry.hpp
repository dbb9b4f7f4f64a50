#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "policy/choice.hpp"
#include "policy/facts.hpp"

namespace bough::policy {

/// Which of the branches that qualify it takes: some of what is done with the choice depends on it.
enum class Takes : std::uint8_t { kAll, kFirst, kOther, kNone };

/// A policy of one category: a name that users know and a pure choice.
struct Policy {
  std::string_view name;
  /// Picks a branch only where the path in question already exists.
  bool path_preserving = false;
  Choice (*choose)(Facts&, Random&) = nullptr;
  Takes takes = Takes::kOther;
};

/// The policies of each category, built explicitly in registry.cpp: one table a category, no
/// registration at start-up. The tables live as long as the program.
[[nodiscard]] std::span<const Policy> create_policies() noexcept;
[[nodiscard]] std::span<const Policy> search_policies() noexcept;
[[nodiscard]] std::span<const Policy> action_policies() noexcept;

/// Null when there is no policy of that name.
[[nodiscard]] const Policy* find(std::span<const Policy> policies, std::string_view name) noexcept;

}  // namespace bough::policy
