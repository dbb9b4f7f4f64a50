#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ops/pool.hpp"
#include "test/support/faulty_backing.hpp"
#include "test/support/full_root.hpp"
#include "test/support/pool_fixture.hpp"

namespace bough::test {

/// A Pool with nothing above it, over temporary directories, for the parts that work on a pool but
/// are no operations.
class SmallPool final : private policy::Random, private proto::ClaimOwner {
 public:
  explicit SmallPool(const std::vector<std::string>& modes = {"RW", "RW"})
      : posix_(ops::make_posix_backing()),
        faults(*posix_),
        pool(faults, settings, open(modes), proto::Generation{1}, *this, *this) {
    pool.own = posix_->identity();
  }

  [[nodiscard]] std::filesystem::path path(std::size_t branch) const {
    return top_.path() / ("b" + std::to_string(branch));
  }
  [[nodiscard]] ops::Branch& branch(std::size_t index) const {
    return (*pool.branches.snapshot())[index];
  }

 private:
  std::shared_ptr<const ops::BranchSet> open(const std::vector<std::string>& modes) {
    std::vector<std::shared_ptr<ops::Branch>> branches;
    for (std::size_t i = 0; i < modes.size(); ++i) {
      std::filesystem::create_directory(path(i));
      std::string error;
      const auto specs = ops::parse_branches(path(i).string() + "=" + modes[i], error);
      if (specs.size() != 1) throw std::runtime_error(error);
      auto branch = ops::Branch::open(faults, static_cast<ops::BranchId>(i + 1), specs[0]);
      if (!branch) throw std::runtime_error("a branch does not open");
      branches.push_back(*branch);
    }
    return std::make_shared<const ops::BranchSet>(std::move(branches));
  }
  std::uint64_t next() override { return ++random_; }
  void drop_lookup(proto::NodeId, std::uint64_t) noexcept override {}
  void drop_handle(proto::HandleId) noexcept override {}

  TempDir top_;
  std::unique_ptr<ops::Backing> posix_;
  std::uint64_t random_ = 0;

 public:
  FaultyBacking faults;
  ops::Settings settings;
  ops::Pool pool;
};

}  // namespace bough::test
