#include "ops/settings.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <memory>
#include <span>
#include <utility>

#include "ops/branch_change.hpp"
#include "ops/policy_settings.hpp"
#include "ops/setting_rows.hpp"
#include "proto/size_text.hpp"

namespace bough::ops {

Settings::Settings()
    : create(policy::create_policies(), policy::find(policy::create_policies(), "pfrd")),
      search(policy::search_policies(), policy::find(policy::search_policies(), "ff")),
      action(policy::action_policies(), policy::find(policy::action_policies(), "epall")),
      move_when_full(policy::find(policy::create_policies(), "pfrd")) {}

namespace {

using std::chrono::nanoseconds;

constexpr const char* kPoolGroup = "Pool";
constexpr const char* kPolicyGroup = "Policies";
constexpr const char* kCacheGroup = "Caching";

/// What is said of a value where the minimum follows each branch's size.
constexpr std::string_view kAuto = "auto";

constexpr std::int64_t kNanosecond = 1'000'000'000;
constexpr std::size_t kNanosecondDigits = 9;

/// Decimal seconds, with at most nine digits after a point. Nothing: not that, or too long a time.
std::optional<nanoseconds> parse_seconds(std::string_view text) {
  const auto point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  const std::string_view fraction =
      point == std::string_view::npos ? std::string_view{} : text.substr(point + 1);
  const auto number = [](std::string_view digits, std::int64_t& into) {
    if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos)
      return false;
    return std::from_chars(digits.data(), digits.data() + digits.size(), into).ec == std::errc{};
  };
  std::int64_t seconds = 0;
  std::int64_t rest = 0;
  if (!number(whole, seconds) || seconds >= nanoseconds::max().count() / kNanosecond)
    return std::nullopt;
  if (point != std::string_view::npos) {
    if (fraction.size() > kNanosecondDigits || !number(fraction, rest)) return std::nullopt;
    for (std::size_t digits = fraction.size(); digits < kNanosecondDigits; ++digits) rest *= 10;
  }
  return nanoseconds(seconds * kNanosecond + rest);
}

std::string seconds_text(nanoseconds time) {
  std::string text = std::to_string(time.count() / kNanosecond);
  std::string fraction = std::to_string(time.count() % kNanosecond);
  if (fraction == "0") return text;
  fraction.insert(0, kNanosecondDigits - fraction.size(), '0');
  fraction.erase(fraction.find_last_not_of('0') + 1);
  return text + "." + fraction;
}

constexpr std::array<SettingRows::Word<XattrMode>, 3> kXattrModes{
    {{"passthrough", XattrMode::kPassthrough},
     {"noattr", XattrMode::kNoattr},
     {"nosys", XattrMode::kNosys}}};
constexpr std::array<SettingRows::Word<InodeCalc>, 7> kInodeCalcs{
    {{"passthrough", InodeCalc::kPassthrough},
     {"path-hash", InodeCalc::kPathHash},
     {"path-hash32", InodeCalc::kPathHash32},
     {"devino-hash", InodeCalc::kDevinoHash},
     {"devino-hash32", InodeCalc::kDevinoHash32},
     {"hybrid-hash", InodeCalc::kHybridHash},
     {"hybrid-hash32", InodeCalc::kHybridHash32}}};
constexpr std::array<SettingRows::Word<NfsOpenHack>, 3> kNfsOpenHacks{
    {{"off", NfsOpenHack::kOff}, {"git", NfsOpenHack::kGit}, {"all", NfsOpenHack::kAll}}};
constexpr std::array<SettingRows::Word<StatfsOf>, 2> kStatfsOf{
    {{"base", StatfsOf::kBase}, {"full", StatfsOf::kFull}}};
constexpr std::array<SettingRows::Word<StatfsIgnore>, 3> kStatfsIgnore{
    {{"none", StatfsIgnore::kNone}, {"ro", StatfsIgnore::kRo}, {"nc", StatfsIgnore::kNc}}};
constexpr std::array<SettingRows::Word<BranchAbsent>, 4> kBranchAbsent{
    {{"hide", BranchAbsent::kHide},
     {"eio", BranchAbsent::kEio},
     {"readonly", BranchAbsent::kReadonly},
     {"refuse", BranchAbsent::kRefuse}}};

/// Programs are told of a number that is too large by an errno of its own, as mergerfs tells them.
void tell_too_large(proto::Setting& row) {
  const auto error = std::make_shared<int>(EINVAL);
  row.set = [set = std::move(row.set), error](std::string_view text) {
    *error = proto::is_too_large(text) ? EOVERFLOW : EINVAL;
    return set(text);
  };
  row.refusal = [error] { return *error; };
}

proto::Setting seconds_row(std::string name, std::vector<std::string> aliases,
                           proto::LiveValue<nanoseconds>& bound, std::string help) {
  proto::Setting row;
  row.name = std::move(name);
  row.aliases = std::move(aliases);
  row.group = kCacheGroup;
  row.when = proto::Setting::When::kRuntime;
  row.form = "SECONDS";
  row.fallback = seconds_text(bound);
  row.help = std::move(help);
  row.set = [&bound](std::string_view text) -> std::string {
    const auto time = parse_seconds(text);
    if (!time) return "wants a number of seconds such as 1 or 0.5";
    bound = *time;
    return {};
  };
  row.get = [&bound] { return seconds_text(bound); };
  tell_too_large(row);
  return row;
}

proto::Setting branches_row(std::string& bound) {
  proto::Setting row;
  row.name = "branches";
  row.group = kPoolGroup;
  row.when = proto::Setting::When::kRuntime;
  row.form = "PATH[=RW|RO|NC[,SIZE]][:…]";
  row.help =
      "the directories that are joined, in order; globs are expanded; +… +<… add, -PATTERN -< -> "
      "take away";
  row.set = [&bound](std::string_view text) { return change_branch_text(bound, text); };
  // A relative path that begins like an instruction would be taken for one.
  row.get = [&bound] { return bound.find_first_of("+<>-=") == 0 ? "./" + bound : bound; };
  return row;
}

proto::Setting min_free_row(proto::LiveValue<std::uint64_t>& bound) {
  proto::Setting row;
  row.name = "minfreespace";
  row.group = kPoolGroup;
  row.when = proto::Setting::When::kRuntime;
  row.form = "SIZE";
  row.fallback = kAuto;
  row.help = "nothing new goes to a branch with less room; auto: 4G, or 5 % of a branch if less";
  row.set = [&bound](std::string_view text) -> std::string {
    if (text == kAuto) {
      bound = kMinFreeBySize;
      return {};
    }
    const auto size = proto::parse_size(text);
    if (!size || *size == kMinFreeBySize) return "wants a size such as 500M or 4G, or auto";
    bound = *size;
    return {};
  };
  row.get = [&bound] {
    const std::uint64_t size = bound;
    return size == kMinFreeBySize ? std::string(kAuto) : proto::size_text(size);
  };
  tell_too_large(row);
  return row;
}

/// The peer's value may be a number, which once was a time.
proto::Setting never_forget_row(bool& bound) {
  proto::Setting row = SettingRows("Behaviour")
                           .toggle("never-forget-nodes", proto::Setting::When::kMount, bound,
                                   "what has a name keeps its number for as long as the pool is "
                                   "mounted, for NFS; each file that was ever looked at takes "
                                   "memory then");
  row.aliases = {"noforget", "remember", "remember-nodes"};
  row.set = [&bound, take = std::move(row.set)](std::string_view text) -> std::string {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) return take(text);
    bound = number != 0;
    return {};
  };
  return row;
}

}  // namespace

