#include "policy/registry.hpp"

#include <array>

#include "policy/action.hpp"
#include "policy/create.hpp"
#include "policy/search.hpp"

namespace bough::policy {

namespace {

constexpr std::array kCreate{
    Policy{"epmfs", true, create_epmfs},
    Policy{"ff", false, create_ff},
    Policy{"mfs", false, create_mfs},
    Policy{"pfrd", false, create_pfrd},
};

constexpr std::array kSearch{
    Policy{"ff", false, search_ff},
};

constexpr std::array kAction{
    Policy{"epall", true, action_epall},
};

}  // namespace

std::span<const Policy> create_policies() noexcept {
  return kCreate;
}
std::span<const Policy> search_policies() noexcept {
  return kSearch;
}
std::span<const Policy> action_policies() noexcept {
  return kAction;
}

const Policy* find(std::span<const Policy> policies, std::string_view name) noexcept {
  for (const Policy& policy : policies)
    if (policy.name == name) return &policy;
  return nullptr;
}

}  // namespace bough::policy
