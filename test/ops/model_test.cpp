#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>

#include "policy/registry.hpp"
#include "test/support/pool_fixture.hpp"

// Random pools and random calls, against a model of what POSIX says of one file system. The pool
// may refuse what one file system would do (EROFS, ENOSPC, EXDEV), and then nothing has changed.

namespace bough::test {
namespace {

using proto::kRootNode;
using proto::NodeId;

constexpr std::uint32_t kNoReplace = 1;
/// The kernel keeps to names that were looked up; so does this.
const std::array<std::string, 4> kNames{"a", "b", "c", "d"};

struct Entry {
  enum class Kind : std::uint8_t { kFile, kDirectory, kLink };
  Kind kind = Kind::kFile;
  std::uint32_t mode = 0644;
  /// Shared by the names of one file. Of a link: where it leads.
  std::shared_ptr<std::string> data = std::make_shared<std::string>();
};

using Tree = std::map<std::string, Entry>;

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}
std::string name_of(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}
bool lies_in(const std::string& path, const std::string& directory) {
  return path.starts_with(directory + "/");
}

std::string told(const Entry& entry) {
  constexpr std::array<const char*, 3> kKinds{"file", "directory", "link"};
  std::string text = kKinds[static_cast<std::size_t>(entry.kind)];
  if (entry.kind != Entry::Kind::kLink) text += " " + std::to_string(entry.mode);
  return entry.kind == Entry::Kind::kDirectory ? text : text + " " + *entry.data;
}
std::string told(const Tree& tree) {
  std::string text;
  for (const auto& [path, entry] : tree) text += path + ": " + told(entry) + "\n";
  return text;
}

Entry entry_at(const std::filesystem::path& full) {
  struct stat found {};
  REQUIRE(::lstat(full.c_str(), &found) == 0);
  Entry entry;
  entry.mode = found.st_mode & 07777;
  if (S_ISDIR(found.st_mode)) {
    entry.kind = Entry::Kind::kDirectory;
  } else if (S_ISLNK(found.st_mode)) {
    entry.kind = Entry::Kind::kLink;
    *entry.data = std::filesystem::read_symlink(full).string();
  } else {
    std::ifstream in(full, std::ios::binary);
    entry.data->assign(std::istreambuf_iterator<char>(in), {});
  }
  return entry;
}

/// What a search in list order shows of the branches: told without any code of the pool's.
void join(const std::vector<std::filesystem::path>& branches, const std::string& path, Tree& into) {
  for (const auto& branch : branches) {
    std::error_code failed;
    for (const auto& found : std::filesystem::directory_iterator(branch / path, failed)) {
      const std::string name = found.path().filename().string();
      const std::string below = path.empty() ? name : path + "/" + name;
      if (into.contains(below)) continue;
      const Entry entry = entry_at(found.path());
      into[below] = entry;
      if (entry.kind == Entry::Kind::kDirectory) join(branches, below, into);
    }
  }
}

class RandomCalls {
 public:
  explicit RandomCalls(std::uint64_t seed) : random_(seed), calm_(seed % kCalm == 0) {}

  void run(int calls) {
    constexpr std::uint64_t kMostBranches = 16;
    const std::size_t count = 1 + pick(kMostBranches);
    std::vector<std::string> modes;
    for (std::size_t i = 0; i < count; ++i) {
      constexpr std::array<const char*, 8> kModes{"RW",         "RW", "RW,1", "RW",
                                                  "RW,900000T", "RO", "NC",   "RW"};
      modes.emplace_back(kModes[pick(kModes.size())]);
    }
    PoolFixture pool(modes, {}, [this](ops::Settings& settings) {
      const auto creates = policy::create_policies();
      settings.create = &creates[pick(creates.size())];
      settings.clone_on_rename = pick(2) == 0;
      constexpr std::array<const char*, 2> kActions{"epall", "all"};
      settings.action = policy::find(policy::action_policies(), kActions[pick(kActions.size())]);
    });
    pool_ = &pool;
    branches_.clear();
    std::vector<std::size_t> read_only;
    for (std::size_t i = 0; i < count; ++i) {
      fill(i);
      branches_.push_back(pool.branch(i));
      if (modes[i] == "RO") read_only.push_back(i);
    }
    model_.clear();
    join(branches_, "", model_);
    std::vector<Tree> before;
    for (const std::size_t i : read_only) before.push_back(alone(i));
    fixed_.clear();
    for (const Tree& tree : before)
      for (const auto& [path, entry] : tree) fixed_.insert(path);

    for (int call = 0; call < calls; ++call) {
      CAPTURE(call);
      make_call();
      constexpr int kEvery = 20;
      const bool compared = call % kEvery == 0;
      if (compared) compare();
      if (!calm_ || compared) pool.forget_all();
    }
    compare();
    for (std::size_t i = 0; i < read_only.size(); ++i)
      CHECK(told(alone(read_only[i])) == told(before[i]));
  }

