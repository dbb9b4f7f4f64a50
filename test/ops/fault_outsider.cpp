#include "test/ops/fault_outsider.hpp"

#include <algorithm>

namespace bough::test {
namespace {

using Kind = Scenario::Kind;

constexpr std::string_view kNewcomer = "newcomer";
constexpr std::string_view kAway = ".away";

bool is_there(const std::filesystem::path& path) {
  struct stat ignored {};
  return ::lstat(path.c_str(), &ignored) == 0;
}

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::optional<std::filesystem::path> first_with(const Ground& ground, const std::string& path) {
  for (std::size_t i = 0; i < ground.branches(); ++i)
    if (is_there(ground.path(i) / path)) return ground.path(i);
  return std::nullopt;
}

void put_newcomer(const std::filesystem::path& path) {
  const std::string made = path.string() + ".made";
  std::ofstream(made) << kNewcomer;
  if (::chmod(made.c_str(), 0644) != 0) throw std::runtime_error("chmod " + made);
  if (std::filesystem::is_directory(std::filesystem::symlink_status(path)))
    std::filesystem::rename(path, path.string() + std::string(kAway));
  std::filesystem::rename(made, path);
}

void change_parent(const std::filesystem::path& directory, bool replace) {
  std::filesystem::rename(directory, directory.string() + std::string(kAway));
  if (replace) std::filesystem::create_directory(directory);
}

bool removes(const Scenario& scenario) {
  return scenario.name.rfind("unlink", 0) == 0 || scenario.name.rfind("rmdir", 0) == 0;
}
bool replaces(const Scenario& scenario) {
  return scenario.name.rfind("rename", 0) == 0 &&
         scenario.name.find("NOREPLACE") == std::string::npos &&
         scenario.name.find("EXCHANGE") == std::string::npos;
}

bool lies_at(const std::string& path, const std::string& top) {
  return path.rfind(top, 0) == 0 && (path.size() == top.size() || path[top.size()] == '/');
}

/// What is quoted at the end of an entry: a file's text.
std::string text_in(const std::string& what) {
  const auto at = what.find('\'');
  return what.front() != 'f' || at == std::string::npos ? "" : what.substr(at);
}

bool has_text(const Tree& tree, const std::string& text) {
  return std::any_of(tree.begin(), tree.end(),
                     [&](const auto& entry) { return text_in(entry.second) == text; });
}

/// Where a path may be now, if something above it was moved, by one of the two or by both.
std::vector<std::string> places(const Scenario& scenario, const std::string& path) {
  std::vector<std::string> all{path};
  const auto add = [&](const std::string& from, const std::string& to) {
    for (std::size_t i = all.size(); i-- > 0;)
      if (lies_at(all[i], from)) all.push_back(to + all[i].substr(from.size()));
  };
  for (const std::string& to : scenario.also) {
    add(scenario.about, to);
    add(to, scenario.about);
  }
  add(scenario.about, scenario.about + std::string(kAway));
  const std::string parent = parent_of(scenario.about);
  if (!parent.empty()) add(parent, parent + std::string(kAway));
  return all;
}

std::string lost_in(const Scenario& scenario, Change what, const Tree& before, const Tree& after) {
  std::string all;
  for (const auto& entry : before) {
    const std::string& path = entry.first;
    const std::string& was = entry.second;
    const bool about = path == scenario.about;
    const bool also =
        std::find(scenario.also.begin(), scenario.also.end(), path) != scenario.also.end();
    if (about && (what == Change::kRemove || what == Change::kReplace || removes(scenario)))
      continue;
    if (lies_at(path, scenario.about) && what == Change::kRemove) continue;
    if (also && (replaces(scenario) || what == Change::kTakeTarget)) continue;
    if (about || also) {
      const bool changes = scenario.kind == Kind::kChangesFile;
      if (was.front() == 'f' && !changes && !has_text(after, text_in(was)))
        all += "\n  lost: " + path;
      continue;
    }
    const auto all_places = places(scenario, path);
    const bool there = std::any_of(all_places.begin(), all_places.end(), [&](const auto& place) {
      const auto found = after.find(place);
      return found != after.end() && (found->second == was || was.front() == 'd');
    });
    if (!there) all += "\n  lost or different: " + path;
  }
  return all;
}

}  // namespace

bool change(const Ground& ground, const Scenario& scenario, Change what) {
  const std::string& about = scenario.about;
  if (what == Change::kTakeTarget) {
    if (scenario.also.empty() || first_with(ground, scenario.also.front())) return false;
    const auto on = first_with(ground, parent_of(scenario.also.front()));
    if (on) put_newcomer(*on / scenario.also.front());
    return on.has_value();
  }
  const bool there = what == Change::kRemove || what == Change::kMove || what == Change::kChmod;
  auto on = first_with(ground, about);
  if (!on && !there) on = first_with(ground, parent_of(about));
  if (!on || about.empty()) return false;
  const auto path = *on / about;
  switch (what) {
    case Change::kRemove:
      std::filesystem::remove_all(path);
      return true;
    case Change::kMove:
      std::filesystem::rename(path, path.string() + std::string(kAway));
      return true;
    case Change::kReplace:
      put_newcomer(path);
      return true;
    case Change::kChmod:
      return !std::filesystem::is_symlink(path) && ::chmod(path.c_str(), 0700) == 0;
    default:
      if (parent_of(about).empty()) return false;
      change_parent(path.parent_path(), what == Change::kReplaceParent);
      return true;
  }
}

std::string complaint_after(Change what, const Scenario& scenario, const GoodRun& good,
                            const Outcome& outcome, const Trees& after) {
  static constexpr std::array kNatural{ENOENT, ESTALE, EEXIST, ENOTDIR, EISDIR, ENOTEMPTY, EXDEV};
  std::string all;
  const bool told =
      (scenario.name == "access" && outcome.error == EACCES) ||
      // ext4, in a directory that was removed.
      (scenario.name == "tmpfile" && outcome.error == EPERM) ||
      ((scenario.name == "lookup of nothing" || scenario.name == "rmdir of a full directory") &&
       outcome.error == 0);
  if (outcome.error != good.outcome.error && !told &&
      std::find(kNatural.begin(), kNatural.end(), outcome.error) == kNatural.end())
    all += "\n  errno " + std::to_string(outcome.error) + " " + std::strerror(outcome.error);
  std::size_t newcomers = 0;
  for (std::size_t i = 0; i < after.size(); ++i) {
    all += lost_in(scenario, what, good.before[i], after[i]);
    for (const auto& [path, is] : after[i]) {
      if (path.find(".boughfs") != std::string::npos) all += "\n  left behind: " + path;
      if (text_in(is) != "'newcomer'") continue;
      ++newcomers;
      if (scenario.kind != Kind::kMakesNames && is.find("links 2") != std::string::npos &&
          scenario.name.rfind("link", 0) != 0)
        all += "\n  linked: " + path;
      if (is.find(" 644 ") == std::string::npos || is.find("user.new") != std::string::npos ||
          is.find(" new ") == std::string::npos)
        all += "\n  the newcomer was changed: " + is;
    }
  }
  const bool came = what == Change::kReplace || what == Change::kTakeTarget;
  const bool may_go = what == Change::kReplace ? removes(scenario) : replaces(scenario);
  if (came && newcomers == 0 && !may_go) all += "\n  the newcomer was lost";
  return all;
}

}  // namespace bough::test
