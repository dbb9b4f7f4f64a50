#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <new>
#include <optional>
#include <vector>

#include "ops/all_copies.hpp"
#include "ops/attributes.hpp"
#include "ops/control_names.hpp"
#include "ops/dir_snapshot.hpp"
#include "ops/followed_path.hpp"
#include "ops/inode_number.hpp"
#include "ops/move_record.hpp"
#include "ops/operations.hpp"
#include "ops/place.hpp"
#include "ops/raw_dirents.hpp"
#include "ops/shown_copy.hpp"
#include "proto/kernel_abi.hpp"

namespace bough::ops {
namespace {

/// A struct linux_dirent64 with the longest name.
constexpr std::size_t kLargestRecord = (19 + kNameMax + 1 + 7) & ~std::size_t{7};
constexpr std::size_t kBuffer = std::size_t{32} << 10U;
constexpr std::uint64_t kSelfCookie = 1;
constexpr std::uint64_t kParentCookie = 2;

/// The handle that this thread reads, so that a shortage of descriptors met on the way leaves it
/// alone: its mutex is this thread's own.
thread_local const DirHandle* reading = nullptr;

class Reading {
 public:
  explicit Reading(DirHandle& handle) : lock_(handle.mutex) { reading = &handle; }
  ~Reading() { reading = nullptr; }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;

 private:
  const std::lock_guard<std::mutex> lock_;
};

/// A branch's copy of a directory, open for reading.
struct OpenCopy {
  Branch& branch;
  /// Its place in the list.
  std::size_t index;
  Fd fd;
};

using ReaddirKind = ReaddirPolicy::Kind;

/// Calls `ask` (Result<void>(std::size_t)) for 0 to count - 1; the first error in this order,
/// whatever the order of the calls. `at_once`: on several threads, each call is made then; else
/// none after an error.
template <class Ask>
Result<void> ask_each(Pool& pool, std::size_t count, bool at_once, Ask ask) {
  if (!at_once || count < 2) {
    for (std::size_t i = 0; i < count; ++i)
      if (const auto done = ask(i); !done) return done;
    return {};
  }
  std::vector<Result<void>> done(count);
  pool.listers.each(count, pool.settings.readdir.get().crew(), [&](std::size_t i) {
    try {
      done[i] = ask(i);
    } catch (const std::bad_alloc&) {
      done[i] = Errno{ENOMEM};
    }
  });
  const auto failed =
      std::find_if(done.begin(), done.end(), [](const auto& each) { return !each; });
  return failed != done.end() ? *failed : Result<void>();
}

/// Every copy. A branch that fails fails the whole: what is not shown would be taken for absent.
/// Only one whose disk is gone (ESTALE from its root) takes no part.
Result<std::vector<OpenCopy>> open_copies(Pool& pool, const BranchSet& set, std::string_view path) {
  std::vector<Fd> opened(set.size());
  const bool at_once = pool.settings.readdir.get().kind != ReaddirKind::kSeq;
  const auto done = ask_each(pool, set.size(), at_once, [&](std::size_t i) -> Result<void> {
    auto fd = open_readable_directory(pool, set[i], path);
    if (fd)
      opened[i] = *std::move(fd);
    else if (!means_absent(fd.error()) && (fd.error() != Errno{ESTALE} || is_followed(path)))
      return fd.error();
    return {};
  });
  if (!done) return done.error();
  std::vector<OpenCopy> copies;
  for (std::size_t i = 0; i < opened.size(); ++i)
    if (opened[i]) copies.push_back(OpenCopy{set[i], i, std::move(opened[i])});
  if (copies.empty()) return Errno{ENOENT};
  return copies;
}

/// Not what no node could have as its name, or no reply may carry; nor what the control file hides,
/// nor what a move keeps on a branch, which nobody is to copy or purge.
bool presentable(NodeId directory, std::string_view name) noexcept {
  return name.size() <= kNameMax && Name::check(name).has_value() &&
         !is_control_name(directory, name) && !is_of_a_move(name);
}

constexpr std::uint32_t kDirectoryType = 4;
constexpr std::uint32_t kFileType = 8;
constexpr std::uint32_t kLinkType = 10;

/// What a listing tells of an entry's number.
FileStat listed_stat(std::uint64_t device, std::uint64_t ino, std::uint32_t type) {
  FileStat stat;
  stat.id = FileId{device, ino, 0};
  stat.mode = type << 12U;
  stat.nlink = 1;
  return stat;
}

/// What a look-up of an entry found.
struct Seen {
  Branch* branch = nullptr;
  Shown shown;
};

/// The numbers of a directory's entries, as LOOKUP will show them.
class Numbers {
 public:
  Numbers(const Pool& pool, NodeId directory)
      : pool_(pool),
        calc_(pool.settings.inode_calc),
        first_shows_(shows_first_copy(pool.settings)),
        follows_(pool.settings.links.follow != FollowSymlinks::kNever) {
    NodeView view;
    if (!pool.nodes.view(directory, view)) return;
    sum_ = view.path_sum;
    if (view.followed) outside_ = view.location.file.device;
  }
  /// Where the entries are that are listed on a branch.
  [[nodiscard]] std::uint64_t device(const Branch& branch) const {
    return outside_.value_or(branch.device());
  }
  [[nodiscard]] std::uint64_t operator()(std::string_view name, const Branch& branch,
                                         const FileStat& stat, bool followed = false) const {
    const bool outside = followed || outside_;
    const auto by_inode = [&] {
      return outside ? number_outside(pool_, stat.id) : branch.user_ino(stat.id);
    };
    return shown_ino(
        calc_, stat,
        [&] {
          return outside && !stat.is_directory() ? by_inode() : path_ino(path_sum(sum_, name));
        },
        by_inode);
  }
  /// Whether the number of an entry depends on more than a listing tells: its type, the links of a
  /// file that goes by path, what a link leads to, or, where `several` branches list the name,
  /// which copy is shown.
  [[nodiscard]] bool want_look(std::uint32_t type, bool several) const noexcept {
    if (type == 0 || (follows_ && type == kLinkType)) return true;
    const bool by_path = goes_by_path(calc_, type == kDirectoryType);
    return by_path ? type != kDirectoryType : several && !first_shows_;
  }

