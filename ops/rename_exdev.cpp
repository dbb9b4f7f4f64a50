#include "ops/rename_exdev.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "ops/clone_path.hpp"
#include "ops/followed_path.hpp"
#include "ops/operations.hpp"
#include "ops/place.hpp"
#include "ops/shown_copy.hpp"

namespace bough::ops {
namespace {

constexpr std::uint32_t kNoReplace = 1;
/// What symlink(2) takes.
constexpr std::size_t kLongestTarget = 4095;
constexpr std::uint32_t kOpenToAll = 01777;

class Aside {
 public:
  Aside(Pool& pool, const Context& context, const proto::RenameRequest& request,
        std::string_view old_path, std::string_view new_path)
      : pool_(pool),
        context_(context),
        request_(request),
        set_(pool.branches.snapshot()),
        old_path_(old_path),
        new_path_(new_path),
        old_(pool, *set_, old_path, request.old_name.c_str()),
        new_(pool, *set_, new_path, request.new_name.c_str()) {}

  Result<void> run() {
    if (const auto known = choose(); !known) return known;
    if (const auto found = find_free_name(); !found) return found;
    const std::string target = text_of_link();
    if (target.size() > kLongestTarget) return Errno{EXDEV};
    const std::shared_ptr<Fd> kept = keep_shown();
    for (std::size_t done = 0; done < moves_.size(); ++done) {
      if (put_aside(moves_[done])) continue;
      take_back(done);
      return Errno{EXDEV};
    }
    Context in_new = context_;
    in_new.node = request_.new_parent;
    auto made = symlink(pool_, in_new, {request_.new_name, target, {}});
    if (!made) {
      take_back(moves_.size());
      return made.error() == Errno{EEXIST} ? Errno{EXDEV} : made.error();
    }
    pool_.nodes.remove_name(context_.node, request_.old_name.view(), kept);
    // The kernel believes that the file itself came here.
    (void)pool_.port->notify(
        proto::InvalidateEntry{request_.new_parent, std::string(request_.new_name.view())});
    return {};
  }

 private:
  struct Move {
    std::size_t branch = 0;
    DirRef to;
  };

  Result<void> choose() {
    for (std::size_t i = 0; i < set_->size(); ++i)
      if (new_.exists(i)) return Errno{EXDEV};
    if (const auto failed = unanswered(new_)) return *failed;
    const policy::Choice shown = choose_shown(pool_.settings, old_, pool_.random);
    if (shown.empty()) return Errno{EXDEV};
    shown_ = shown[0];
    const policy::Choice targets =
        pool_.settings.action[ActionFunction::kRename].choose(old_, pool_.random);
    if (const auto may = may_leave_others(old_, targets, shown_); !may) return may;
    for (std::size_t i = 0; i < targets.size(); ++i) moves_.push_back({targets[i], {}});
    if (const auto failed = unanswered(old_)) return *failed;
    return {};
  }

  /// Free on every branch: copies of one name would be one file for the link.
  Result<void> find_free_name() {
    constexpr int kTries = 1000;
    const std::string directory = joined(kAsideDirectory, old_path_);
    for (int number = 0; number < kTries; ++number) {
      name_ = request_.old_name.view();
      if (number > 0) name_ += "." + std::to_string(number);
      if (name_.size() > kNameMax) return Errno{EXDEV};
      PoolFacts there(pool_, *set_, directory, name_.c_str());
      bool taken = false;
      for (std::size_t i = 0; i < set_->size(); ++i) taken = there.exists(i) || taken;
      if (const auto failed = unanswered(there)) return *failed;
      if (!taken) return {};
    }
    return Errno{EXDEV};
  }

  std::string text_of_link() const {
    const std::string path = joined(joined(kAsideDirectory, old_path_), name_);
    if (pool_.settings.links.rename_exdev == RenameExdev::kRelative)
      return relative_target(new_path_, path);
    return joined(pool_.mountpoint, path);
  }

