#include "cli/subcommands/move.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "cli/control_client.hpp"
#include "cli/move_report.hpp"
#include "cli/move_rounds.hpp"
#include "cli/mover.hpp"
#include "cli/pool_info.hpp"
#include "cli/pool_of.hpp"
#include "cli/pulse.hpp"
#include "ops/fd.hpp"
#include "proto/size_text.hpp"
#include "session/mount.hpp"

namespace bough::cli {
namespace {

namespace fs = std::filesystem;

/// What all three have.
struct Wishes {
  bool go = false;
  bool json = false;
  bool verify = false;
  std::string rate;
};

void add_wishes(CLI::App& app, Wishes& wishes) {
  app.add_flag("--go", wishes.go, "do it; without this only the plan is shown");
  app.add_flag("--verify", wishes.verify,
               "read each copy back from its disk, and compare, before the old file goes");
  app.add_option("--max-rate", wishes.rate, "bytes a second for all together, as 20M")
      ->type_name("RATE");
  app.add_flag("--json", wishes.json, "one JSON object a line, schema boughfs.move/1");
}

/// False: it was asked for help only.
bool parsed(CLI::App& app, int argc, char* const argv[]) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0)
      throw StartError(ExitStatus::kUsage,
                       std::string(error.what()) + "; " + app.get_name() + " --help explains");
    app.exit(error);
    return false;
  }
  return true;
}

std::uint64_t rate_of(const Wishes& wishes) {
  if (wishes.rate.empty()) return 0;
  const auto rate = proto::parse_size(wishes.rate);
  if (!rate || *rate == 0)
    throw StartError(ExitStatus::kUsage,
                     "--max-rate " + wishes.rate + ": bytes a second are wanted, as 500K or 20M");
  return *rate;
}

std::string all_paths(const std::vector<BranchInfo>& branches) {
  std::string all;
  for (const BranchInfo& branch : branches) all += " " + branch.path;
  return all;
}

class Pool {
 public:
  explicit Pool(const std::string& path) : mount_(pool_of(path)), root_(root_of(mount_)) {
    if (const std::string wrong = about(pulse_of(root_)); !wrong.empty())
      throw StartError(ExitStatus::kSystem, "the pool at " + root_ + " " + wrong);
    info_ = read_info(ControlClient(path));
  }

  [[nodiscard]] const std::string& root() const noexcept { return root_; }
  [[nodiscard]] const MountInfo& mount() const noexcept { return mount_; }
  [[nodiscard]] const std::vector<BranchInfo>& branches() const noexcept { return info_.branches; }
  [[nodiscard]] const BranchInfo& branch(std::string path) const {
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    for (const BranchInfo& each : info_.branches)
      if (each.path == path) return each;
    throw StartError(
        ExitStatus::kUsage,
        path + ": the pool at " + root_ + " has no such branch, but" + all_paths(info_.branches));
  }
  /// Of a name in the pool, from its root, without a leading slash.
  [[nodiscard]] std::string relative(const std::string& path) const {
    std::error_code failed;
    fs::path whole = fs::absolute(path, failed).lexically_normal();
    if (!whole.has_filename()) whole = whole.parent_path();
    // What the name itself leads to does not count.
    const bool is_top = whole == fs::path(mount_.mount_point);
    fs::path real = fs::canonical(is_top ? whole : whole.parent_path(), failed);
    if (failed) throw StartError(ExitStatus::kUsage, path + ": " + failed.message());
    if (!is_top) real /= whole.filename();
    const std::string inside = mount_.root + real.string().substr(mount_.mount_point.size());
    const auto first = inside.find_first_not_of('/');
    return first == std::string::npos ? "" : inside.substr(first);
  }

  /// The pool does what such a user wants. Asked of it by a move of nothing.
  void want_rights() const {
    struct statvfs room = {};
    if (::statvfs(root_.c_str(), &room) == 0 && (room.f_flag & ST_RDONLY) != 0)
      throw StartError(ExitStatus::kSystem, "the pool at " + root_ + " is mounted read-only");
    const int error = Mover::try_rights(root_, info_.branches.front().path);
    if (error == EPERM || error == EACCES)
      throw StartError(ExitStatus::kSystem,
                       "only root, or who mounted the pool at " + root_ + ", may move files in it");
    if (error != ENOENT)
      throw StartError(ExitStatus::kSystem,
                       "the pool at " + root_ + " cannot move files: another boughfs serves it");
  }

 private:
  const MountInfo mount_;
  const std::string root_;
  PoolInfo info_;
};

void want_present(const BranchInfo& branch) {
  if (!branch.absent.empty())
    throw StartError(ExitStatus::kSystem, "branch " + branch.path + " is absent: " + branch.absent);
  if (branch.mode == "RO" || branch.read_only)
    throw StartError(ExitStatus::kUsage,
                     "branch " + branch.path + " is read-only: nothing can be changed there");
}