 private:
  const Pool& pool_;
  const InodeCalc calc_;
  const bool first_shows_;
  const bool follows_;
  std::uint64_t sum_ = 0;
  /// Of a directory outside of the branches.
  std::optional<std::uint64_t> outside_;
};

/// Calls `take` (void(const RawDirent&)) for every entry of a copy.
template <class Take>
Result<void> read_copy(Pool& pool, NodeId directory, const OpenCopy& copy, Take take) {
  alignas(8) std::array<std::byte, kBuffer> buffer;
  for (;;) {
    const auto got = pool.backing.list(copy.fd.get(), buffer);
    // ENOENT: the directory was removed meanwhile.
    if (!got && got.error() == Errno{ENOENT}) return {};
    if (!got) return got.error();
    if (*got == 0) return {};
    RawDirents records{std::span(buffer).first(*got)};
    while (const auto entry = records.next())
      if (presentable(directory, entry->name)) take(*entry);
    if (records.broken()) return Errno{EIO};
  }
}

/// In list order, however it is read: of names that several branches have, the first one's entry
/// stays.
Result<std::shared_ptr<const DirSnapshot>> take_snapshot(Pool& pool, NodeId directory,
                                                         const std::vector<OpenCopy>& copies) {
  const Numbers number(pool, directory);
  const bool at_once = pool.settings.readdir.get().kind == ReaddirKind::kCor;
  std::vector<DirSnapshot> parts(at_once ? copies.size() : 1);
  const auto done = ask_each(pool, copies.size(), at_once, [&](std::size_t i) {
    const OpenCopy& copy = copies[i];
    DirSnapshot& part = parts[at_once ? i : 0];
    return read_copy(pool, directory, copy, [&](const RawDirent& entry) {
      const std::uint64_t device = number.device(copy.branch);
      if (pool.unsettled.hides(device, entry.ino)) return;
      part.add(entry.name,
               number(entry.name, copy.branch, listed_stat(device, entry.ino, entry.type)),
               entry.type, copy.index);
    });
  });
  if (!done) return done.error();
  auto snapshot = std::make_shared<DirSnapshot>(std::move(parts.front()));
  for (std::size_t i = 1; i < parts.size(); ++i) snapshot->append(parts[i]);
  snapshot->seal();
  return std::shared_ptr<const DirSnapshot>(std::move(snapshot));
}

/// Decides what the cookies of this handle are: the branch's own offsets where one branch has the
/// directory, positions in the merged listing else.
Result<void> decide(Pool& pool, DirHandle& handle, const BranchSet& set, std::string_view path) {
  auto copies = open_copies(pool, set, path);
  if (!copies) return copies.error();
  if (copies->size() == 1) {
    handle.fd = std::move(copies->front().fd);
    handle.branch = copies->front().branch.id();
    handle.snapshot.reset();
  } else {
    auto snapshot = take_snapshot(pool, handle.node, *copies);
    if (!snapshot) return snapshot.error();
    handle.snapshot = *std::move(snapshot);
    handle.taken_of = set.serial();
    handle.fd.reset();
    handle.branch = kNoBranch;
  }
  handle.decided = true;
  return {};
}

/// Makes the handle ready to go on at `offset`. Its path is asked for only where something must be
/// opened: a listing goes on although the directory is moved or removed meanwhile.
Result<void> prepare(Pool& pool, DirHandle& handle, const BranchSet& set, std::uint64_t offset) {
  const bool fresh = offset == 0 || !handle.decided;
  if (!fresh && (handle.fd || handle.snapshot)) return {};
  PathText path;
  if (const auto known = directory_path(pool, handle.node, path); !known) return known;
  if (fresh) return decide(pool, handle, set, path.view());
  if (handle.branch != kNoBranch) {
    Branch* const branch = set.by_id(handle.branch);
    if (branch == nullptr) return {};
    auto fd = open_readable_directory(pool, *branch, path.view());
    if (!fd) return fd.error();
    handle.fd = *std::move(fd);
    return {};
  }
  const auto copies = open_copies(pool, set, path.view());
  if (!copies) return copies.error();
  auto snapshot = take_snapshot(pool, handle.node, *copies);
  if (!snapshot) return snapshot.error();
  handle.snapshot = *std::move(snapshot);
  handle.taken_of = set.serial();
  return {};
}

/// What the search policy asks about one entry of a listing. The directories are opened once for
/// all entries of a request.
class EntryFacts final : public policy::Facts {
 public:
  /// Branches before `first` do not have the name.
  EntryFacts(Pool& pool, PoolFacts& directories, const char* name, std::size_t first)
      : pool_(pool), directories_(directories), name_(name), first_(first) {}