  /// For who has it open or works in it: its name is not one that the node table follows.
  std::shared_ptr<Fd> keep_shown() {
    if (pool_.nodes.child(context_.node, request_.old_name.view()) == proto::kNoNode)
      return nullptr;
    return pin_victim(pool_, old_.directory(shown_).fd(), request_.old_name.c_str(),
                      old_.stat(shown_).id);
  }

  Result<void> put_aside(Move& move) {
    auto root = open_directory(pool_, (*set_)[move.branch], "");
    if (!root) return root.error();
    auto aside = open_aside(root->fd());
    if (!aside) return aside.error();
    auto made = clone_below(pool_, *std::move(root), *std::move(aside), old_path_);
    if (!made) return made.error();
    move.to = *std::move(made);
    return rename(old_.directory(move.branch).fd(), request_.old_name.c_str(), move.to.fd(),
                  name_.c_str());
  }

  Result<DirRef> open_aside(int root) {
    constexpr const char* kName = kAsideDirectory.data();
    const auto made = pool_.backing.mkdir_at(root, kName, S_IRWXU);
    if (!made && made.error() != Errno{EEXIST}) return made.error();
    auto fd = open_with_relief(
        pool_, [&] { return pool_.backing.open_directory(root, kName, O_PATH, false); });
    if (!fd) return fd.error();
    // The daemon's umask counts at the making.
    if (made)
      if (const auto opened = pool_.backing.chmod(fd->get(), kOpenToAll); !opened)
        return opened.error();
    return DirRef(*std::move(fd));
  }

  void take_back(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
      (void)rename(moves_[i].to.fd(), name_.c_str(), old_.directory(moves_[i].branch).fd(),
                   request_.old_name.c_str());
  }

  Result<void> rename(int from, const char* name, int to, const char* new_name) {
    const auto moved = pool_.backing.rename_at(from, name, to, new_name, kNoReplace);
    if (moved || moved.error() != Errno{EINVAL}) return moved;
    return pool_.backing.rename_at(from, name, to, new_name, 0);
  }

  Pool& pool_;
  const Context& context_;
  const proto::RenameRequest& request_;
  const std::shared_ptr<const BranchSet> set_;
  const std::string_view old_path_;
  const std::string_view new_path_;
  PoolFacts old_;
  PoolFacts new_;
  std::size_t shown_ = 0;
  std::vector<Move> moves_;
  std::string name_;
};

}  // namespace

std::string joined(std::string_view directory, std::string_view name) {
  std::string path(directory);
  if (!path.empty() && !path.ends_with('/') && !name.empty()) path += '/';
  return path.append(name);
}

std::string relative_target(std::string_view from, std::string_view path) {
  // What both begin with needs no way up.
  for (;;) {
    const std::string_view first = from.substr(0, from.find('/'));
    if (first.empty() || !path.starts_with(first) || path.size() == first.size() ||
        path[first.size()] != '/')
      break;
    path.remove_prefix(first.size() + 1);
    from.remove_prefix(std::min(first.size() + 1, from.size()));
  }
  std::string target;
  const auto levels = from.empty() ? 0 : std::count(from.begin(), from.end(), '/') + 1;
  for (auto i = levels; i > 0; --i) target += "../";
  return target.append(path);
}

Result<void> rename_aside(Pool& pool, const Context& context, const proto::RenameRequest& request,
                          std::string_view old_path, std::string_view new_path) {
  const RenameExdev how = pool.settings.links.rename_exdev;
  if (how == RenameExdev::kPassthrough) return Errno{EXDEV};
  // The link would lead past the one that is followed.
  if (is_followed(old_path) || is_followed(new_path)) return Errno{EXDEV};
  if (how == RenameExdev::kAbsolute && pool.mountpoint.empty()) return Errno{EXDEV};
  const std::string_view first = old_path.substr(0, old_path.find('/'));
  if (first == kAsideDirectory || (old_path.empty() && request.old_name.view() == kAsideDirectory))
    return Errno{EXDEV};
  return Aside(pool, context, request, old_path, new_path).run();
}

}  // namespace bough::ops