 private:
  /// In one pool of so many directories stay known for a while, so that ops/name_index lists them.
  static constexpr std::uint64_t kCalm = 3;

  std::uint64_t pick(std::uint64_t below) { return random_() % below; }

  Tree alone(std::size_t branch) {
    Tree tree;
    join({branches_[branch]}, "", tree);
    return tree;
  }

  /// Directories may be on several branches, a file is on one.
  void fill(std::size_t branch) {
    for (const std::string& top : kNames) {
      if (pick(3) != 0) continue;
      const mode_t mode = 0755;
      pool_->directory(branch, "d" + top, mode);
      if (pick(2) == 0) pool_->directory(branch, "d" + top + "/d" + top, mode);
      const std::string file = "d" + top + "/f" + std::to_string(branch);
      if (pick(2) == 0) pool_->file(branch, file, "old " + file);
    }
  }

  std::string random_path() {
    // Mostly something that is there, or beside it.
    std::string path;
    if (!model_.empty() && pick(4) != 0) {
      auto at = model_.begin();
      std::advance(at, static_cast<std::ptrdiff_t>(pick(model_.size())));
      if (pick(2) == 0) return at->first;
      path = at->second.kind == Entry::Kind::kDirectory ? at->first : parent_of(at->first);
    }
    constexpr std::ptrdiff_t kDeepest = 3;
    if (std::count(path.begin(), path.end(), '/') >= kDeepest) path = parent_of(path);
    const std::string& name = kNames[pick(kNames.size())];
    return path.empty() ? name : path + "/" + name;
  }

  /// An existing one, of any kind but directories.
  std::optional<std::string> random_file() {
    const std::string path = random_path();
    const auto found = model_.find(path);
    if (found == model_.end() || found->second.kind != Entry::Kind::kFile) return std::nullopt;
    return path;
  }

  [[nodiscard]] bool has_children(const std::string& path) const {
    const auto next = model_.upper_bound(path + "/");
    return next != model_.end() && lies_in(next->first, path);
  }
  [[nodiscard]] bool is_directory(const std::string& path) const {
    if (path.empty()) return true;
    const auto found = model_.find(path);
    return found != model_.end() && found->second.kind == Entry::Kind::kDirectory;
  }
  /// A copy that nothing can change: what a call does to the other copies shows it.
  [[nodiscard]] bool is_fixed(const std::string& path) const {
    if (fixed_.contains(path)) return true;
    const auto below = fixed_.upper_bound(path + "/");
    return below != fixed_.end() && lies_in(*below, path);
  }

  /// Whether the pool may refuse what one file system would do.
  static bool is_pools_own(int error) {
    return error == EROFS || error == ENOSPC || error == EXDEV;
  }
  /// `error` is what came, `native` what one file system says. Whether it was done.
  bool settled(int error, int native) {
    if (native != 0) {
      CHECK((error == native || is_pools_own(error)));
      return false;
    }
    CHECK((error == 0 || is_pools_own(error)));
    return error == 0;
  }

  void make_call() {
    constexpr std::uint64_t kCalls = 10;
    switch (pick(kCalls)) {
      case 0:
      case 1:
        return create();
      case 2:
        return write();
      case 3:
        return mkdir();
      case 4:
        return symlink();
      case 5:
        return unlink();
      case 6:
        return rmdir();
      case 7:
        return link();
      case 8:
        return chmod();
      default:
        return rename();
    }
  }