  [[nodiscard]] std::size_t branches() const override { return directories_.branches(); }
  [[nodiscard]] policy::BranchMode mode(std::size_t branch) override {
    return directories_.mode(branch);
  }
  [[nodiscard]] bool exists(std::size_t branch) override {
    if (branch < first_ || !directories_.exists(branch)) return false;
    if (last_ == branch) return true;
    const auto stat = pool_.backing.stat_at(directories_.directory(branch).fd(), name_);
    if (!stat) {
      if (!means_absent(stat.error()) && !failed_) failed_ = stat.error();
      return false;
    }
    if (pool_.unsettled.hides(stat->id.device, stat->id.ino)) return false;
    last_ = branch;
    stat_ = *stat;
    return true;
  }
  [[nodiscard]] std::uint32_t type(std::size_t branch) {
    return exists(branch) ? stat_.mode & kTypeBits : 0;
  }
  /// Only what is made asks for this.
  [[nodiscard]] bool exists_above(std::size_t, std::size_t) override { return true; }
  [[nodiscard]] std::size_t depth() override { return 0; }
  [[nodiscard]] std::optional<policy::Moment> modified(std::size_t branch) override {
    if (!exists(branch)) return std::nullopt;
    return policy::Moment{stat_.mtime.seconds, stat_.mtime.nanoseconds};
  }
  [[nodiscard]] std::optional<policy::Space> space(std::size_t branch) override {
    return directories_.space(branch);
  }
  [[nodiscard]] std::uint64_t minimum_free(std::size_t branch) override {
    return directories_.minimum_free(branch);
  }

