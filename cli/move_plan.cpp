#include "cli/move_plan.hpp"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "cli/tree_walk.hpp"
#include "ops/control_names.hpp"

namespace bough::cli {
namespace {

constexpr std::uint64_t kBlock = 512;

/// What the pool keeps in the roots of branches, or hides there; and what mkfs(8) makes.
bool is_no_users(std::string_view relative) {
  if (relative.starts_with(".boughfs-") && relative.find('/') == relative.npos) return true;
  return relative == "lost+found" || std::find(ops::kControlNames.begin(), ops::kControlNames.end(),
                                               relative) != ops::kControlNames.end();
}

std::string joined(const std::string& branch, const std::string& relative) {
  if (relative.empty()) return branch;
  return branch.ends_with('/') ? branch + relative : branch + "/" + relative;
}

class Survey {
 public:
  Survey(MovePlan& plan, const std::string& branch, const std::string& to)
      : plan_(plan), branch_(branch), to_(to) {}

  void run(const std::string& relative) {
    const std::string start = joined(branch_, relative);
    struct stat info = {};
    if (::lstat(start.c_str(), &info) != 0) {
      if (errno != ENOENT && errno != ENOTDIR) stays(start, errno);
      return;
    }
    if (S_ISDIR(info.st_mode))
      walk(start, [this](const std::string& path, const struct stat& found) { add(path, found); });
    else
      add(start, info);
    find_other_names(relative.empty());
    finish();
  }

 private:
  template <class Add>
  void walk(const std::string& start, Add add_one) {
    walk_tree(
        start,
        [&](const std::string& path) {
          struct stat info = {};
          if (::lstat(path.c_str(), &info) == 0)
            add_one(path, info);
          else if (errno != ENOENT)
            stays(path, errno);
        },
        [&](const std::string& path, int error) { stays(path, error); });
  }
  [[nodiscard]] std::string relative(const std::string& path) const {
    const auto first = path.find_first_not_of('/', std::min(path.size(), branch_.size()));
    return first == std::string::npos ? std::string() : path.substr(first);
  }
  void stays(const std::string& path, int error) {
    plan_.stays.push_back({path, std::strerror(error)});
  }

  void add(const std::string& path, const struct stat& info) {
    const std::string name = relative(path);
    if (name.empty() || is_no_users(name)) return;
    if (name.starts_with("lost+found/")) return;
    MoveItem item{{name}, branch_, to_, static_cast<std::uint64_t>(info.st_blocks) * kBlock};
    if (S_ISDIR(info.st_mode)) {
      item.directory = true;
      item.bytes = 0;
      directories_.push_back(std::move(item));
    } else if (info.st_nlink < 2) {
      plan_.items.push_back(std::move(item));
    } else {
      Linked& linked = linked_[info.st_ino];
      linked.links = info.st_nlink;
      if (linked.item.names.empty())
        linked.item = std::move(item);
      else
        linked.item.names.push_back(name);
    }
  }

  /// Names that lie elsewhere on the branch.
  void find_other_names(bool saw_all) {
    bool lacks = false;
    for (const auto& [number, linked] : linked_)
      lacks = lacks || linked.item.names.size() < linked.links;
    if (!lacks || saw_all) return;
    walk(branch_, [this](const std::string& path, const struct stat& info) {
      const auto found = linked_.find(info.st_ino);
      if (S_ISDIR(info.st_mode) || found == linked_.end()) return;
      auto& names = found->second.item.names;
      std::string name = relative(path);
      if (std::find(names.begin(), names.end(), name) == names.end())
        names.push_back(std::move(name));
    });
  }

  void finish() {
    for (auto& [number, linked] : linked_) {
      const std::size_t found = linked.item.names.size();
      if (found < linked.links)
        plan_.stays.push_back({joined(branch_, linked.item.names.front()),
                               std::to_string(linked.links - found) +
                                   " of its names are not on the branch, or cannot be seen"});
      else
        plan_.items.push_back(std::move(linked.item));
    }
    // A walk comes to what is above first.
    std::reverse(directories_.begin(), directories_.end());
    plan_.items.insert(plan_.items.end(), directories_.begin(), directories_.end());
  }

