#include "test/ops/fault_verdict.hpp"

#include <array>
#include <iterator>

namespace bough::test {
namespace {

using Kind = Scenario::Kind;
using Layout = Ground::Layout;

bool begins(const Fault& fault, std::string_view with) {
  return fault.scenario.name.rfind(with, 0) == 0;
}
bool several(const Fault& fault) {
  return fault.layout == Layout::kSeveral;
}
bool moves_over(const Fault& fault) {
  return fault.scenario.name == "rename of d/f to p/taken" ||
         fault.scenario.name == "rename of d/k to d/e";
}

/// An errno that is not the fault's own.
struct Mapping {
  const char* why;
  bool (*applies)(const Fault&);
  int error;
};
constexpr std::array kMappings{
    Mapping{"a disk that is gone has no names", [](const Fault& f) { return f.error == ESTALE; },
            ENOENT},
    Mapping{"what is stale below a root says nothing of the disk",
            [](const Fault& f) { return f.error == ESTALE; }, EIO},
    Mapping{"an exchange wants both names on each branch",
            [](const Fault& f) {
              return f.error == ESTALE && f.scenario.name.find("EXCHANGE") != std::string::npos;
            },
            EXDEV},
};

/// What the branches may look like beside "all done" after a success, and beside "as before" after
/// a failure. Every copy of every name is as it was or done; nowhere anything else.
enum class Rest : std::uint8_t {
  kSameForUsers,  ///< and users see what they would see, in whatever copy
  kAnything,      ///< users may see either
};
struct Excuse {
  const char* why;
  bool (*applies)(const Fault&);
  Rest rest;
};
constexpr std::array kSuccesses{
    Excuse{"what is new goes to the next branch when one cannot tell its room",
           [](const Fault& f) {
             return f.scenario.kind == Kind::kMakesNames &&
                    (f.call == Call::kStatfs || f.call == Call::kStat || f.call == Call::kOpenRoot);
           },
           Rest::kSameForUsers},
    Excuse{"what is new goes to the next branch when one turned read-only",
           [](const Fault& f) { return f.scenario.kind == Kind::kMakesNames && f.error == EROFS; },
           Rest::kSameForUsers},
    Excuse{"copies are one file for users, and the first decides",
           [](const Fault& f) { return f.scenario.kind == Kind::kChangesFile && several(f); },
           Rest::kSameForUsers},
    Excuse{"a copy behind the new name is not seen",
           [](const Fault& f) {
             return moves_over(f) && (f.call == Call::kUnlinkAt || f.call == Call::kOpenDirectory);
           },
           Rest::kSameForUsers},
    Excuse{"a disk that is gone takes no part", [](const Fault& f) { return f.error == ESTALE; },
           Rest::kAnything},
};
constexpr std::array kFailures{
    Excuse{"unlink removes the copies that it can",
           [](const Fault& f) { return begins(f, "unlink") && f.call == Call::kUnlinkAt; },
           Rest::kAnything},
    Excuse{"rmdir removes the copy that users see last",
           [](const Fault& f) { return begins(f, "rmdir") && f.call == Call::kRmdirAt; },
           Rest::kSameForUsers},
    Excuse{"what was replaced cannot come back",
           [](const Fault& f) { return moves_over(f) && several(f) && f.call == Call::kRenameAt; },
           Rest::kAnything},
    Excuse{"what was cut off cannot come back",
           [](const Fault& f) {
             return (f.scenario.name == "setattr: a smaller size" ||
                     f.scenario.name == "setattr: size by handle") &&
                    f.call == Call::kStat;
           },
           Rest::kAnything},
};

/// What users see: of each name the first copy.
Tree shown(const Trees& trees) {
  Tree all;
  for (const Tree& tree : trees) all.insert(tree.begin(), tree.end());
  return all;
}

/// Whether what branch `at` has under `path` is what it had, what it would have after the work was
/// done, or what the work would have put on another branch.
bool known(const Fault& fault, const GoodRun& good, std::size_t at, const std::string& path,
           const std::string* what) {
  const auto has = [&](const Tree& tree) {
    const auto found = tree.find(path);
    return what == nullptr ? found == tree.end() : found != tree.end() && found->second == *what;
  };
  if (has(good.before[at]) || has(good.after[at])) return true;
  // A copy of a name that is replaced.
  if (what == nullptr) return moves_over(fault) && path == fault.scenario.also.front();
  for (std::size_t i = 0; i < good.after.size(); ++i)
    if (good.before[i].count(path) == 0 && has(good.after[i])) return true;
  return false;
}

bool copies_are_whole(const Fault& fault, const GoodRun& good, const Trees& trees) {
  for (std::size_t i = 0; i < trees.size(); ++i) {
    for (const auto& [path, what] : trees[i])
      if (!known(fault, good, i, path, &what)) return false;
    for (const auto& [path, what] : good.before[i])
      if (trees[i].count(path) == 0 && !known(fault, good, i, path, nullptr)) return false;
  }
  return true;
}

bool excused(std::span<const Excuse> excuses, const Fault& fault, const GoodRun& good,
             const Trees& expected, const Trees& seen) {
  for (const Excuse& excuse : excuses)
    if (excuse.applies(fault) && copies_are_whole(fault, good, seen) &&
        (excuse.rest == Rest::kAnything || shown(seen) == shown(expected)))
      return true;
  return false;
}

/// A listing without the branch whose disk is gone, the room of the branches that tell theirs, and
/// the root, which answers even where no branch does.
bool answer_may_differ(const Fault& fault) {
  if (begins(fault, "readdir")) return fault.error == ESTALE;
  return begins(fault, "statfs") || fault.scenario.name == "getattr of the root";
}

}  // namespace

std::string difference(const Trees& expected, const Trees& seen) {
  std::string all;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const std::string on = "\n  branch " + std::to_string(i) + ": ";
    for (const auto& [path, what] : expected[i]) {
      const auto found = seen[i].find(path);
      if (found == seen[i].end())
        all += on + "no " + path + " (" + what + ")";
      else if (found->second != what)
        all += on + path + " is " + found->second + ", not " + what;
    }
    for (const auto& [path, what] : seen[i])
      if (expected[i].count(path) == 0) all += on + "new " + path + " (" + what + ")";
  }
  return all;
}

