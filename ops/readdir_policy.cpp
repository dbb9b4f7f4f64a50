#include "ops/readdir_policy.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <thread>

namespace bough::ops {
namespace {

constexpr std::array<std::string_view, 3> kKinds{"seq", "cosr", "cor"};
/// More threads than disks help nobody.
constexpr std::int16_t kMost = 1024;

/// A number of at most kMost; negative ones only where `lowest` is.
std::optional<std::int16_t> parse_number(std::string_view text, std::int16_t lowest) noexcept {
  std::int16_t number = 0;
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, number);
  if (read.ec != std::errc{} || read.ptr != end || number < lowest || number > kMost)
    return std::nullopt;
  return number;
}

}  // namespace

BranchCrew::Size ReaddirPolicy::crew() const noexcept {
  const std::size_t processors = std::max(1U, std::thread::hardware_concurrency());
  constexpr std::size_t kUsual = 8;
  constexpr std::size_t kUsualDepth = 2;
  std::size_t count = std::min(processors, kUsual);
  if (threads > 0) count = static_cast<std::size_t>(threads);
  if (threads < 0)
    count = std::max<std::size_t>(1, processors / static_cast<std::size_t>(-threads));
  return {count, count * (depth > 0 ? static_cast<std::size_t>(depth) : kUsualDepth)};
}

std::optional<ReaddirPolicy> parse_readdir_policy(std::string_view text) noexcept {
  ReaddirPolicy policy;
  const auto kind = std::find(kKinds.begin(), kKinds.end(), text.substr(0, text.find(':')));
  if (kind == kKinds.end()) return std::nullopt;
  policy.kind = static_cast<ReaddirPolicy::Kind>(kind - kKinds.begin());
  text.remove_prefix(kind->size());
  for (std::int16_t* const into : {&policy.threads, &policy.depth}) {
    if (text.empty()) return policy;
    text.remove_prefix(1);
    const std::string_view digits = text.substr(0, text.find(':'));
    const auto number = parse_number(
        digits, into == &policy.threads ? static_cast<std::int16_t>(-kMost) : std::int16_t{0});
    if (!number) return std::nullopt;
    *into = *number;
    ++policy.numbers;
    text.remove_prefix(digits.size());
  }
  if (!text.empty()) return std::nullopt;
  return policy;
}

std::string readdir_policy_text(const ReaddirPolicy& policy) {
  std::string text(kKinds[static_cast<std::size_t>(policy.kind)]);
  if (policy.numbers > 0) text += ":" + std::to_string(policy.threads);
  if (policy.numbers > 1) text += ":" + std::to_string(policy.depth);
  return text;
}

}  // namespace bough::ops