  struct Linked {
    MoveItem item;
    std::size_t links = 0;
  };
  MovePlan& plan_;
  const std::string& branch_;
  const std::string& to_;
  std::map<ino_t, Linked> linked_;
  std::vector<MoveItem> directories_;
};

double share(const Shelf& shelf) {
  return shelf.total == 0 ? 0 : static_cast<double>(shelf.used) / static_cast<double>(shelf.total);
}

}  // namespace

std::uint64_t MovePlan::bytes() const {
  std::uint64_t all = 0;
  for (const MoveItem& item : items) all += item.bytes;
  return all;
}

std::size_t MovePlan::files() const {
  return static_cast<std::size_t>(std::count_if(
      items.begin(), items.end(), [](const MoveItem& item) { return !item.directory; }));
}

void add_to_plan(MovePlan& plan, const std::string& from, const std::string& relative,
                 const std::string& to) {
  Survey(plan, from, to).run(relative);
  std::stable_partition(plan.items.begin(), plan.items.end(),
                        [](const MoveItem& item) { return !item.directory; });
}

void drop_duplicates(MovePlan& plan) {
  std::set<std::string> seen;
  std::erase_if(plan.items, [&](const MoveItem& item) {
    bool again = false;
    for (const std::string& name : item.names)
      again |= !seen.insert(joined(item.from, name)).second;
    return again;
  });
  std::set<std::string> staying;
  std::erase_if(plan.stays, [&](const Staying& each) { return !staying.insert(each.path).second; });
}

std::vector<MoveItem> level(std::vector<Shelf> shelves, double within) {
  std::vector<MoveItem> moves;
  std::uint64_t used = 0;
  std::uint64_t total = 0;
  for (Shelf& shelf : shelves) {
    used += shelf.used;
    total += shelf.total;
    std::stable_sort(shelf.items.begin(), shelf.items.end(),
                     [](const MoveItem& a, const MoveItem& b) { return a.bytes < b.bytes; });
  }
  if (total == 0) return moves;
  const double mean = static_cast<double>(used) / static_cast<double>(total);
  const double far = within / 100;
  const auto lacks = [&](const Shelf& shelf) {
    return mean * static_cast<double>(shelf.total) - static_cast<double>(shelf.used);
  };
  for (;;) {
    const bool good = std::all_of(shelves.begin(), shelves.end(), [&](const Shelf& shelf) {
      return std::abs(share(shelf) - mean) <= far;
    });
    if (good) break;
    // From the fullest that has something that does not overshoot at either end.
    std::stable_sort(shelves.begin(), shelves.end(),
                     [](const Shelf& a, const Shelf& b) { return share(a) > share(b); });
    Shelf& emptiest = shelves.back();
    bool moved = false;
    for (Shelf& fullest : shelves) {
      const double most = std::min(-lacks(fullest), lacks(emptiest));
      if (&fullest == &emptiest || most <= 0) break;
      auto fits = std::find_if(
          fullest.items.rbegin(), fullest.items.rend(),
          [&](const MoveItem& item) { return static_cast<double>(item.bytes) <= most; });
      if (fits == fullest.items.rend() || fits->bytes == 0) continue;
      MoveItem item = std::move(*fits);
      fullest.items.erase(std::next(fits).base());
      fullest.used -= std::min(fullest.used, item.bytes);
      emptiest.used += item.bytes;
      item.to = emptiest.branch;
      moves.push_back(std::move(item));
      moved = true;
      break;
    }
    if (!moved) break;
  }
  return moves;
}

MovePlan plan_balance(const std::vector<BranchInfo>& branches, double within) {
  MovePlan plan;
  std::map<std::uint64_t, Shelf> by_disk;
  for (const BranchInfo& branch : branches) {
    struct statvfs room = {};
    struct stat root = {};
    if (!branch.absent.empty() || branch.mode != "RW" || branch.read_only ||
        ::statvfs(branch.path.c_str(), &room) != 0 || ::stat(branch.path.c_str(), &root) != 0)
      continue;
    Shelf& shelf = by_disk[root.st_dev];
    shelf.total = std::uint64_t{room.f_blocks} * room.f_frsize;
    shelf.used = shelf.total - std::min(shelf.total, std::uint64_t{room.f_bavail} * room.f_frsize);
    if (shelf.branch.empty()) shelf.branch = branch.path;
    MovePlan here;
    add_to_plan(here, branch.path, "", "");
    std::erase_if(here.items, [](const MoveItem& item) { return item.directory; });
    std::move(here.items.begin(), here.items.end(), std::back_inserter(shelf.items));
    std::move(here.stays.begin(), here.stays.end(), std::back_inserter(plan.stays));
  }
  std::vector<Shelf> shelves;
  for (auto& [disk, shelf] : by_disk) shelves.push_back(std::move(shelf));
  plan.items = level(std::move(shelves), within);
  return plan;
}

}  // namespace bough::cli
