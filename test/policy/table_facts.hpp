#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "policy/facts.hpp"

namespace bough::test {

using policy::BranchMode;
using policy::Space;

/// Facts out of a table, which count what was asked of each branch.
class TableFacts final : public policy::Facts {
 public:
  struct Row {
    BranchMode mode = BranchMode::kReadWrite;
    bool exists = true;
    std::optional<std::uint64_t> available = 1000;
    bool read_only = false;
    std::uint64_t minimum = 0;
    std::uint64_t used = 0;
    std::optional<policy::Moment> modified = policy::Moment{};
    /// How many levels of the path exist; exists stands for all of them.
    std::size_t levels = 0;

    unsigned asked_exists = 0;
    unsigned asked_space = 0;
    unsigned asked_minimum = 0;
  };

  /// The path is `depth` levels below the root.
  explicit TableFacts(std::vector<Row> rows, std::size_t depth = 0)
      : rows_(std::move(rows)), depth_(depth) {}

  std::size_t branches() const override { return rows_.size(); }
  BranchMode mode(std::size_t branch) override { return rows_.at(branch).mode; }
  bool exists(std::size_t branch) override {
    ++rows_.at(branch).asked_exists;
    return rows_[branch].exists;
  }
  bool exists_above(std::size_t branch, std::size_t levels) override {
    return rows_.at(branch).exists || rows_[branch].levels + levels >= depth_;
  }
  std::size_t depth() override { return depth_; }
  std::optional<policy::Moment> modified(std::size_t branch) override {
    return rows_.at(branch).modified;
  }
  std::optional<Space> space(std::size_t branch) override {
    Row& row = rows_.at(branch);
    ++row.asked_space;
    if (!row.available) return std::nullopt;
    return Space{*row.available, row.used, row.read_only};
  }
  std::uint64_t minimum_free(std::size_t branch) override {
    ++rows_.at(branch).asked_minimum;
    return rows_[branch].minimum;
  }

  [[nodiscard]] const Row& row(std::size_t branch) const { return rows_.at(branch); }

 private:
  std::vector<Row> rows_;
  std::size_t depth_;
};

/// Gives the numbers that it was made with, again and again.
class FixedRandom final : public policy::Random {
 public:
  explicit FixedRandom(std::vector<std::uint64_t> numbers) : numbers_(std::move(numbers)) {}
  std::uint64_t next() override { return numbers_[at_++ % numbers_.size()]; }

 private:
  std::vector<std::uint64_t> numbers_;
  std::size_t at_ = 0;
};

/// A fixed sequence that looks random.
class SequenceRandom final : public policy::Random {
 public:
  explicit SequenceRandom(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() override {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return (state_ >> 33U) ^ (state_ << 20U);
  }

 private:
  std::uint64_t state_;
};

}  // namespace bough::test