/// Moves a plan; whether all was tried.
using Carry =
    std::function<bool(Mover&, MovePlan&, const std::function<void(const Mover::Progress&)>&,
                       const std::function<void(const std::string&)>&)>;

ExitStatus carry_out(const Pool& pool, MovePlan& plan, const Wishes& wishes, MoveReport& report,
                     const Carry& carry) {
  if (!wishes.go) {
    report.plan(plan, pool.branches(), false);
    return plan.stays.empty() ? ExitStatus::kOk : ExitStatus::kStayed;
  }
  report.plan(plan, pool.branches(), true);
  Mover mover(pool.root(), {rate_of(wishes), wishes.verify});
  const bool all = carry(
      mover, plan, [&](const Mover::Progress& now) { report.progress(now); },
      [&](const std::string& line) { report.note(line); });
  report.end(plan, all);
  return all && plan.stays.empty() ? ExitStatus::kOk : ExitStatus::kStayed;
}

Carry in_rounds(const MoveScope& scope) {
  return [&scope](Mover& mover, MovePlan& plan, const auto& tell, const auto& note) {
    return move_in_rounds(mover, plan, scope, tell, note);
  };
}

const BranchInfo* find_branch(const std::vector<BranchInfo>& branches, const std::string& path) {
  for (const BranchInfo& each : branches)
    if (each.path == path) return &each;
  return nullptr;
}

/// The list as the key `branches` takes it, with one branch NC.
std::string list_with_nc(const std::vector<BranchInfo>& branches, const std::string& path) {
  std::string list;
  for (const BranchInfo& branch : branches) {
    list += (list.empty() ? "" : ":") + branch.path + "=";
    list += branch.path == path ? "NC" : branch.mode;
    if (!branch.min_free.empty()) list += "," + branch.min_free;
  }
  return list;
}

/// All but that one have the same modes in both.
bool same_others(const std::vector<BranchInfo>& before, const std::vector<BranchInfo>& after,
                 const std::string& path) {
  return before.size() == after.size() &&
         std::all_of(before.begin(), before.end(), [&](const BranchInfo& each) {
           const BranchInfo* const now = find_branch(after, each.path);
           return now != nullptr && (each.path == path || now->mode == each.mode);
         });
}

