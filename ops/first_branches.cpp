#include "ops/first_branches.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

#include "ops/branch_editor.hpp"
#include "ops/union_fs.hpp"

namespace bough::ops {
namespace {

/// Not refused: a pool may be joined so on purpose. But what is in the inner one has two paths, and
/// what is removed under one is gone under the other.
void warn_of_nested(const std::vector<std::shared_ptr<Branch>>& branches) {
  for (const auto& inner : branches) {
    const auto outer = std::find_if(branches.begin(), branches.end(), [&](const auto& other) {
      return lies_inside(inner->path(), other->path());
    });
    if (outer == branches.end()) continue;
    std::fprintf(stderr,
                 "boughfs: warning: branch %s lies inside branch %s: each of its files has two "
                 "paths in the pool\n",
                 inner->path().c_str(), (*outer)->path().c_str());
  }
}

}  // namespace

std::shared_ptr<const BranchSet> open_branches(Backing& backing, const std::string& list,
                                               Absences& absences, BranchAbsent how,
                                               const BranchWitness& witness) {
  std::string error;
  KnownPlaces known;
  known.expected = witness.expectation();
  auto specs = parse_branches(list, error, known);
  if (specs.empty()) throw PoolError(error.empty() ? "no branch to join: name one" : error);
  std::vector<std::shared_ptr<Branch>> branches;
  branches.reserve(specs.size());
  std::string absent;
  for (auto& spec : specs) {
    const std::string path = spec.path;
    auto branch =
        open_or_expect(backing, static_cast<BranchId>(branches.size()), std::move(spec), absences);
    if (!branch)
      throw PoolError("branch " + path +
                      " cannot be opened: " + std::strerror(branch.error().value()));
    (*branch)->attend(absences);
    if ((*branch)->absent())
      absent += (absent.empty() ? "" : "; ") + ("branch " + path) +
                " is absent: " + (*branch)->why_absent();
    const auto same = std::find_if(branches.begin(), branches.end(), [&](const auto& other) {
      return other->path() == path ||
             (!(*branch)->absent() && other->root_id() == (*branch)->root_id());
    });
    if (same != branches.end()) {
      // Copies of a name on both would be one file, and a move onto itself.
      std::fprintf(stderr, "boughfs: branch %s is the same directory as branch %s: used once\n",
                   path.c_str(), (*same)->path().c_str());
      continue;
    }
    branches.push_back(std::move(*branch));
  }
  if (!absent.empty() && how == BranchAbsent::kRefuse)
    throw PoolError(absent + ": mount what is missing first, or choose another branch-absent");
  warn_of_nested(branches);
  return std::make_shared<const BranchSet>(std::move(branches));
}

}  // namespace bough::ops
