#include "ops/attributes.hpp"
#include "ops/locate.hpp"
#include "ops/operations.hpp"

namespace bough::ops {
namespace {

/// LOOKUP of "." and ".." names a node instead of an edge: NFS asks so when all it has is a file
/// handle.
Result<proto::EntryReply> lookup_known(Pool& pool, const Context& context, NodeId node) {
  std::uint64_t ino = 0;
  BranchId branch = kNoBranch;
  const auto stat = stat_node(pool, node, ino, branch);
  if (!stat) return stat.error();
  note_branch(context, pool, branch);
  const auto counted = pool.nodes.count_again(node);
  if (!counted) return Errno{ESTALE};
  proto::EntryReply reply;
  reply.claim = proto::LookupClaim(pool.owner, counted->node);
  reply.entry.node = counted->node;
  reply.entry.generation = pool.nodes.generation(counted->node);
  reply.entry.entry_valid = entry_validity(pool);
  reply.entry.attr_valid = attr_validity(pool, *stat);
  reply.entry.attr = to_attr(pool, *stat, number_of(pool, node, counted->ino, *stat, branch));
  return reply;
}

proto::EntryReply negative(std::chrono::nanoseconds valid) {
  proto::EntryReply reply;
  reply.entry.entry_valid = valid;
  return reply;
}

}  // namespace

Result<proto::EntryReply> lookup(Pool& pool, const Context& context,
                                 const proto::LookupRequest& request) {
  using Target = proto::LookupRequest::Target;
  if (request.target == Target::kSelf) return lookup_known(pool, context, context.node);
  if (request.target == Target::kParent) {
    NodeView view;
    if (!pool.nodes.view(context.node, view)) return Errno{ESTALE};
    const NodeId parent = pool.nodes.parent(context.node);
    if (parent == proto::kNoNode || context.node == proto::kRootNode) return Errno{ENOENT};
    return lookup_known(pool, context, parent);
  }

  const Name name = request.name.value();
  PathText path;
  if (const auto known = directory_path(pool, context.node, path); !known) return known.error();
  if (name.size() > kNameMax) return Errno{ENAMETOOLONG};
  const std::uint32_t changes = pool.free_names.changes(context.node, name.view());
  const auto copy = find_copy(pool, context.node, path.view(), name);
  if (copy) {
    note_branch(context, copy->branch());
    return show_entry(
        pool, context.node, name.view(), copy->branch(),
        shown_as(pool, copy->branch(), path.view(), copy->parent.fd(), name.c_str(), copy->stat));
  }
  if (copy.error() != Errno{ENOENT}) return copy.error();
  if (!pool.absences.any()) pool.free_names.note(context.node, name.view(), changes);
  const auto valid = negative_validity(pool);
  if (valid.count() > 0) return negative(valid);
  return copy.error();
}

}  // namespace bough::ops