/// Makes the branch NC. The key holds the list of all branches, so what others set between reading
/// and setting would be undone: evacuations keep each other out by a lock on the pool's root, and
/// what anybody else sets is noticed afterwards, as far as can be.
void let_nothing_new_in(const Pool& pool, const std::string& path, MoveReport& report) {
  constexpr int kTries = 10;
  const ControlClient control(pool.root());
  // Never waited for, as anybody may hold it: half of the tries do without it.
  const ops::Fd root(::open(pool.root().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::minstd_rand dice(std::random_device{}());
  std::uniform_int_distribution<int> pause(5, 40);
  for (int tries = 0; tries < kTries; ++tries) {
    if (tries != 0) std::this_thread::sleep_for(std::chrono::milliseconds(pause(dice)));
    if (root && ::flock(root.get(), LOCK_EX | LOCK_NB) != 0 && tries < kTries / 2) continue;
    const auto before = parse_shown_branches(control.get("branches"));
    if (find_branch(before, path) == nullptr)
      throw StartError(ExitStatus::kSystem, "branch " + path + " has left the pool meanwhile");
    control.set("branches", list_with_nc(before, path));
    const auto after = parse_shown_branches(control.get("branches"));
    const BranchInfo* const now = find_branch(after, path);
    if (now == nullptr || now->mode != "NC" || !same_others(before, after, path)) continue;
    report.note("branch " + path +
                " is NC until the pool is mounted anew: nothing new is created there; change its "
                "options (fstab), too, if the disk stays");
    return;
  }
  throw StartError(ExitStatus::kSystem,
                   "branch " + path +
                       " does not become NC: others set the key branches all the time; run this "
                       "again once they have ended");
}

/// Something may have come to the branch, or will, if it is not NC any more.
void see_that_nothing_came(const Pool& pool, const std::string& path, MovePlan& plan) {
  std::vector<BranchInfo> branches;
  try {
    branches = parse_shown_branches(ControlClient(pool.root()).get("branches"));
  } catch (const StartError& error) {
    // All that stays is still to be told.
    plan.stays.push_back({path, error.what()});
  }
  const BranchInfo* const branch = find_branch(branches, path);
  if (branch != nullptr && branch->mode == "RW")
    plan.stays.push_back({path,
                          "the branch was set to RW meanwhile, so that new files may come there; "
                          "run this again"});
}

/// Of those that are mounted, the one that has the branch.
std::string pool_with_branch(const std::string& branch) {
  std::vector<std::string> found;
  for (const MountInfo& mount : mount_table()) {
    if (!session::is_pool_type(mount.type) || mount.root != "/") continue;
    if (pulse_of(mount.mount_point) != Pulse::kAnswers) continue;
    for (const BranchInfo& each :
         parse_shown_branches(ControlClient(mount.mount_point).get("branches")))
      if (each.path == branch) found.push_back(mount.mount_point);
  }
  if (found.size() == 1) return found.front();
  if (found.empty())
    throw StartError(ExitStatus::kUsage,
                     branch + " is a branch of no pool that answers; name the pool with --pool");
  throw StartError(ExitStatus::kUsage, branch +
                                           " is a branch of several pools: name one with --pool, "
                                           "such as " +
                                           found.front());
}

}  // namespace

ExitStatus move_command(int argc, char* const argv[]) {
  CLI::App app("Moves files of a pool, and all below directories, to another branch of it.",
               "boughfs move");
  std::vector<std::string> paths;
  std::string to;
  Wishes wishes;
  app.add_option("PATH", paths, "files and directories in a pool")->required()->type_name("");
  app.add_option("--to", to, "the branch to go to, as boughfs ctl MOUNT info shows it")
      ->required()
      ->type_name("BRANCH");
  add_wishes(app, wishes);
  if (!parsed(app, argc, argv)) return ExitStatus::kOk;
  static_cast<void>(rate_of(wishes));
  const Pool pool(paths.front());
  const BranchInfo& target = pool.branch(to);
  want_present(target);
  pool.want_rights();
  MoveReport report("move", wishes.json);
  MoveScope scope;
  for (const std::string& path : paths) {
    if (root_of(pool_of(path)) != pool.root())
      throw StartError(ExitStatus::kUsage, path + " is in another pool than " + paths.front());
    std::error_code failed;
    if (!fs::exists(fs::symlink_status(path, failed)))
      throw StartError(ExitStatus::kUsage, path + " does not exist");
    const std::string relative = pool.relative(path);
    for (const BranchInfo& branch : pool.branches())
      if (branch.path != target.path && branch.absent.empty())
        scope.add(branch.path, relative, target.path);
  }
  MovePlan plan = scope.survey();
  return carry_out(pool, plan, wishes, report, in_rounds(scope));
}

ExitStatus evacuate_command(int argc, char* const argv[]) {
  CLI::App app(
      "Moves all that is on a branch to the other branches of its pool, so that its disk can be "
      "taken out. The branch is NC until the pool is mounted anew.",
      "boughfs evacuate");
  std::string path;
  std::string mount;
  Wishes wishes;
  app.add_option("BRANCH", path, "the branch, as boughfs ctl MOUNT info shows it")
      ->required()
      ->type_name("");
  app.add_option("--pool", mount, "any path in its pool, if several pools have it")
      ->type_name("MOUNT");
  add_wishes(app, wishes);
  if (!parsed(app, argc, argv)) return ExitStatus::kOk;
  static_cast<void>(rate_of(wishes));
  std::error_code ignored;
  if (!path.starts_with('/')) path = fs::absolute(path, ignored).lexically_normal();
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  const Pool pool(mount.empty() ? pool_with_branch(path) : mount);
  const BranchInfo& branch = pool.branch(path);
  want_present(branch);
  if (pool.branches().size() < 2)
    throw StartError(ExitStatus::kUsage, path + " is the only branch of its pool");
  pool.want_rights();
  MoveReport report("evacuate", wishes.json);
  if (branch.mode == "RW") {
    if (wishes.go)
      let_nothing_new_in(pool, branch.path, report);
    else
      report.note("branch " + path +
                  " is RW: with --go it becomes NC, so that nothing new is "
                  "created there until the pool is mounted anew");
  }
  MoveScope scope;
  scope.add(branch.path, "", "");
  MovePlan plan = scope.survey();
  const Carry carry = [&](Mover& mover, MovePlan& all, const auto& tell, const auto& note) {
    const bool tried = move_in_rounds(mover, all, scope, tell, note);
    see_that_nothing_came(pool, branch.path, all);
    return tried;
  };
  return carry_out(pool, plan, wishes, report, carry);
}

ExitStatus balance_command(int argc, char* const argv[]) {
  CLI::App app(
      "Moves files from the fullest branches of a pool to the emptiest, until all are filled "
      "alike. The largest files go first.",
      "boughfs balance");
  std::string path;
  double within = 2;
  Wishes wishes;
  app.add_option("MOUNT", path, "any path in the pool")->required()->type_name("");
  app.add_option("--within", within,
                 "how far a branch may be from what all are filled together, in parts of a hundred")
      ->type_name("PERCENT")
      ->check(CLI::Range(0.1, 50.0));
  add_wishes(app, wishes);
  if (!parsed(app, argc, argv)) return ExitStatus::kOk;
  static_cast<void>(rate_of(wishes));
  const Pool pool(path);
  pool.want_rights();
  MoveReport report("balance", wishes.json);
  MovePlan plan = plan_balance(pool.branches(), within);
  const Carry once = [](Mover& mover, MovePlan& all, const auto& tell, const auto& note) {
    return mover.run(all, tell, note);
  };
  return carry_out(pool, plan, wishes, report, once);
}

}  // namespace bough::cli