  [[nodiscard]] Result<FileStat> stat(std::size_t branch) {
    if (!exists(branch)) return why_not();
    return stat_;
  }
  [[nodiscard]] Errno why_not() const noexcept { return failed_.value_or(Errno{ENOENT}); }

 private:
  Pool& pool_;
  PoolFacts& directories_;
  const char* const name_;
  const std::size_t first_;
  std::optional<std::size_t> last_;
  FileStat stat_;
  std::optional<Errno> failed_;
};

/// Looks up entries of a merged listing as LOOKUP would, but first where they were listed.
class MergedLook {
 public:
  MergedLook(Pool& pool, const BranchSet& set, NodeId node) : pool_(pool), set_(set), node_(node) {}

  Result<Seen> operator()(const char* name) {
    if (!directories_) {
      if (const auto known = directory_path(pool_, node_, path_); !known) return known.error();
      directories_.emplace(pool_, set_, path_.view());
    }
    auto seen = look(name, listed_on_);
    if (!seen && means_absent(seen.error()) && listed_on_ > 0) seen = look(name, 0);
    return seen;
  }

  /// The first branch on which the next entry was listed.
  void listed_on(std::size_t branch) noexcept { listed_on_ = branch; }

 private:
  Result<Seen> look(const char* name, std::size_t first) {
    EntryFacts facts(pool_, *directories_, name, first);
    const policy::Choice choice = choose_shown(pool_.settings, facts, pool_.random);
    if (choice.empty()) return unanswered(*directories_).value_or(facts.why_not());
    auto stat = facts.stat(choice[0]);
    if (!stat) return stat.error();
    if (stat->is_directory())
      for (std::size_t i = 0; i < set_.size(); ++i) {
        const auto other = i == choice[0] ? Result<FileStat>(Errno{ENOENT}) : facts.stat(i);
        if (other && other->is_directory()) add_copy(*stat, *other);
      }
    const int directory = directories_->directory(choice[0]).fd();
    return Seen{&set_[choice[0]],
                shown_as(pool_, set_[choice[0]], path_.view(), directory, name, *stat)};
  }

  Pool& pool_;
  const BranchSet& set_;
  const NodeId node_;
  std::size_t listed_on_ = 0;
  PathText path_;
  std::optional<PoolFacts> directories_;
};

/// What a listing tells of an entry's type. With symlinkify what is neither a directory nor a link
/// may be shown as a link by the time it is looked up: nothing is told then, so that programs ask.
/// (To look at each file for that would cost more than the few who ask do.)
std::uint32_t told_type(const Settings& settings, std::uint32_t type) noexcept {
  const bool known = !settings.links.symlinkify || type == kDirectoryType || type == kLinkType;
  return known ? type : 0;
}

/// READDIR's reply. A raw record of n bytes needs at most n * 4 / 3 here.
class PlainOut {
 public:
  PlainOut(Pool& pool, NodeId node, proto::DirentPacker& out)
      : pool_(pool), node_(node), out_(out) {}
  [[nodiscard]] std::size_t size() const noexcept { return out_.size(); }
  [[nodiscard]] static std::size_t raw_bytes(std::size_t room) noexcept { return room * 3 / 4; }
  [[nodiscard]] bool put_dot(const proto::Dirent& entry) { return out_.add(entry); }
  template <class Look>
  [[nodiscard]] bool put(proto::Dirent entry, Look& look, const Numbers& number, bool several) {
    if (number.want_look(entry.type, several)) {
      const Result<Seen> seen = look(entry.name.data());
      if (seen) {
        entry.ino = number(entry.name, *seen->branch, seen->shown.stat, seen->shown.followed);
        entry.type = seen->shown.stat.mode >> 12U & 15U;
      }
    }
    if (pool_.relocations.moved() != 0) keep_number(entry);
    entry.type = told_type(pool_.settings, entry.type);
    return out_.add(entry);
  }

