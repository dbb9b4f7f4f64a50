#include "ops/virtual_xattr.hpp"

#include <string>

#include "ops/explain.hpp"
#include "ops/followed_path.hpp"
#include "ops/place.hpp"
#include "ops/pool_facts.hpp"
#include "ops/value_out.hpp"

namespace bough::ops {
namespace {

/// `relative` ends in nothing or a name, a branch's path in a slash only if it is "/".
std::string full_path(const Branch& branch, std::string_view relative) {
  std::string path = branch.path();
  if (!path.ends_with('/')) path += '/';
  return path.append(relative);
}

std::string relative_path(const NodeView& view) {
  std::string path = plain_path(view.path.view());
  if (view.directory) return path;
  if (!path.empty()) path += '/';
  return path.append(view.name());
}

Result<std::string> all_paths(Pool& pool, const NodeView& view, std::string_view relative) {
  const auto set = pool.branches.snapshot();
  PoolFacts facts(pool, *set, view.path.view(), view.directory ? nullptr : view.name_c_str());
  std::string all;
  for (std::size_t i = 0; i < set->size(); ++i) {
    if (!facts.exists(i)) continue;
    if (!all.empty()) all += '\0';
    all += full_path((*set)[i], relative);
  }
  // A list with a copy missing would be taken for the truth by whoever removes copies.
  if (const auto failed = unanswered(facts)) return *failed;
  if (all.empty()) return Errno{ENODATA};
  return all;
}

}  // namespace

Result<std::size_t> get_virtual(Pool& pool, const Context& context, std::string_view key,
                                std::span<std::byte> out) {
  if (key.starts_with(kExplainKey))
    return explain(pool, context, key.substr(kExplainKey.size()), out);
  if (key != "basepath" && key != "relpath" && key != "fullpath" && key != "allpaths")
    return Errno{ENODATA};
  const auto file = reach_open(pool, context.node);
  if (!file) return file.error();
  note_branch(context, pool, file->branch);
  const auto set = pool.branches.snapshot();
  const Branch* const branch = set->by_id(file->branch);
  NodeView view;
  if (branch == nullptr || !pool.nodes.view(context.node, view)) return Errno{ESTALE};
  if (!view.named) return Errno{ENODATA};
  if (key == "basepath") return value_out(branch->path(), out);
  const std::string relative = relative_path(view);
  if (key == "relpath") return value_out(relative, out);
  if (key == "fullpath") return value_out(full_path(*branch, relative), out);
  const auto all = all_paths(pool, view, relative);
  if (!all) return all.error();
  return value_out(*all, out);
}

}  // namespace bough::ops
