#include "ops/control_keys.hpp"

#include <malloc.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "proto/size_text.hpp"

namespace bough::ops {
namespace {

using proto::Setting;

std::string_view mode_text(BranchMode mode) noexcept {
  switch (mode) {
    case BranchMode::kReadOnly:
      return "RO";
    case BranchMode::kNoCreate:
      return "NC";
    case BranchMode::kReadWrite:
      break;
  }
  return "RW";
}

template <class Text>
std::string joined(const Pool& pool, Text text) {
  std::string all;
  for (const auto& branch : *pool.branches.snapshot()) {
    if (!all.empty()) all += ':';
    all += text(*branch);
  }
  return all;
}

Result<void> invalidate(Pool& pool, const std::function<std::string()>& mounted_inside,
                        std::string& why) {
  const std::string inside = mounted_inside();
  if (!inside.empty()) {
    why = "would unmount " + inside + ", which is mounted inside the pool: unmount it first";
    return Errno{EBUSY};
  }
  for (const auto& [child, name] : pool.nodes.children(proto::kRootNode)) {
    // The inode first: without its names the kernel may drop it, and then knows of no such inode.
    if (pool.port->notify(proto::InvalidateInode{child, 0, 0}) &&
        pool.port->notify(proto::InvalidateEntry{proto::kRootNode, name, false}))
      continue;
    why = "told the kernel as much as its queue takes: set it again for the rest";
    return Errno{EAGAIN};
  }
  return {};
}

}  // namespace

std::vector<Setting> pool_rows(const Pool& pool) {
  Setting branches;
  branches.name = "branches";
  branches.get = [&pool] {
    return joined(pool, [](const Branch& branch) {
      std::string text = branch.path() + "=";
      text += mode_text(branch.mode());
      if (const auto& least = branch.min_free()) text += "," + proto::size_text(*least);
      return text;
    });
  };
  Setting paths;
  paths.name = "srcmounts";
  paths.get = [&pool] { return joined(pool, [](const Branch& branch) { return branch.path(); }); };
  Setting passthrough;
  passthrough.name = "passthrough.why-off";
  passthrough.get = [&pool] { return pool.settings.files.no_passthrough; };
  return {std::move(branches), std::move(paths), std::move(passthrough)};
}

std::vector<ControlFile::Command> pool_commands(Pool& pool, std::function<void()> let_go,
                                                std::function<std::string()> mounted_inside) {
  const auto tidy = [let_go = std::move(let_go)](std::string&) -> Result<void> {
    let_go();
    (void)::malloc_trim(0);
    return {};
  };
  return {{"cmd.gc", tidy},
          {"cmd.gc1", tidy},
          {"cmd.invalidate-all-nodes",
           [&pool, mounted_inside = std::move(mounted_inside)](std::string& why) {
             return invalidate(pool, mounted_inside, why);
           }}};
}

}  // namespace bough::ops
