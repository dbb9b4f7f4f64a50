#include "ops/control_keys.hpp"

#include <malloc.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string_view>
#include <utility>

#include "ops/followed_link.hpp"

namespace bough::ops {
namespace {

using proto::Setting;

template <class Text>
std::string joined(const Pool& pool, Text text) {
  std::string all;
  const auto set = pool.branches.snapshot();
  for (std::size_t i = 0; i < set->size(); ++i) {
    if (!all.empty()) all += ':';
    all += text(set->member(i));
  }
  return all;
}

/// A value is one line, for those who read a key a line.
constexpr std::string_view kBetween = "; ";

std::string open_files(const Pool& pool) {
  const auto set = pool.branches.snapshot();
  const auto counts = pool.handles.files_by_branch();
  std::string parts;
  const auto add = [&](const Branch& branch, std::string_view where) {
    const auto count = counts.find(branch.id());
    if (!parts.empty()) parts += kBetween;
    parts += std::to_string(count == counts.end() ? 0 : count->second);
    parts.append(where).append(branch.path());
  };
  for (const auto& branch : *set) add(*branch, " in ");
  for (const Member& member : set->left())
    if (counts.contains(member.branch->id())) add(*member.branch, " left ");
  return parts;
}

/// NOTIFY_INC_EPOCH, of Linux 6.16.
bool knows_epochs(const Pool& pool) {
  return pool.agreement.minor >= 44;
}

Result<void> invalidate(Pool& pool, const std::function<std::string()>& mounted_inside,
                        std::string& why) {
  const std::string inside = mounted_inside();
  if (!inside.empty()) {
    why = "would unmount " + inside + ", which is mounted inside the pool: unmount it first";
    return Errno{EBUSY};
  }
  constexpr const char* kTooMany =
      "told the kernel as much as its queue takes: set it again for the rest";
  for (const auto& [child, name] : pool.nodes.children(proto::kRootNode)) {
    // The inode first: without its names the kernel may drop it, and then knows of no such inode.
    if (pool.port->notify(proto::InvalidateInode{child, 0, 0}) &&
        pool.port->notify(proto::InvalidateEntry{proto::kRootNode, name, false}))
      continue;
    why = kTooMany;
    return Errno{EAGAIN};
  }
  // Names in the root that are known to be absent have no node here.
  if (knows_epochs(pool) && !pool.port->notify(proto::NotifyIncrementEpoch{})) {
    why = kTooMany;
    return Errno{EAGAIN};
  }
  return {};
}

}  // namespace

std::vector<Setting> pool_rows(const Pool& pool, BranchEditor& editor) {
  Setting branches;
  branches.name = "branches";
  branches.when = Setting::When::kRuntime;
  branches.get = [&pool] {
    return joined(pool, [](const Member& member) {
      return branch_text(member.branch->path(), member.mode, member.min_free);
    });
  };
  branches.set = [&editor](std::string_view value) { return editor.set(value); };
  Setting paths;
  paths.name = "srcmounts";
  paths.get = [&pool] {
    return joined(pool, [](const Member& member) { return member.branch->path(); });
  };
  Setting absent;
  absent.name = "absent-branches";
  absent.get = [&pool] {
    std::string parts;
    for (const auto& branch : *pool.branches.snapshot()) {
      if (!branch->absent()) continue;
      if (!parts.empty()) parts += kBetween;
      parts += branch->path() + ": " + branch->why_absent();
    }
    return parts;
  };
  Setting passthrough;
  passthrough.name = "passthrough.why-off";
  passthrough.get = [&pool] { return pool.settings.files.no_passthrough; };
  Setting open;
  open.name = "open-files";
  open.get = [&pool] { return open_files(pool); };
  Setting moves;
  moves.name = "moves";
  moves.get = [&pool] {
    std::string parts;
    for (const auto& each : pool.relocations.told()) {
      if (!parts.empty()) parts += kBetween;
      parts += text_of(each);
    }
    return parts;
  };
  Setting pinned;
  pinned.name = "pinned-files";
  pinned.get = [&pool] { return std::to_string(pool.handles.pinned_writers()); };
  return {std::move(branches),    std::move(paths), std::move(absent), std::move(open),
          std::move(passthrough), std::move(moves), std::move(pinned)};
}

std::vector<Setting> not_in_vain(std::vector<Setting> rows, const Pool& pool) {
  const auto row = std::find_if(rows.begin(), rows.end(),
                                [](const Setting& each) { return each.name == "follow-symlinks"; });
  if (row == rows.end()) return rows;
  row->set = [&pool, set = std::move(row->set), get = row->get](std::string_view text) {
    std::string before = get();
    std::string wrong = set(text);
    if (!wrong.empty() || pool.settings.links.follow == FollowSymlinks::kNever) return wrong;
    const char* const why = why_nothing_is_followed(pool);
    if (why == nullptr) return wrong;
    (void)set(before);
    return std::string("is without effect here: ") + why;
  };
  return rows;
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

void expire_names(Pool& pool, const std::function<std::string()>& mounted_inside) {
  const Settings& settings = pool.settings;
  const auto longest = std::max(
      {settings.entry_valid.get(), settings.attr_valid.get(), settings.negative_valid.get()});
  if (longest <= std::chrono::seconds(1) || !knows_epochs(pool)) return;
  if (mounted_inside().empty()) (void)pool.port->notify(proto::NotifyIncrementEpoch{});
}

}  // namespace bough::ops
