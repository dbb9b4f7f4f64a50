#include "ops/move_call.hpp"

#include <algorithm>
#include <cerrno>
#include <string_view>

namespace bough::ops {
namespace {

/// kNoBranch: there is none.
BranchId branch_at(const BranchSet& set, std::string_view path) {
  for (std::size_t i = 0; i < set.size(); ++i)
    if (set[i].path() == path) return set[i].id();
  return kNoBranch;
}

NodeId node_at(const Pool& pool, std::string_view path) {
  NodeId node = proto::kRootNode;
  while (!path.empty() && node != proto::kNoNode) {
    const std::size_t end = std::min(path.find('/'), path.size());
    node = pool.nodes.child(node, path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return node;
}

Result<void> begin(Pool& pool, const Context& context, const MoveCall& call) {
  const auto set = pool.branches.snapshot();
  Errand errand;
  errand.from = branch_at(*set, call.from);
  if (errand.from == kNoBranch) return Errno{ENODEV};
  if (!call.to.empty()) {
    errand.to = branch_at(*set, call.to);
    if (errand.to == kNoBranch || errand.to == errand.from) return Errno{ENODEV};
  }
  errand.rate = call.rate;
  errand.verify = call.verify;
  const NodeId node = node_at(pool, call.path);
  NodeView view;
  if (call.path.empty() || node == proto::kNoNode || !pool.nodes.view(node, view))
    return Errno{ENOENT};
  if (view.link || view.followed) return Errno{EOPNOTSUPP};
  if (!view.directory && view.location.branch != errand.from) return Errno{EXDEV};
  context.put_off->until = pool.relocations.carry(node, errand);
  if (context.put_off->until == 0) return Errno{EBUSY};
  return {};
}

}  // namespace

Result<proto::IoctlReply> serve_move_call(Pool& pool, const Context& context,
                                          const proto::IoctlRequest& request) {
  if (context.put_off == nullptr) return Errno{EBUSY};
  if (const std::uint64_t move = context.put_off->after; move != 0) {
    const auto result = pool.relocations.came_of(move);
    if (!result) {
      pool.relocations.give_up(move);
      return Errno{EINTR};
    }
    if (!*result) return result->error();
    return proto::IoctlReply{};
  }
  const auto call = parse_move_call(request.in);
  if (!call || !pool.handles.directory(request.handle)) return Errno{EINVAL};
  if (const auto begun = begin(pool, context, *call); !begun) return begun.error();
  return proto::IoctlReply{};
}

}  // namespace bough::ops
