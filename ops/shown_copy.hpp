#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/settings.hpp"
#include "policy/choice.hpp"
#include "policy/facts.hpp"

namespace bough::ops {

inline constexpr std::uint32_t kTypeBits = 0170000;
inline constexpr std::uint32_t kRegular = 0100000;

/// Facts about the copies of a name of which only those of one type count. `Copies` are facts that
/// know the type (std::uint32_t type(std::size_t branch)) of each copy that exists. Borrowed.
template <class Copies>
class OfType final : public policy::Facts {
 public:
  OfType(Copies& copies, std::uint32_t type) noexcept : copies_(copies), type_(type) {}

  [[nodiscard]] std::size_t branches() const override { return copies_.branches(); }
  [[nodiscard]] policy::BranchMode mode(std::size_t branch) override {
    return copies_.mode(branch);
  }
  [[nodiscard]] bool exists(std::size_t branch) override {
    return copies_.exists(branch) && copies_.type(branch) == type_;
  }
  [[nodiscard]] bool exists_above(std::size_t branch, std::size_t levels) override {
    return copies_.exists_above(branch, levels);
  }
  [[nodiscard]] std::size_t depth() override { return copies_.depth(); }
  [[nodiscard]] std::optional<policy::Moment> modified(std::size_t branch) override {
    return copies_.modified(branch);
  }
  [[nodiscard]] std::optional<policy::Space> space(std::size_t branch) override {
    return copies_.space(branch);
  }
  [[nodiscard]] std::uint64_t minimum_free(std::size_t branch) override {
    return copies_.minimum_free(branch);
  }
  void judged(std::size_t branch, policy::Verdict verdict) override {
    copies_.judged(branch, verdict);
  }

 private:
  Copies& copies_;
  const std::uint32_t type_;
};

/// Which copy of a name users see. func.getattr says what the name is; where that is a regular file
/// and func.open another policy, func.open chooses among the regular files, since a node of the
/// kernel has one size and one page cache: it must be the file that is opened.
template <class Copies>
policy::Choice choose_shown(const Settings& settings, Copies& copies, policy::Random& random) {
  const policy::Policy& look = settings.search[SearchFunction::kGetattr];
  const policy::Policy& open = settings.search[SearchFunction::kOpen];
  policy::Choice found = look.choose(copies, random);
  if (&open == &look || found.empty() || copies.branches() < 2 || copies.type(found[0]) != kRegular)
    return found;
  OfType files(copies, kRegular);
  policy::Choice opened = open.choose(files, random);
  return opened.empty() ? found : opened;
}

/// Whether that is always the first copy in list order.
[[nodiscard]] inline bool shows_first_copy(const Settings& settings) noexcept {
  return settings.search[SearchFunction::kGetattr].takes != policy::Takes::kOther &&
         settings.search[SearchFunction::kOpen].takes != policy::Takes::kOther;
}

}  // namespace bough::ops