Trees without_clones(Trees trees, const Trees& before) {
  for (std::size_t i = 0; i < trees.size(); ++i) {
    const auto is_clone = [&](const auto& entry) {
      if (entry.second.front() != 'd' || before[i].count(entry.first) != 0) return false;
      return std::any_of(before.begin(), before.end(), [&](const Tree& other) {
        const auto found = other.find(entry.first);
        return found != other.end() && found->second == entry.second;
      });
    };
    for (auto at = trees[i].begin(); at != trees[i].end();)
      at = is_clone(*at) ? trees[i].erase(at) : std::next(at);
  }
  return trees;
}

std::string complaint(const Fault& fault, const GoodRun& good, const Outcome& outcome,
                      const Trees& after) {
  std::string all;
  if (outcome.error == good.outcome.error) {
    if (outcome.answer != good.outcome.answer && !answer_may_differ(fault))
      all += "\n  answer " + outcome.answer;
    if (after != good.after && !excused(kSuccesses, fault, good, good.after, after))
      all += "\n  half done, told as done" + difference(good.after, after);
    return all;
  }
  // A directory that only looks empty while the disk with its content is gone.
  if (outcome.error == 0 && fault.error == ESTALE &&
      fault.scenario.name == "rmdir of a full directory")
    return all;
  const bool mapped = std::any_of(kMappings.begin(), kMappings.end(), [&](const Mapping& mapping) {
    return mapping.applies(fault) && mapping.error == outcome.error;
  });
  if (outcome.error != fault.error && !mapped)
    all += "\n  errno " + std::to_string(outcome.error) + " " + std::strerror(outcome.error);
  const Trees left = without_clones(after, good.before);
  if (left != good.before && !excused(kFailures, fault, good, good.before, left))
    all += "\n  half done" + difference(good.before, left);
  return all;
}

bool can_be_repeated(const Fault& fault) {
  if (fault.error == ESTALE && fault.scenario.name == "rmdir of a full directory") return false;
  return !(moves_over(fault) && several(fault) && fault.call == Call::kRenameAt);
}

}  // namespace bough::test