  void create() {
    const std::string path = random_path();
    CAPTURE(path);
    if (!is_directory(parent_of(path))) return;
    auto made = pool_->fs().create(
        pool_->as(pool_->walk(parent_of(path))),
        {pool_->name(name_of(path)), O_RDWR | O_CREAT | O_EXCL, 0100640, 0, false, {}});
    if (!settled(made ? 0 : made.error().value(), model_.contains(path) ? EEXIST : 0)) return;
    pool_->keep(made->entry);
    const auto handle = pool_->keep(made->open);
    Entry entry;
    entry.mode = 0640;
    *entry.data = "new " + path;
    const auto written = pool_->write(handle, *entry.data, 0, O_RDWR);
    CHECK(written.has_value());
    pool_->release(handle);
    model_[path] = entry;
  }

  void write() {
    const auto path = random_file();
    if (!path) return;
    CAPTURE(*path);
    proto::OpenRequest request;
    request.flags = O_RDWR;
    auto opened = pool_->fs().open(pool_->as(pool_->walk(*path)), request);
    if (!settled(opened ? 0 : opened.error().value(), 0)) return;
    const auto handle = pool_->keep(*opened);
    std::string& data = *model_[*path].data;
    CHECK(pool_->read(handle) == data);
    const std::string more = " and " + std::to_string(pick(1000));
    const std::uint64_t at = pick(data.size() + 1);
    CHECK(pool_->write(handle, more, at, O_RDWR).has_value());
    pool_->release(handle);
    data.replace(at, more.size(), more);
  }

  void mkdir() {
    const std::string path = random_path();
    CAPTURE(path);
    if (!is_directory(parent_of(path))) return;
    auto made = pool_->fs().mkdir(pool_->as(pool_->walk(parent_of(path))),
                                  {pool_->name(name_of(path)), 0750, 0, {}});
    if (!settled(made ? 0 : made.error().value(), model_.contains(path) ? EEXIST : 0)) return;
    pool_->keep(*made);
    model_[path] = {Entry::Kind::kDirectory, 0750, {}};
  }

  void symlink() {
    const std::string path = random_path();
    CAPTURE(path);
    if (!is_directory(parent_of(path))) return;
    auto made = pool_->fs().symlink(pool_->as(pool_->walk(parent_of(path))),
                                    {pool_->name(name_of(path)), "to/nowhere", {}});
    if (!settled(made ? 0 : made.error().value(), model_.contains(path) ? EEXIST : 0)) return;
    pool_->keep(*made);
    model_[path] = {Entry::Kind::kLink, 0777, std::make_shared<std::string>("to/nowhere")};
  }

  void unlink() {
    const std::string path = random_path();
    CAPTURE(path);
    const auto found = model_.find(path);
    if (found == model_.end() || found->second.kind == Entry::Kind::kDirectory || is_fixed(path))
      return;
    const auto done =
        pool_->fs().unlink(pool_->as(pool_->walk(parent_of(path))), {pool_->name(name_of(path))});
    if (settled(done ? 0 : done.error().value(), 0)) model_.erase(path);
  }

  void rmdir() {
    const std::string path = random_path();
    CAPTURE(path);
    if (path.empty() || !model_.contains(path) || !is_directory(path) || is_fixed(path)) return;
    const auto done =
        pool_->fs().rmdir(pool_->as(pool_->walk(parent_of(path))), {pool_->name(name_of(path))});
    if (settled(done ? 0 : done.error().value(), has_children(path) ? ENOTEMPTY : 0))
      model_.erase(path);
  }

  void link() {
    const auto from = random_file();
    const std::string to = random_path();
    if (!from || !is_directory(parent_of(to))) return;
    CAPTURE(*from);
    CAPTURE(to);
    const NodeId node = pool_->walk(*from);
    auto made =
        pool_->fs().link(pool_->as(pool_->walk(parent_of(to))), {node, pool_->name(name_of(to))});
    if (!settled(made ? 0 : made.error().value(), model_.contains(to) ? EEXIST : 0)) return;
    pool_->keep(*made);
    model_[to] = model_[*from];
  }

