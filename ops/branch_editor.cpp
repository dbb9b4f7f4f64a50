#include "ops/branch_editor.hpp"

#include <algorithm>
#include <cstring>
#include <set>

#include "ops/announce.hpp"
#include "ops/locate.hpp"
#include "ops/operations.hpp"
#include "ops/settle_moves.hpp"

namespace bough::ops {
namespace {

using Kind = BranchChange::Kind;

bool holds(const BranchSet& set, const std::shared_ptr<Branch>& branch) {
  return std::find(set.begin(), set.end(), branch) != set.end();
}

/// The directory as it is known by now: its disk may have come back under another number.
FileId identity(const Branch& branch) noexcept {
  FileId root = branch.root_id();
  root.device = branch.device();
  return root;
}

bool one_inside_other(const std::string& a, const std::string& b) {
  return lies_inside(a, b) || lies_inside(b, a);
}

/// The first element that is no absolute path: a daemon's own directory is not its user's.
std::string_view relative_element(std::string_view list) {
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(':', begin), list.size());
    const std::string_view element = list.substr(begin, end - begin);
    if (!element.empty() && element.front() != '/') return element;
    begin = end + 1;
  }
  return {};
}

}  // namespace

bool lies_inside(std::string_view path, std::string_view outer) {
  if (outer == "/") outer = "";
  return path.size() > outer.size() + 1 && path.starts_with(outer) && path[outer.size()] == '/';
}

BranchEditor::BranchEditor(Pool& pool, PlaceFacts places, BranchWitness& witness)
    : pool_(pool), places_(std::move(places)), witness_(witness) {}

void BranchEditor::tell(const std::string& line) const {
  if (!line.empty()) pool_.complain(line);
}

std::string BranchEditor::set(std::string_view value) {
  const auto change = parse_branch_change(value);
  if (!change) return std::string(kBranchInstructions);
  const auto now = pool_.branches.snapshot();
  for (const auto& branch : *now) next_id_ = std::max(next_id_, branch->id() + 1);
  std::string why;
  const Members next = plan(*now, *change, why);
  if (why.empty() && next.empty()) why = "would leave the pool without a branch";
  if (why.empty()) why = clash(*now, next);
  if (!why.empty()) return why;
  publish(*now, next);
  for (const Member& member : next)
    if (!holds(*now, member.branch)) tell(witness_.uses(*member.branch));
  const auto set = pool_.branches.snapshot();
  for (const auto& branch : *now)
    if (!holds(*set, branch)) tell(witness_.forgets(*branch));
  const bool any_new = std::any_of(
      next.begin(), next.end(), [&](const Member& member) { return !holds(*now, member.branch); });
  if (any_new) finish_moves(pool_);
  return {};
}

BranchEditor::Members BranchEditor::plan(const BranchSet& now, const BranchChange& change,
                                         std::string& why) {
  Members next;
  for (std::size_t i = 0; i < now.size(); ++i) next.push_back(now.member(i));
  switch (change.kind) {
    case Kind::kReplace:
      return named(now, change, why);
    case Kind::kAppend:
    case Kind::kPrepend: {
      const Members added = named(now, change, why);
      next.insert(change.kind == Kind::kAppend ? next.end() : next.begin(), added.begin(),
                  added.end());
      break;
    }
    case Kind::kRemove: {
      std::vector<std::string> paths;
      for (const Member& member : next) paths.push_back(member.branch->path());
      if (const std::string none = naming_none(change.list, paths); !none.empty())
        why = "was not changed: no branch of the pool is " + none;
      next.erase(std::remove_if(next.begin(), next.end(),
                                [&](const Member& member) {
                                  return is_named(change.list, member.branch->path());
                                }),
                 next.end());
      break;
    }
    case Kind::kRemoveFirst:
      next.erase(next.begin());
      break;
    case Kind::kRemoveLast:
      next.pop_back();
      break;
  }
  return next;
}

BranchEditor::Members BranchEditor::named(const BranchSet& now, const BranchChange& change,
                                          std::string& why) {
  if (const auto element = relative_element(change.list); !element.empty()) {
    why = "wants absolute paths: " + std::string(element) + " is not one";
    return {};
  }
  KnownPlaces known;
  known.pool = places_.mounted_at();
  for (const auto& branch : now) known.branches.push_back(branch->path());
  // The mount point of a missing disk may be missing too: its branch stays where a pattern means
  // it.
  std::set<std::string> by_pattern;
  known.expected = [&, expected = witness_.expectation(known.pool)](const std::string& pattern) {
    std::vector<std::string> meant = expected(pattern);
    for (const auto& branch : now)
      if (branch->absent() && is_meant(pattern, branch->path())) meant.push_back(branch->path());
    for (const std::string& path : meant)
      if (path != pattern) by_pattern.insert(path);
    return meant;
  };
  std::string mistake;
  const std::vector<BranchSpec> specs = parse_branches(change.list, mistake, known);
  if (!mistake.empty()) why = "was not changed: " + mistake;
  Members members;
  for (const BranchSpec& spec : specs) {
    const auto at = std::find(known.branches.begin(), known.branches.end(), spec.path);
    if (at == known.branches.end()) {
      members.push_back(opened(spec, by_pattern.contains(spec.path), why));
      if (!why.empty()) return {};
      continue;
    }
    const auto index = static_cast<std::size_t>(at - known.branches.begin());
    members.push_back({now.shared(index), spec.mode, spec.min_free});
  }
  return members;
}

