#include "ops/place.hpp"

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>

#include "ops/clone_path.hpp"
#include "ops/copy_metadata.hpp"
#include "ops/raw_dirents.hpp"

namespace bough::ops {

std::optional<Errno> unanswered(const PoolFacts& facts) noexcept {
  const auto& failed = facts.first_error();
  const bool gone = failed == Errno{ESTALE} && !facts.is_followed();
  return gone ? std::nullopt : failed;
}

Result<std::optional<Existing>> find_existing(Pool& pool, const Context& context, PoolFacts& facts,
                                              Name name) {
  if (!context.unique.resent() && pool.free_names.take(context.node, name.view()))
    return std::optional<Existing>();
  std::optional<Errno> failure;
  for (std::size_t i = 0; i < facts.branches(); ++i) {
    if (!facts.exists(i)) continue;
    const auto stat = facts.stat_name(i, name.c_str());
    if (stat) return std::optional(Existing{i, *stat});
    if (!means_absent(stat.error()) && !failure) failure = stat.error();
  }
  if (!failure) failure = unanswered(facts);
  if (failure) return *failure;
  return std::optional<Existing>();
}

Result<DirRef> reach_or_clone(Pool& pool, const BranchSet& set, std::size_t index,
                              std::string_view path, PoolFacts& facts) {
  if (facts.exists(index)) return facts.take_directory(index);
  return clone_parents(pool, set, index, path);
}

Result<DirRef> clone_parents(Pool& pool, const BranchSet& set, std::size_t index,
                             std::string_view path) {
  // Each component as its own shown copy is: that of the last one may have others above it.
  for (std::size_t end = path.find('/');; end = path.find('/', end + 1)) {
    const std::string_view part = path.substr(0, end);
    PoolFacts part_facts(pool, set, part);
    const policy::Choice from =
        pool.settings.search[SearchFunction::kGetattr].choose(part_facts, pool.random);
    if (from.empty()) return unanswered(part_facts).value_or(refusal_errno(from.refusal()));
    auto cloned = clone_path(pool, set[from[0]], set[index], part);
    if (!cloned || end == std::string_view::npos) return cloned;
  }
}

Result<DirRef> reach_or_clone_synced(Pool& pool, const BranchSet& set, std::size_t index,
                                     const std::string& path) {
  auto there = open_directory(pool, set[index], path);
  if (there || there.error() != Errno{ENOENT}) return there;
  auto cloned = clone_parents(pool, set, index, path);
  if (!cloned) return cloned;
  for (std::size_t end = 0; end != std::string::npos; end = path.find('/', end + 1)) {
    const auto above = open_directory(pool, set[index], std::string_view(path).substr(0, end));
    if (!above) return above.error();
    if (const auto synced = sync_directory(pool, above->fd()); !synced) return synced.error();
  }
  return cloned;
}

Result<DirRef> or_exdev(Result<DirRef> reached) {
  if (!reached && (reached.error() == Errno{ENOTDIR} || reached.error() == Errno{ELOOP}))
    return Errno{EXDEV};
  return reached;
}

bool keeps_to_paths(const Pool& pool) noexcept {
  return pool.settings.create[CreateFunction::kCreate].path_preserving &&
         !pool.settings.clone_on_rename;
}

bool may_be_misled(Errno error) noexcept {
  switch (error.value()) {
    case EEXIST:
    case EXDEV:
    case EISDIR:
    case ENOTEMPTY:
    case EROFS:
      return true;
    default:
      return means_absent(error);
  }
}

namespace {

/// Whether nothing at all can be made on a branch, whatever its statfs(2) says: tried with a file
/// that has no name, or, where there is no such thing, one that loses it at once.
bool refuses_all(Pool& pool, Branch& branch) {
  constexpr std::uint32_t kMode = 0600;
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  const auto root = branch.root();
  if (!root) return false;
  const auto unnamed = open_with_relief(
      pool, [&] { return pool.backing.open_unnamed(root->fd(), O_WRONLY, kMode); });
  if (unnamed) return false;
  if (unnamed.error() != Errno{EOPNOTSUPP} && unnamed.error() != Errno{EISDIR})
    return unnamed.error() == Errno{EROFS};
  std::string name = "._XXXXXX";
  for (std::size_t i = 2; i < name.size(); ++i)
    name[i] = kLetters[pool.random.next() % kLetters.size()];
  const auto named = open_with_relief(pool, [&] {
    return pool.backing.open_at(root->fd(), name.c_str(), O_CREAT | O_EXCL | O_WRONLY, kMode);
  });
  if (named) (void)pool.backing.unlink_at(root->fd(), name.c_str());
  return !named && named.error() == Errno{EROFS};
}

}  // namespace

void demote_if_read_only(Pool& pool, const BranchSet& set, std::size_t index) {
  const auto space = set[index].statfs();
  if (!space || (!space->read_only && !refuses_all(pool, set[index]))) return;
  pool.branches.demote(set, set[index].id());
  pool.figures.demotions.fetch_add(1, std::memory_order_relaxed);
}

Result<void> may_leave_others(PoolFacts& facts, const policy::Choice& chosen, std::size_t shown) {
  for (std::size_t i = 0; i < facts.branches(); ++i) {
    if (!facts.exists(i)) continue;
    bool is_chosen = false;
    for (std::size_t k = 0; k < chosen.size(); ++k) is_chosen = is_chosen || chosen[k] == i;
    if (is_chosen) continue;
    if (facts.mode(i) != BranchMode::kReadOnly) {
      const auto space = facts.space(i);
      if (!space) return facts.first_error().value_or(Errno{EIO});
      if (!space->read_only) continue;
    }
    if (i == shown) return Errno{EROFS};
  }
  return {};
}

Result<bool> is_empty_directory(Pool& pool, int parent, const char* name) {
  const auto directory = open_with_relief(
      pool, [&] { return pool.backing.open_at(parent, name, O_RDONLY | O_DIRECTORY, 0); });
  if (!directory) return directory.error();
  alignas(8) std::array<std::byte, 4096> buffer;
  for (;;) {
    const auto got = pool.backing.list(directory->get(), buffer);
    if (!got) return got.error();
    if (*got == 0) return true;
    RawDirents records{std::span(buffer).first(*got)};
    while (const auto entry = records.next())
      if (!is_dot(entry->name)) return false;
    if (records.broken()) return Errno{EIO};
  }
}

std::shared_ptr<Fd> pin_victim(Pool& pool, int parent, const char* name, const FileId& expected) {
  auto opened =
      open_with_relief(pool, [&] { return pool.backing.open_at(parent, name, O_PATH, 0); });
  if (opened) {
    const auto stat = pool.backing.stat(opened->get());
    if (stat && stat->id == expected) {
      pool.last_removal.store(std::chrono::steady_clock::now());
      return std::make_shared<Fd>(std::move(*opened));
    }
  }
  pool.figures.unpinned_victims.fetch_add(1, std::memory_order_relaxed);
  return nullptr;
}

Result<void> sync_directory(Pool& pool, int directory) {
  const auto readable = open_with_relief(
      pool, [&] { return pool.backing.reopen(directory, O_RDONLY | O_DIRECTORY); });
  if (!readable) return readable.error();
  const auto synced = pool.backing.sync(readable->get(), false);
  if (!synced && cannot_hold(synced.error())) return {};
  return synced;
}

UndoName::~UndoName() {
  if (name_ == nullptr) return;
  if (directory_)
    (void)backing_.rmdir_at(parent_, name_);
  else
    (void)backing_.unlink_at(parent_, name_);
}

}  // namespace bough::ops