  void chmod() {
    const std::string path = random_path();
    CAPTURE(path);
    const auto found = model_.find(path);
    if (found == model_.end() || found->second.kind == Entry::Kind::kLink || is_fixed(path)) return;
    proto::SetattrRequest request;
    request.mode = pick(2) == 0 ? 0700 : 0755;
    const auto done = pool_->fs().setattr(pool_->as(pool_->walk(path)), request);
    if (!settled(done ? 0 : done.error().value(), 0)) return;
    const auto data = found->second.data;
    if (found->second.kind == Entry::Kind::kDirectory) {
      found->second.mode = *request.mode;
      return;
    }
    for (auto& [other, entry] : model_)
      if (entry.data == data) entry.mode = *request.mode;
  }

  [[nodiscard]] int native_rename(const std::string& from, const std::string& to,
                                  std::uint32_t flags) const {
    const auto target = model_.find(to);
    if (target == model_.end()) return 0;
    if (flags == kNoReplace) return EEXIST;
    const bool moves_directory = is_directory(from);
    if (moves_directory && !is_directory(to)) return ENOTDIR;
    if (!moves_directory && is_directory(to)) return EISDIR;
    return is_directory(to) && has_children(to) ? ENOTEMPTY : 0;
  }

  void rename() {
    const std::string from = random_path();
    const std::string to = random_path();
    CAPTURE(from);
    CAPTURE(to);
    if (!model_.contains(from) || !is_directory(parent_of(to)) || lies_in(to, from) ||
        lies_in(from, to) || from == to || is_fixed(from) || is_fixed(to))
      return;
    const std::uint32_t flags = pick(3) == 0 ? kNoReplace : 0;
    const auto target = model_.find(to);
    const bool same = target != model_.end() && target->second.data == model_[from].data &&
                      target->second.kind == Entry::Kind::kFile;
    const NodeId old_parent = pool_->walk(parent_of(from));
    const NodeId new_parent = pool_->walk(parent_of(to));
    const auto done = pool_->fs().rename(
        pool_->as(old_parent),
        {new_parent, pool_->name(name_of(from)), pool_->name(name_of(to)), flags});
    if (!settled(done ? 0 : done.error().value(), native_rename(from, to, flags))) return;
    // Of two names of one file both stay.
    if (same) return;
    Tree moved;
    for (auto at = model_.begin(); at != model_.end();) {
      if (at->first != from && !lies_in(at->first, from)) {
        ++at;
        continue;
      }
      moved[to + at->first.substr(from.size())] = at->second;
      at = model_.erase(at);
    }
    for (auto& [path, entry] : moved) model_[path] = entry;
  }

  void compare() {
    Tree on_disk;
    join(branches_, "", on_disk);
    CHECK(told(on_disk) == told(model_));
    list_like_model("", kRootNode);
    pool_->forget_all();
  }
  void list_like_model(const std::string& path, NodeId node) {
    std::vector<std::string> names;
    for (const auto& [each, entry] : model_)
      if (parent_of(each) == path) names.push_back(name_of(each));
    std::sort(names.begin(), names.end());
    CHECK(pool_->list(node) == names);
    for (const std::string& name : names) {
      const std::string below = path.empty() ? name : path + "/" + name;
      if (!is_directory(below)) continue;
      auto found = pool_->lookup(node, name);
      REQUIRE(found.has_value());
      list_like_model(below, pool_->keep(*found));
    }
  }

  std::mt19937_64 random_;
  const bool calm_;
  PoolFixture* pool_ = nullptr;
  std::vector<std::filesystem::path> branches_;
  Tree model_;
  /// What is on a read-only branch.
  std::set<std::string> fixed_;
};

}  // namespace

TEST_CASE("random calls on random pools do what one file system does, or nothing") {
  const char* const wanted = std::getenv("BOUGH_MODEL_POOLS");
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  constexpr std::uint64_t kPools = 30;
#else
  constexpr std::uint64_t kPools = 200;
#endif
  const std::uint64_t pools = wanted == nullptr ? kPools : std::strtoull(wanted, nullptr, 10);
  constexpr int kCalls = 200;
  for (std::uint64_t seed = 1; seed <= pools; ++seed) {
    CAPTURE(seed);
    RandomCalls(seed).run(kCalls);
  }
}

}  // namespace bough::test