Member BranchEditor::opened(const BranchSpec& spec, bool meant, std::string& why) {
  const std::string& path = spec.path;
  if (const std::string objection = places_.objection(path); !objection.empty()) {
    why = "was not changed: " + objection;
    return {};
  }
  if (next_id_ == kNoBranch) {
    why = "was changed too often: mount the pool anew";
    return {};
  }
  Member member{nullptr, spec.mode, spec.min_free};
  auto branch = open_with_relief(
      pool_, [&] { return open_or_expect(pool_.backing, next_id_, spec, pool_.absences); });
  if (!branch) {
    why = "was not changed: branch " + path +
          " cannot be opened: " + std::strerror(branch.error().value());
    return {};
  }
  const bool may_be_absent = meant && pool_.settings.branch_absent != BranchAbsent::kRefuse;
  if ((*branch)->absent() && !may_be_absent) {
    why = "was not changed: branch " + path + " is absent: " + (*branch)->why_absent();
    return {};
  }
  ++next_id_;
  member.branch = *std::move(branch);
  member.branch->attend(pool_.absences);
  return member;
}

std::string BranchEditor::clash(const BranchSet& now, const Members& next) const {
  const std::vector<std::string> pool = places_.mounted_at();
  for (std::size_t i = 0; i < next.size(); ++i) {
    const Branch& branch = *next[i].branch;
    const bool is_new = !holds(now, next[i].branch);
    for (const std::string& place : pool)
      if (is_new && lies_inside(place, branch.path()))
        return "was not changed: the pool at " + place + " lies inside " + branch.path() +
               " and would contain itself";
    for (std::size_t k = 0; k < next.size(); ++k) {
      if (k == i) continue;
      const Branch& other = *next[k].branch;
      if (&other == &branch) return "was not changed: " + branch.path() + " is in the pool already";
      if (is_new && !branch.absent() && identity(other) == identity(branch))
        return "was not changed: " + branch.path() + " is the same directory as branch " +
               other.path();
      if (is_new && one_inside_other(branch.path(), other.path()))
        return "was not changed: of " + branch.path() + " and " + other.path() +
               " one lies inside the other: each of its files would have two paths in the pool";
    }
  }
  return {};
}

void BranchEditor::publish(const BranchSet& now, const Members& next) {
  std::vector<std::shared_ptr<Branch>> gone;
  std::vector<Member> left;
  const std::set<BranchId> open = pool_.handles.branches_of_files();
  for (std::size_t i = 0; i < now.size(); ++i) {
    const bool stays = std::any_of(next.begin(), next.end(), [&](const Member& member) {
      return member.branch == now.shared(i);
    });
    if (stays) continue;
    gone.push_back(now.shared(i));
    left.push_back(now.member(i));
  }
  for (const Member& member : now.left())
    if (open.count(member.branch->id()) != 0) left.push_back(member);
  const bool same_places =
      gone.empty() && std::equal(next.begin(), next.end(), now.begin(), now.end(),
                                 [](const Member& member, const std::shared_ptr<Branch>& branch) {
                                   return member.branch == branch;
                                 });
  const auto set = std::make_shared<const BranchSet>(next, std::move(left), now.serial() + 1);
  pool_.branches.replace(set);
  if (same_places) return;
  pool_.free_names.forget_all();
  let_go_of(gone, *set);
  const Announced told = announce_new_places(pool_);
  if (told == Announced::kInPart)
    pool_.complain(
        "branches: the kernel was told of a part of the names that it keeps; it asks for the "
        "others when cache.entry has passed");
}

void BranchEditor::let_go_of(const std::vector<std::shared_ptr<Branch>>& gone,
                             const BranchSet& now) {
  if (gone.empty()) return;
  for (const auto& branch : gone) branch->retire();
  pool_.directories.moved();
  pool_.directories.clear();
  let_go_of_listings(pool_);
  for (const NodeTable::Victim& victim : pool_.nodes.victims()) {
    // While the file is open its disk is busy anyway.
    if (victim.held) continue;
    const bool is_file = victim.branch != kNoBranch;
    const auto stat =
        is_file ? Result<FileStat>(FileStat{}) : pool_.backing.stat(victim.descriptor->get());
    const auto on = [&](const auto& branches) {
      return std::any_of(branches.begin(), branches.end(), [&](const auto& branch) {
        return is_file ? branch->id() == victim.branch
                       : stat && branch->device() == stat->id.device;
      });
    };
    if (on(gone) && !on(now)) pool_.nodes.drop_victim(victim.node);
  }
}

}  // namespace bough::ops