 private:
  /// A file that has moved has the number that it had, for as long as it is known.
  void keep_number(proto::Dirent& entry) const {
    const InodeCalc calc = pool_.settings.inode_calc;
    if (entry.type != kFileType || calc == InodeCalc::kPassthrough || goes_by_path(calc, false))
      return;
    NodeView view;
    const NodeId child = pool_.nodes.child(node_, entry.name);
    if (child != proto::kNoNode && pool_.nodes.view(child, view) && !view.directory)
      entry.ino = is_short(calc) ? short_ino(view.ino) : view.ino;
  }

  Pool& pool_;
  const NodeId node_;
  proto::DirentPacker& out_;
};

/// READDIRPLUS's reply. A raw record of n bytes needs at most n * 20 / 3 here.
class PlusOut {
 public:
  PlusOut(Pool& pool, NodeId node, proto::DirentPlusPacker& out)
      : pool_(pool), node_(node), out_(out) {}
  [[nodiscard]] std::size_t size() const noexcept { return out_.size(); }
  [[nodiscard]] static std::size_t raw_bytes(std::size_t room) noexcept { return room * 3 / 20; }
  [[nodiscard]] bool put_dot(const proto::Dirent& entry) { return out_.add_plain(entry); }
  /// A name that is gone by now is left out; one that cannot be looked at is shown without
  /// attributes.
  template <class Look>
  [[nodiscard]] bool put(proto::Dirent entry, Look& look, const Numbers& /*number*/,
                         bool /*several*/) {
    if (!out_.fits(entry.name)) return false;
    const Result<Seen> seen = look(entry.name.data());
    if (!seen) return means_absent(seen.error()) || out_.add_plain(entry);
    auto reply = show_entry(pool_, node_, entry.name, *seen->branch, seen->shown);
    if (!reply) return out_.add_plain(entry);
    entry.ino = reply->entry.attr.ino;
    entry.type = reply->entry.attr.mode >> 12U & 15U;
    // The kernel keeps the listing for longer than the entry.
    if (pool_.settings.cache_readdir)
      entry.type = told_type(pool_.settings, seen->shown.stat.mode >> 12U & 15U);
    return out_.add(entry, *reply);
  }

