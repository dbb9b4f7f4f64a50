#include "ops/policy_settings.hpp"

#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "ops/settings.hpp"
#include "proto/bool_text.hpp"

namespace bough::ops {
namespace {

using proto::Setting;

std::string names_of(std::span<const policy::Policy> policies, std::string_view between) {
  std::string text;
  for (const policy::Policy& policy : policies) {
    if (!text.empty()) text += between;
    text += policy.name;
  }
  return text;
}

/// `take` (void(const policy::Policy*)) gets what the user named, `get` tells what is in force.
template <class Take, class Get>
Setting policy_row(std::string name, std::span<const policy::Policy> policies, std::string help,
                   Take take, Get get) {
  Setting row;
  row.name = std::move(name);
  row.group = "Policies";
  row.when = Setting::When::kRuntime;
  row.form = "POLICY";
  row.help = std::move(help);
  row.set = [policies, take](std::string_view text) -> std::string {
    const policy::Policy* const found = policy::find(policies, text);
    if (found == nullptr) return "wants one of: " + names_of(policies, ", ");
    take(found);
    return {};
  };
  row.get = std::move(get);
  row.fallback = row.get();
  return row;
}

/// The peer's: a switch as well as a policy.
Setting move_when_full_row(std::span<const policy::Policy> policies,
                           proto::LiveValue<const policy::Policy*>& bound) {
  Setting row = policy_row(
      "moveonenospc", policies,
      "a file that has no room left on its branch goes on, with all that is open of it, on another "
      "one that this create policy chooses (true: pfrd)",
      [&bound](const policy::Policy* policy) { bound = policy; },
      [&bound] {
        const policy::Policy* const policy = bound;
        return policy == nullptr ? proto::bool_text(false) : std::string(policy->name);
      });
  row.form = "BOOL|POLICY";
  row.bare = "true";
  row.set = [policies, &bound, named = std::move(row.set)](std::string_view text) -> std::string {
    const auto on = proto::parse_bool(text);
    if (!on) return named(text).empty() ? "" : "wants true, false or " + names_of(policies, ", ");
    bound = *on ? policy::find(policies, "pfrd") : nullptr;
    return {};
  };
  return row;
}

template <class Policies>
Setting category_row(std::string name, std::span<const policy::Policy> policies, Policies& bound,
                     std::string help) {
  return policy_row(
      std::move(name), policies, std::move(help),
      [&bound](const policy::Policy* policy) { bound = policy; },
      [&bound] {
        std::set<std::string_view> distinct;
        for (const auto& each : bound.all()) distinct.insert(each->name);
        std::string text;
        for (const std::string_view each : distinct) {
          if (!text.empty()) text += ',';
          text += each;
        }
        return text;
      });
}

template <class Policies, class Function>
Setting function_row(std::string name, std::span<const policy::Policy> policies, Policies& bound,
                     Function function, std::string help) {
  return policy_row(
      std::move(name), policies, std::move(help),
      [&bound, function](const policy::Policy* policy) { bound.set(function, policy); },
      [&bound, function] { return std::string(bound[function].name); });
}

Setting readdir_row(proto::LiveValue<ReaddirPolicy>& bound) {
  Setting row;
  row.name = "func.readdir";
  row.group = "Policies";
  row.when = Setting::When::kRuntime;
  row.form = "seq|cosr[:N[:M]]|cor[:N[:M]]";
  row.help =
      "how the copies of a directory are opened and read: one by one, opened at once, opened and "
      "read at once; by N threads, with M waiting for each";
  row.set = [&bound](std::string_view text) -> std::string {
    const auto policy = parse_readdir_policy(text);
    if (!policy) return "wants seq, cosr or cor, and perhaps numbers, such as cosr:4 or cor:8:2";
    bound = *policy;
    return {};
  };
  row.get = [&bound] { return readdir_policy_text(bound); };
  row.fallback = row.get();
  return row;
}

}  // namespace

void add_policy_settings(std::vector<Setting>& table, Settings& settings) {
  const auto creates = policy::create_policies();
  const auto searches = policy::search_policies();
  const auto actions = policy::action_policies();
  table.push_back(category_row("category.create", creates, settings.create,
                               "which branch gets what is new: " + names_of(creates, " ")));
  table.push_back(category_row("category.search", searches, settings.search,
                               "which copy is read; the same names"));
  table.push_back(category_row(
      "category.action", actions, settings.action,
      "which copies are changed or removed beside the one that is read; the same names"));

  table.push_back(move_when_full_row(creates, settings.move_when_full));

  const auto create = [&](const char* name, CreateFunction function, const char* help) {
    table.push_back(function_row(name, creates, settings.create, function, help));
  };
  const auto search = [&](const char* name, SearchFunction function, const char* help) {
    table.push_back(function_row(name, searches, settings.search, function, help));
  };
  const auto action = [&](const char* name, ActionFunction function, const char* help) {
    table.push_back(function_row(name, actions, settings.action, function, help));
  };
  search("func.access", SearchFunction::kAccess, "which copy's mode answers access(2)");
  action("func.chmod", ActionFunction::kChmod, "category.action, for chmod(2)");
  action("func.chown", ActionFunction::kChown, "category.action, for chown(2)");
  create("func.create", CreateFunction::kCreate,
         "category.create, for regular files; whether rename and link keep to the paths there are");
  search(
      "func.getattr", SearchFunction::kGetattr,
      "what a name is where branches differ: directory, file or link, and which one's attributes");
  search("func.getxattr", SearchFunction::kGetxattr,
         "which copy's extended attributes are read, and must be there to be set");
  action("func.link", ActionFunction::kLink,
         "erofs refuses hard links; else they are on the file's branch");
  search("func.listxattr", SearchFunction::kListxattr,
         "which copy's extended attributes are listed");
  create("func.mkdir", CreateFunction::kMkdir, "category.create, for directories");
  create("func.mknod", CreateFunction::kMknod, "category.create, for fifos, sockets and devices");
  search("func.open", SearchFunction::kOpen, "which copy of a regular file is shown and opened");
  table.push_back(readdir_row(settings.readdir));
  search("func.readlink", SearchFunction::kReadlink, "which copy of a symbolic link is followed");
  action("func.removexattr", ActionFunction::kRemovexattr, "category.action, for removexattr(2)");
  action("func.rename", ActionFunction::kRename, "category.action, for rename(2)");
  action("func.rmdir", ActionFunction::kRmdir, "category.action, for rmdir(2)");
  action("func.setxattr", ActionFunction::kSetxattr, "category.action, for setxattr(2)");
  create("func.symlink", CreateFunction::kSymlink, "category.create, for symbolic links");
  action("func.truncate", ActionFunction::kTruncate, "category.action, for truncate(2)");
  action("func.unlink", ActionFunction::kUnlink, "category.action, for unlink(2)");
  action("func.utimens", ActionFunction::kUtimens, "category.action, for utimensat(2)");
}

}  // namespace bough::ops
