#pragma once

#include "ops/pool_facts.hpp"

namespace bough::ops {

/// The facts of a decision for which no branch needs to have the path: where something is to go
/// that takes its directories along.
class AnywhereFacts final : public policy::Facts {
 public:
  explicit AnywhereFacts(PoolFacts& facts) noexcept : facts_(facts) {}

  [[nodiscard]] std::size_t branches() const override { return facts_.branches(); }
  [[nodiscard]] policy::BranchMode mode(std::size_t branch) override { return facts_.mode(branch); }
  [[nodiscard]] bool exists(std::size_t /*branch*/) override { return true; }
  [[nodiscard]] bool exists_above(std::size_t /*branch*/, std::size_t /*levels*/) override {
    return true;
  }
  [[nodiscard]] std::size_t depth() override { return facts_.depth(); }
  /// A directory that is not there yet is older than all.
  [[nodiscard]] std::optional<policy::Moment> modified(std::size_t branch) override {
    if (!facts_.exists(branch)) return policy::Moment{};
    return facts_.modified(branch);
  }
  [[nodiscard]] std::optional<policy::Space> space(std::size_t branch) override {
    return facts_.space(branch);
  }
  [[nodiscard]] std::uint64_t minimum_free(std::size_t branch) override {
    return facts_.minimum_free(branch);
  }

 private:
  PoolFacts& facts_;
};

}  // namespace bough::ops