 private:
  Pool& pool_;
  const NodeId node_;
  proto::DirentPlusPacker& out_;
};

/// The directory's own inode number, or its parent's.
std::uint64_t dot_ino(Pool& pool, NodeId directory, bool parent) {
  const NodeId above = parent ? pool.nodes.parent(directory) : proto::kNoNode;
  const NodeId node = above != proto::kNoNode ? above : directory;
  NodeView view;
  if (!pool.nodes.view(node, view)) return 0;
  FileStat stat;
  stat.mode = kDirectoryType << 12U;
  BranchId branch = kNoBranch;
  if (!goes_by_path(pool.settings.inode_calc, true)) {
    std::uint64_t ino = 0;
    const auto found = stat_node(pool, node, ino, branch);
    if (!found) return view.ino;
    stat = *found;
  }
  return number_of(pool, node, view.ino, stat, branch);
}

/// Nothing was packed though there is something: the reply buffer cannot hold even one record.
template <class Out>
Result<void> full(const Out& out) {
  if (out.size() == 0) return Errno{EINVAL};
  return {};
}

template <class Out>
Result<void> list_one(Pool& pool, const DirHandle& handle, Branch& branch, std::uint64_t offset,
                      std::size_t size, Out& out) {
  const int fd = handle.fd.get();
  if (const auto at = pool.backing.seek(fd, offset, SEEK_SET); !at) {
    // ext4 knows no offset in a directory any more that was removed: that is its end.
    const auto stat = pool.backing.stat(fd);
    return stat && stat->nlink == 0 ? Result<void>() : at.error();
  }
  const bool follows = pool.settings.links.follow != FollowSymlinks::kNever;
  PathText path;
  const bool named = follows && directory_path(pool, handle.node, path).has_value();
  const auto look = [&](const char* name) -> Result<Seen> {
    // A link that is gone cannot say into what may be looked; a directory that is gone is empty.
    if (follows && !named) return Errno{ENOENT};
    const auto stat = stat_name(pool, branch, path.view(), fd, name);
    if (!stat) return stat.error();
    if (!follows) return Seen{&branch, {*stat, false}};
    return Seen{&branch, shown_as(pool, branch, path.view(), fd, name, *stat)};
  };
  const Numbers number(pool, handle.node);
  const std::uint64_t device = number.device(branch);
  alignas(8) std::array<std::byte, kBuffer> buffer;
  for (;;) {
    // No more is read than fits, as a rule: what does not is read again from its cookie.
    const std::size_t raw = Out::raw_bytes(size - out.size());
    if (raw < kLargestRecord && out.size() > 0) return {};
    const auto got =
        pool.backing.list(fd, std::span(buffer).first(std::clamp(raw, kLargestRecord, kBuffer)));
    if (!got && (out.size() > 0 || got.error() == Errno{ENOENT})) return {};
    if (!got) return got.error();
    if (*got == 0) return {};
    RawDirents records{std::span(buffer).first(*got)};
    while (const auto entry = records.next()) {
      proto::Dirent shown{entry->name, 0, entry->next, entry->type};
      if (is_dot(entry->name)) {
        shown.ino = dot_ino(pool, handle.node, entry->name.size() == 2);
        if (!out.put_dot(shown)) return full(out);
      } else if (presentable(handle.node, entry->name) &&
                 !pool.unsettled.hides(device, entry->ino)) {
        shown.ino = number(entry->name, branch, listed_stat(device, entry->ino, entry->type));
        if (!out.put(shown, look, number, false)) return full(out);
      }
    }
    if (records.broken() && out.size() == 0) return Errno{EIO};
  }
}

template <class Out>
Result<void> list_merged(Pool& pool, const DirHandle& handle, const BranchSet& set,
                         std::uint64_t offset, Out& out) {
  if (offset < kSelfCookie &&
      !out.put_dot({".", dot_ino(pool, handle.node, false), kSelfCookie, kDirectoryType}))
    return full(out);
  if (offset < kParentCookie &&
      !out.put_dot({"..", dot_ino(pool, handle.node, true), kParentCookie, kDirectoryType}))
    return full(out);
  MergedLook look(pool, set, handle.node);
  const Numbers number(pool, handle.node);
  const DirSnapshot& names = *handle.snapshot;
  for (std::size_t i = names.after(offset); i < names.size(); ++i) {
    if (handle.taken_of == set.serial()) look.listed_on(names.branch(i));
    if (!out.put(names[i], look, number, names.on_several(i))) return full(out);
  }
  return {};
}

/// Of a branch that has left the pool.
void let_go_if_left(const Pool& pool, DirHandle& handle) {
  const auto set = pool.branches.snapshot();
  const std::unique_lock lock(handle.mutex, std::try_to_lock);
  if (lock && handle.branch != kNoBranch && set->by_id(handle.branch) == nullptr) handle.fd.reset();
}

template <class Out>
Result<void> list_locked(Pool& pool, const Context& context, DirHandle& handle,
                         const BranchSet& set, std::uint64_t offset, std::size_t size, Out& out) {
  const Reading lock(handle);
  if (const auto ready = prepare(pool, handle, set, offset); !ready) return ready;
  if (handle.branch == kNoBranch) return list_merged(pool, handle, set, offset, out);
  Branch* const branch = set.by_id(handle.branch);
  // The only branch that had the directory has left the pool, and all that is not listed yet.
  if (branch == nullptr) return {};
  note_branch(context, *branch);
  return list_one(pool, handle, *branch, offset, size, out);
}

template <class Out>
Result<void> list(Pool& pool, const Context& context, DirHandle& handle, std::uint64_t offset,
                  std::size_t size, Out& out) {
  const auto set = pool.branches.snapshot();
  auto listed = list_locked(pool, context, handle, *set, offset, size, out);
  // Who took a branch out meanwhile found the handle locked.
  if (pool.branches.snapshot() != set) let_go_if_left(pool, handle);
  return listed;
}

/// FOPEN_* flags by which the kernel keeps a listing, and serves the one that it has if no copy of
/// the directory changed since it was last opened. It looks by itself at no more than the mtime
/// that it was shown, which is one copy's.
std::uint32_t listing_flags(Pool& pool, NodeId node) {
  if (!pool.settings.cache_readdir) return 0;
  PathText path;
  if (!directory_path(pool, node, path)) return 0;
  const auto set = pool.branches.snapshot();
  std::vector<FileStat> copies;
  for (const auto& branch : *set) {
    const auto directory = open_directory(pool, *branch, path.view());
    const auto stat = directory ? pool.backing.stat(directory->fd()) : directory.error();
    if (stat)
      copies.push_back(*stat);
    else if (!means_absent(stat.error()))
      return 0;
  }
  const std::int64_t now = std::chrono::duration_cast<std::chrono::nanoseconds>(
                               std::chrono::system_clock::now().time_since_epoch())
                               .count();
  namespace flag = proto::abi::open_reply;
  if (!pool.seen_files.unchanged(node, copies, now)) return flag::kCacheDir;
  return flag::kCacheDir | flag::kKeepCache;
}

}  // namespace

/// A directory that was removed while somebody was in it can still be opened; listing it is ENOENT,
/// as it is natively.
Result<proto::OpenReply> opendir(Pool& pool, const Context& context,
                                 const proto::OpendirRequest& /*request*/) {
  const auto directory = reach(pool, context.node);
  if (!directory) return directory.error();
  if (!directory->stat.is_directory()) return Errno{ENOTDIR};
  note_branch(context, pool, directory->branch);
  proto::OpenReply reply;
  reply.flags = listing_flags(pool, context.node);
  const HandleId handle = pool.handles.add(std::make_unique<DirHandle>(context.node));
  if (pool.nodes.hold(context.node) == 0) {
    (void)pool.handles.remove(handle);
    return Errno{ESTALE};
  }
  reply.claim = proto::HandleClaim(pool.owner, handle);
  return reply;
}

Result<void> readdir(Pool& pool, const Context& context, const proto::ReaddirRequest& request,
                     proto::DirentPacker& out) {
  const auto handle = pool.handles.directory(request.handle);
  if (!handle) return Errno{EBADF};
  PlainOut plain(pool, handle->node, out);
  return list(pool, context, *handle, request.offset, request.size, plain);
}

Result<void> readdirplus(Pool& pool, const Context& context,
                         const proto::ReaddirplusRequest& request, proto::DirentPlusPacker& out) {
  const auto handle = pool.handles.directory(request.handle);
  if (!handle) return Errno{EBADF};
  PlusOut plus(pool, handle->node, out);
  return list(pool, context, *handle, request.offset, request.size, plus);
}

/// On every branch that has the directory: a name in it may have been changed on any.
Result<void> fsyncdir(Pool& pool, const Context& /*context*/,
                      const proto::FsyncdirRequest& request) {
  const auto handle = pool.handles.directory(request.handle);
  if (!handle) return Errno{EBADF};
  PathText path;
  if (const auto known = directory_path(pool, handle->node, path); !known)
    return known.error() == Errno{ENOENT} ? Result<void>() : known;
  const auto set = pool.branches.snapshot();
  const auto copies = open_copies(pool, *set, path.view());
  if (!copies) return copies.error();
  Result<void> first_failure;
  for (const OpenCopy& copy : *copies) {
    const auto synced = pool.backing.sync(copy.fd.get(), request.data_only);
    if (!synced && first_failure) first_failure = synced;
  }
  return first_failure;
}

void let_go_of_listings(Pool& pool) noexcept {
  try {
    pool.handles.each_directory([](DirHandle& handle) {
      if (&handle == reading) return;
      const std::unique_lock lock(handle.mutex, std::try_to_lock);
      if (!lock) return;
      handle.fd.reset();
      handle.snapshot.reset();
    });
  } catch (const std::bad_alloc&) {
    // What is kept now is let go of another time.
    return;
  }
}

}  // namespace bough::ops