std::vector<proto::Setting> settings_table(Settings& settings) {
  using When = proto::Setting::When;
  const SettingRows caching(kCacheGroup);
  std::vector<proto::Setting> table;
  table.push_back(branches_row(settings.branches));
  table.push_back(min_free_row(settings.min_free));
  table.push_back(SettingRows(kPoolGroup)
                      .words<BranchAbsent>(
                          "branch-absent", kBranchAbsent, When::kRuntime, settings.branch_absent,
                          "while a branch's disk is missing: what it may hold is an I/O error, and "
                          "nothing is made, removed or renamed there (eio); the pool goes on "
                          "without it (hide); also, but nothing can be changed (readonly); no "
                          "mount, later as eio (refuse)"));
  add_policy_settings(table, settings);
  table.push_back(SettingRows(kPolicyGroup)
                      .toggle("ignorepponrename", When::kRuntime, settings.clone_on_rename,
                              "rename and link make directories on a branch where a create policy "
                              "that preserves paths would not; else they fail with EXDEV, and mv "
                              "copies"));
  table.push_back(seconds_row("cache.attr", {"attr-timeout"}, settings.attr_valid,
                              "how long the kernel keeps attributes"));
  table.push_back(seconds_row("cache.entry", {"entry-timeout"}, settings.entry_valid,
                              "how long the kernel keeps names"));
  table.push_back(seconds_row("cache.negative-entry", {"negative-timeout", "negative-entry"},
                              settings.negative_valid,
                              "how long the kernel keeps that a name does not exist"));
  table.push_back(seconds_row("cache.statfs", {}, settings.statfs_valid,
                              "how long policies go by what a branch said of its free room; one "
                              "that is nearly full is always asked"));
  table.push_back(caching.toggle("cache.readdir", When::kNextOpen, settings.cache_readdir,
                                 "the kernel keeps the listing of a directory that did not change "
                                 "since it was last opened"));
  table.push_back(caching.toggle("cache.symlinks", When::kMount, settings.cache_symlinks,
                                 "the kernel keeps the texts of symbolic links"));
  table.push_back(caching.toggle("direct-io-allow-mmap", When::kMount,
                                 settings.direct_io_allow_mmap,
                                 "files open for direct I/O can be mapped shared (Linux 6.6)"));
  add_file_settings(table, settings.files);
  add_shown_attributes(table, settings.shown);
  const SettingRows behaviour("Behaviour");
  table.push_back(behaviour.words<XattrMode>(
      "xattr", kXattrModes, When::kRuntime, settings.xattr,
      "extended attributes: those of the branches, none (noattr), or not supported (nosys)"));
  table.push_back(behaviour.toggle("security-capability", When::kRuntime,
                                   settings.security_capability,
                                   "file capabilities (setcap) are shown and set"));
  table.push_back(
      behaviour.words<InodeCalc>("inodecalc", kInodeCalcs, When::kRuntime, settings.inode_calc,
                                 "what inode numbers are made of: the path, the branch's inode "
                                 "(devino), paths for directories "
                                 "alone (hybrid); or they are the branch's (passthrough)"));
  table.push_back(behaviour.words<NfsOpenHack>(
      "nfsopenhack", kNfsOpenHacks, When::kNextOpen, settings.nfs_open_hack,
      "files without write bits that a branch will not open for writing (NFS, root squashed) are "
      "lent one: never, those below .git, all"));
  table.push_back(behaviour.words<StatfsOf>(
      "statfs", kStatfsOf, When::kRuntime, settings.statfs_of,
      "what df adds up: all branches, or (full) those that have the path asked about"));
  table.push_back(behaviour.words<StatfsIgnore>(
      "statfs-ignore", kStatfsIgnore, When::kRuntime, settings.statfs_ignore,
      "branches whose room df does not count as available: RO and NC ones (ro), NC ones (nc)"));
  table.push_back(behaviour.toggle("posix-acl", When::kMount, settings.posix_acl,
                                   "the kernel checks the ACLs of files; without it mode bits "
                                   "alone count"));
  table.push_back(behaviour.toggle(
      "allow-idmap", When::kMount, settings.allow_idmap,
      "the pool can be mounted again with other owners (Linux 6.12); reserved blocks bind a file's "
      "owner then, not who writes"));
  table.push_back(never_forget_row(settings.never_forget));
  add_link_settings(table, settings.links);
  table.push_back(seconds_row("symlinkify-timeout", {}, settings.links.symlinkify_timeout,
                              "for how long a file must not have changed"));
  table.back().group = "Links";
  return table;
}

}  // namespace bough::ops
