#include "cli/missing_branches.hpp"

#include <memory>
#include <string>
#include <vector>

#include "cli/control_rows.hpp"
#include "cli/state_file.hpp"
#include "ops/backing.hpp"
#include "ops/branch_presence.hpp"

namespace bough::cli {
namespace {

struct Eyes {
  explicit Eyes(const std::string& place)
      : backing(ops::make_posix_backing()), witness(*backing, state_file(place), place) {}
  std::unique_ptr<ops::Backing> backing;
  ops::BranchWitness witness;
};

}  // namespace

void expect_missing_branches(Configuration& config) {
  config.missing = [&config]() -> Configuration::Expected {
    const std::string& named = config.mount.mountpoint;
    const std::string place = place_of_pool(named.empty() ? config.coming_mountpoint : named);
    const auto eyes = std::make_shared<const Eyes>(place);
    return [eyes, expected = eyes->witness.expectation()](const std::string& pattern) {
      return expected(pattern);
    };
  };
}

}  // namespace bough::cli
