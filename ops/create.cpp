#include <fcntl.h>
#include <sys/stat.h>

#include <optional>
#include <type_traits>

#include "ops/attributes.hpp"
#include "ops/credentials.hpp"
#include "ops/followed_path.hpp"
#include "ops/operations.hpp"
#include "ops/place.hpp"
#include "ops/room.hpp"

namespace bough::ops {
namespace {

constexpr std::uint32_t kPermissions = 07777;

/// Runs `call` (a Result) as the one who asked for a new name; out of descriptors, once more.
template <class Call>
auto as_caller(Pool& pool, const Context& context, const proto::Extensions& extensions,
               std::uint32_t umask, Call call) -> decltype(call()) {
  return open_with_relief(pool, [&]() -> decltype(call()) {
    const CallerGuard guard(pool, context.uid, context.gid, extensions.group, umask,
                            CallerGuard::Purpose::kCreate);
    if (const auto ready = guard.ready(); !ready) return ready.error();
    return call();
  });
}

/// Where something new goes.
struct Place {
  Branch& branch;
  DirRef parent;
};

/// Of a file there is one.
struct NowhereElse {};

/// Chooses a branch for something new in the directory `path`, makes the directory there if need
/// be, and calls `make` (Result<Out>(Place&)). Another branch is chosen when something that is no
/// directory stands in the way there, and when the branch says EROFS: a read-only mount inside it,
/// or a whole disk that is. (After an error ext4 refuses every change so, and since Linux 6.12 its
/// statfs(2) does not tell.) Where no branch is left the first of these is the answer. When the
/// policy chooses several, one that succeeds is enough, and `also` (void(Place&)) is called for
/// those after it.
template <class Out, class Make, class Also>
Result<Out> make_on_chosen_branch(Pool& pool, const policy::Policy& policy, const BranchSet& set,
                                  std::string_view path, PoolFacts& facts, Make make, Also also) {
  std::optional<Errno> failed;
  for (;;) {
    const policy::Choice choice = policy.choose(facts, pool.random);
    if (choice.empty())
      return failed ? *failed : unanswered(facts).value_or(refusal_errno(choice.refusal()));
    Branch& branch = set[choice[0]];
    auto parent = reach_or_clone(pool, set, choice[0], path, facts);
    const bool in_the_way =
        !parent && (parent.error() == Errno{ENOTDIR} || parent.error() == Errno{ELOOP});
    auto made = [&]() -> Result<Out> {
      if (!parent) return parent.error();
      Place place{branch, *std::move(parent)};
      return make(place);
    }();
    constexpr bool kOnEach = !std::is_same_v<Also, NowhereElse>;
    if (made) {
      for (std::size_t i = 1; kOnEach && i < choice.size(); ++i) {
        auto further = reach_or_clone(pool, set, choice[i], path, facts);
        if (!further) continue;
        Place place{set[choice[i]], *std::move(further)};
        if constexpr (kOnEach) also(place);
      }
      return made;
    }
    const bool read_only = made.error() == Errno{EROFS};
    if (read_only) demote_if_read_only(pool, set, choice[0]);
    const bool elsewhere = kOnEach && choice.size() > 1 && made.error() != Errno{EEXIST};
    const bool full = pool.settings.move_when_full != nullptr && lacks_room(made.error());
    if (!in_the_way && !read_only && !elsewhere && !full) return made;
    if (!failed) failed = made.error();
    facts.rule_out(choice[0]);
  }
}

/// A new name of any kind but a file that is opened at once. `make` (Result<void>(int parent))
/// makes it; a resent request finds it made: `same` (bool(const FileStat&)) recognises it.
template <class Make, class Same>
Result<proto::EntryReply> make_name(Pool& pool, CreateFunction function, const Context& context,
                                    Name name, bool directory, Make make, Same same) {
  if (name.size() > kNameMax) return Errno{ENAMETOOLONG};
  PathText path;
  if (const auto known = directory_path(pool, context.node, path); !known) return known.error();
  const auto set = branches_of(pool, path.view());
  PoolFacts facts(pool, *set, path.view());
  const auto existing = find_existing(pool, context, facts, name);
  if (!existing) return existing.error();
  if (existing->has_value()) {
    const Existing& found = **existing;
    if (!context.unique.resent() || !same(found.stat)) return Errno{EEXIST};
    pool.figures.replays.fetch_add(1, std::memory_order_relaxed);
    return make_entry(pool, context.node, name.view(), (*set)[found.branch], found.stat);
  }
  const auto make_first = [&](Place& place) -> Result<proto::EntryReply> {
    const int parent = place.parent.fd();
    if (const auto made = make(parent); !made) return made.error();
    UndoName undo(pool.backing, parent, name.c_str(), directory);
    const auto stat = pool.backing.stat_at(parent, name.c_str());
    if (!stat) return stat.error();
    auto reply = make_entry(pool, context.node, name.view(), place.branch, *stat);
    if (!reply) return reply.error();
    undo.dismiss();
    note_branch(context, place.branch);
    return reply;
  };
  const policy::Policy& policy = pool.settings.create[function];
  if (function == CreateFunction::kCreate)
    return make_on_chosen_branch<proto::EntryReply>(pool, policy, *set, path.view(), facts,
                                                    make_first, NowhereElse{});
  return make_on_chosen_branch<proto::EntryReply>(
      pool, policy, *set, path.view(), facts, make_first,
      [&](Place& place) { (void)make(place.parent.fd()); });
}

/// A resent CREATE whose file is there: opened as it is. It is as new as it was, since nobody got a
/// handle.
Result<proto::CreateReply> reopen_created(Pool& pool, const Context& context,
                                          const proto::CreateRequest& request, Branch& branch,
                                          int parent) {
  auto fd = open_with_relief(pool, [&] {
    return pool.backing.open_at(
        parent, request.name.c_str(),
        branch_open_flags(request.flags, pool.settings.files.writeback) & ~O_TRUNC, 0);
  });
  if (!fd) return fd.error();
  const auto stat = pool.backing.stat(fd->get());
  if (!stat) return stat.error();
  proto::CreateReply reply;
  auto entry = make_entry(pool, context.node, request.name.view(), branch, *stat);
  if (!entry) return entry.error();
  reply.entry = *std::move(entry);
  auto open = add_file_handle(pool, context, reply.entry.entry.node, *std::move(fd), branch.id(),
                              *stat, request.flags);
  if (!open) return open.error();
  reply.open = *std::move(open);
  pool.figures.replays.fetch_add(1, std::memory_order_relaxed);
  return reply;
}

}  // namespace

Result<proto::EntryReply> symlink(Pool& pool, const Context& context,
                                  const proto::SymlinkRequest& request) {
  auto made = make_name(
      pool, CreateFunction::kSymlink, context, request.name, false,
      [&](int parent) {
        return as_caller(pool, context, request.extensions, 0, [&] {
          return pool.backing.symlink_at(request.target.data(), parent, request.name.c_str());
        });
      },
      [](const FileStat& stat) { return stat.is_symlink(); });
  // The answer has to be a link; what the name is shown as, the kernel asks for then.
  if (made && pool.settings.links.follow != FollowSymlinks::kNever)
    made->entry.entry_valid = made->entry.attr_valid = std::chrono::nanoseconds(0);
  return made;
}

Result<proto::EntryReply> mknod(Pool& pool, const Context& context,
                                const proto::MknodRequest& request) {
  return make_name(
      pool, S_ISREG(request.mode) ? CreateFunction::kCreate : CreateFunction::kMknod, context,
      request.name, false,
      [&](int parent) {
        return as_caller(pool, context, request.extensions, request.umask, [&] {
          return pool.backing.mknod_at(parent, request.name.c_str(), request.mode, request.rdev);
        });
      },
      [&](const FileStat& stat) { return ((stat.mode ^ request.mode) & S_IFMT) == 0; });
}

Result<proto::EntryReply> mkdir(Pool& pool, const Context& context,
                                const proto::MkdirRequest& request) {
  return make_name(
      pool, CreateFunction::kMkdir, context, request.name, true,
      [&](int parent) {
        return as_caller(pool, context, request.extensions, request.umask, [&] {
          const auto made =
              pool.backing.mkdir_at(parent, request.name.c_str(), request.mode & kPermissions);
          pool.directories.made();
          return made;
        });
      },
      [](const FileStat& stat) { return stat.is_directory(); });
}

Result<proto::CreateReply> create(Pool& pool, const Context& context,
                                  const proto::CreateRequest& request) {
  const Name name = request.name;
  if (name.size() > kNameMax) return Errno{ENAMETOOLONG};
  PathText path;
  if (const auto known = directory_path(pool, context.node, path); !known) return known.error();
  const auto set = branches_of(pool, path.view());
  PoolFacts facts(pool, *set, path.view());
  // The kernel sends CREATE for a name that it believes is free, and has checked nobody's right to
  // open what came there meanwhile: after ESTALE it looks the name up afresh, and opens it with all
  // checks.
  const Errno taken{(request.flags & O_EXCL) != 0 ? EEXIST : ESTALE};
  const auto existing = find_existing(pool, context, facts, name);
  if (!existing) return existing.error();
  if (existing->has_value()) {
    const Existing& found = **existing;
    if (context.unique.resent() && found.stat.is_regular() && found.stat.uid == context.uid)
      return reopen_created(pool, context, request, (*set)[found.branch],
                            facts.directory(found.branch).fd());
    return taken;
  }

  const int flags =
      branch_open_flags(request.flags, pool.settings.files.writeback) | O_CREAT | O_EXCL;
  return make_on_chosen_branch<proto::CreateReply>(
      pool, pool.settings.create[CreateFunction::kCreate], *set, path.view(), facts,
      [&](Place& place) -> Result<proto::CreateReply> {
        const int parent = place.parent.fd();
        auto fd = as_caller(pool, context, request.extensions, request.umask, [&] {
          return pool.backing.open_at(parent, name.c_str(), flags, request.mode & kPermissions);
        });
        if (!fd) return fd.error() == Errno{EEXIST} ? taken : fd.error();
        UndoName undo(pool.backing, parent, name.c_str(), false);
        const auto stat = pool.backing.stat(fd->get());
        if (!stat) return stat.error();
        proto::CreateReply reply;
        auto entry = make_entry(pool, context.node, name.view(), place.branch, *stat);
        if (!entry) return entry.error();
        reply.entry = *std::move(entry);
        auto open = add_file_handle(pool, context, reply.entry.entry.node, *std::move(fd),
                                    place.branch.id(), *stat, request.flags);
        if (!open) return open.error();
        reply.open = *std::move(open);
        undo.dismiss();
        note_branch(context, place.branch);
        return reply;
      },
      NowhereElse{});
}

Result<proto::CreateReply> tmpfile(Pool& pool, const Context& context,
                                   const proto::TmpfileRequest& request) {
  PathText path;
  if (const auto known = directory_path(pool, context.node, path); !known) return known.error();
  const auto set = branches_of(pool, path.view());
  PoolFacts facts(pool, *set, path.view());
  // O_EXCL (never to be linked) is kept by the kernel itself.
  const std::uint32_t file_flags = request.flags & ~static_cast<std::uint32_t>(O_TMPFILE | O_EXCL);
  return make_on_chosen_branch<proto::CreateReply>(
      pool, pool.settings.create[CreateFunction::kCreate], *set, path.view(), facts,
      [&](Place& place) -> Result<proto::CreateReply> {
        auto fd = as_caller(pool, context, request.extensions, request.umask, [&] {
          return pool.backing.open_unnamed(
              place.parent.fd(), branch_open_flags(file_flags, pool.settings.files.writeback),
              request.mode & kPermissions);
        });
        if (!fd) return fd.error();
        const auto stat = pool.backing.stat(fd->get());
        if (!stat) return stat.error();
        auto reachable =
            open_with_relief(pool, [&] { return pool.backing.reopen(fd->get(), O_PATH); });
        if (!reachable) return reachable.error();
        const auto counted = pool.nodes.count_unnamed(
            Location{place.branch.id(), stat->id},
            number_in(pool, context.node, place.branch, stat->id),
            std::make_shared<Fd>(*std::move(reachable)), is_followed(path.view()));
        proto::CreateReply reply;
        reply.entry.claim = proto::LookupClaim(pool.owner, counted.node);
        reply.entry.entry.node = counted.node;
        reply.entry.entry.generation = pool.nodes.generation(counted.node);
        reply.entry.entry.entry_valid = entry_validity(pool);
        reply.entry.entry.attr_valid = attr_validity(pool, *stat);
        reply.entry.entry.attr = to_attr(
            pool, *stat, number_of(pool, counted.node, counted.ino, *stat, place.branch.id()));
        auto open = add_file_handle(pool, context, counted.node, *std::move(fd), place.branch.id(),
                                    *stat, file_flags);
        if (!open) return open.error();
        reply.open = *std::move(open);
        note_branch(context, place.branch);
        return reply;
      },
      NowhereElse{});
}

}  // namespace bough::ops
