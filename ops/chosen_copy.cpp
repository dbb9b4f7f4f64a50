#include "ops/chosen_copy.hpp"

#include <fcntl.h>

#include "ops/place.hpp"
#include "ops/shown_copy.hpp"

namespace bough::ops {
namespace {

/// Where the name that led to the node's own file leads nowhere now: that one.
Result<NodeFile> choose_copy(Pool& pool, NodeId node, const policy::Policy& policy, NodeFile own) {
  const auto set = pool.branches.snapshot();
  NodeView view;
  if (set->size() < 2 || !pool.nodes.view(node, view)) return own;
  if (!view.named && node != proto::kRootNode) return own;
  const char* const name = view.directory ? nullptr : view.name_c_str();
  PoolFacts facts(pool, *set, view.path.view(), name);
  const std::uint32_t type = own.stat.mode & kTypeBits;
  OfType copies(facts, type);
  const policy::Choice choice = policy.choose(copies, pool.random);
  if (choice.empty()) {
    if (const auto failed = unanswered(facts)) return *failed;
    return own;
  }
  const BranchId branch = (*set)[choice[0]].id();
  if (branch == own.branch) return own;
  NodeFile found;
  found.branch = branch;
  found.ino = own.ino;
  if (name == nullptr) {
    found.directory = facts.take_directory(choice[0]);
  } else {
    auto fd = open_with_relief(pool, [&] {
      return pool.backing.open_at(facts.directory(choice[0]).fd(), name, O_PATH, 0);
    });
    if (!fd) return means_absent(fd.error()) ? Result<NodeFile>(std::move(own)) : fd.error();
    found.own = *std::move(fd);
  }
  const auto stat = pool.backing.stat(found.fd());
  if (!stat) return stat.error();
  if ((stat->mode & kTypeBits) != type) return own;
  found.stat = *stat;
  return found;
}

}  // namespace

Result<NodeFile> reach_by(Pool& pool, NodeId node, SearchFunction function) {
  const SearchPolicies& search = pool.settings.search;
  const policy::Policy& wanted = search[function];
  if (wanted.takes == policy::Takes::kNone) return Errno{EROFS};
  auto own = reach_open(pool, node);
  if (!own || own->link || own->followed) return own;
  const auto shown = own->stat.is_regular() ? SearchFunction::kOpen : SearchFunction::kGetattr;
  if (&wanted == &search[shown]) return own;
  return choose_copy(pool, node, wanted, *std::move(own));
}

Result<NodeFile> reach_for_xattr(Pool& pool, NodeId node, std::string_view name) {
  if (name.starts_with("security.") || name.starts_with("system.")) return reach_open(pool, node);
  return reach_by(pool, node, SearchFunction::kGetxattr);
}

}  // namespace bough::ops
