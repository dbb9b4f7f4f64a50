#include "cli/pool_info.hpp"

#include <sys/statvfs.h>

#include <algorithm>
#include <charconv>

#include "cli/configuration.hpp"
#include "cli/mountinfo.hpp"

namespace bough::cli {
namespace {

void ask_disk(BranchInfo& branch) {
  struct statvfs room = {};
  if (::statvfs(branch.path.c_str(), &room) != 0) return;
  branch.space = BranchInfo::Space{std::uint64_t{room.f_bavail} * room.f_frsize,
                                   std::uint64_t{room.f_blocks} * room.f_frsize};
  branch.read_only = (room.f_flag & ST_RDONLY) != 0;
}

/// "path=MODE[,MINFREE]"; nothing: this is only the beginning of one.
std::optional<BranchInfo> parse_shown_branch(std::string_view text) {
  const auto equals = text.rfind('=');
  if (equals == std::string_view::npos) return std::nullopt;
  const std::string_view tail = text.substr(equals + 1);
  const std::string_view mode = tail.substr(0, tail.find(','));
  if (mode != "RW" && mode != "RO" && mode != "NC") return std::nullopt;
  BranchInfo branch;
  branch.path = text.substr(0, equals);
  branch.mode = mode;
  if (mode.size() < tail.size()) branch.min_free = tail.substr(mode.size() + 1);
  return branch;
}

std::string value_of(const KeyValues& all, std::string_view key) {
  const auto at =
      std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.first == key; });
  return at == all.end() ? std::string() : at->second;
}

/// Calls `take` (void(std::string_view)) for each part of what the pool joined.
template <class Take>
void each_part(std::string_view text, Take take) {
  constexpr std::string_view kBetween = "; ";
  while (!text.empty()) {
    const auto end = std::min(text.find(kBetween), text.size());
    take(text.substr(0, end));
    text.remove_prefix(std::min(end + kBetween.size(), text.size()));
  }
}

/// "COUNT in|left PATH".
void note_open_files(const std::string& text, PoolInfo& info) {
  each_part(text, [&](std::string_view part) {
    BranchInfo branch;
    const auto count = std::from_chars(part.data(), part.data() + part.size(), branch.open_files);
    part.remove_prefix(static_cast<std::size_t>(count.ptr - part.data()));
    const bool left = part.starts_with(" left ");
    if (!left && !part.starts_with(" in ")) return;
    branch.path = part.substr(left ? 6 : 4);
    if (left) {
      info.left.push_back(std::move(branch));
      return;
    }
    for (BranchInfo& each : info.branches)
      if (each.path == branch.path) each.open_files = branch.open_files;
  });
}

/// "PATH: why".
void note_absent(const std::string& text, PoolInfo& info) {
  each_part(text, [&](std::string_view part) {
    for (BranchInfo& each : info.branches)
      if (part.starts_with(each.path + ": ")) each.absent = part.substr(each.path.size() + 2);
  });
}

/// What the kernel or the mount made of a default, which nobody set.
bool comes_by_itself(const std::string& key, const std::string& value, const KeyValues& all,
                     bool of_root) {
  constexpr const char* kKernelsReadAhead = "128";
  if (key == "allow-other") return of_root && value == "true";
  if (key == "readahead") return value == kKernelsReadAhead;
  std::uint64_t background = 0;
  const std::string most = value_of(all, "max-background");
  (void)std::from_chars(most.data(), most.data() + most.size(), background);
  return key == "congestion-threshold" && value == std::to_string(background * 3 / 4);
}

/// Root mounted it: then it is for all users.
bool is_of_root(const std::string& mount_point) {
  const std::optional<MountInfo> mount = mount_of(mount_point);
  return mount && ("," + mount->super_options + ",").find(",user_id=0,") != std::string::npos;
}

KeyValues changed_of(const KeyValues& all, bool of_root) {
  const Configuration defaults;
  KeyValues changed;
  for (const auto& [key, value] : all) {
    const proto::Setting* const row = defaults.table.find(key);
    if (row != nullptr && row->name == key && row->get && row->get() != value &&
        key != "branches" && key != "mountpoint" && key != "fsname" &&
        !comes_by_itself(key, value, all, of_root))
      changed.emplace_back(key, value);
  }
  return changed;
}

}  // namespace

std::vector<BranchInfo> parse_shown_branches(std::string_view text) {
  std::vector<BranchInfo> branches;
  std::size_t begin = 0;
  for (std::size_t at = 0; at <= text.size(); ++at) {
    if (at < text.size() && text[at] != ':') continue;
    auto branch = parse_shown_branch(text.substr(begin, at - begin));
    if (!branch) continue;
    branches.push_back(*std::move(branch));
    begin = at + 1;
  }
  return branches;
}

KeyValues all_values(const ControlClient& pool) {
  KeyValues all;
  for (const std::string& key : pool.keys()) all.emplace_back(key, pool.get(key));
  return all;
}

PoolInfo read_info(const ControlClient& pool) {
  PoolInfo info;
  info.mount_point = pool.mount_point();
  const KeyValues all = all_values(pool);
  for (const auto& [key, value] : all) {
    if (key == "version") info.version = value;
    if (key == "pid") info.pid = value;
    if (key == "branches") info.branches = parse_shown_branches(value);
    if (key == "minfreespace" || key.starts_with("category.") || key.starts_with("func."))
      info.policies.emplace_back(key, value);
    if (key.starts_with("cache.") || (key.starts_with("passthrough.") && !value.empty()))
      info.caching.emplace_back(key, value);
  }
  info.changed = changed_of(all, is_of_root(info.mount_point));
  note_open_files(value_of(all, "open-files"), info);
  note_absent(value_of(all, "absent-branches"), info);
  each_part(value_of(all, "moves"), [&](std::string_view part) { info.moves.emplace_back(part); });
  if (value_of(all, "moveonenospc") != "false") {
    const std::string pinned = value_of(all, "pinned-files");
    (void)std::from_chars(pinned.data(), pinned.data() + pinned.size(), info.pinned_files);
  }
  for (BranchInfo& branch : info.branches)
    if (branch.absent.empty()) ask_disk(branch);
  return info;
}

}  // namespace bough::cli
