#include "ops/name_index.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <span>
#include <utility>

#include "ops/followed_path.hpp"
#include "ops/hash.hpp"
#include "ops/locate.hpp"
#include "ops/pool.hpp"
#include "ops/raw_dirents.hpp"

namespace bough::ops {
namespace {

/// Listing a directory costs what some look-ups of every branch cost.
constexpr std::uint32_t kWorthIt = 8;
constexpr std::chrono::seconds kWindow{1};
/// Until a directory that cannot be listed, or has too many names, is tried again; and until one
/// that nobody asks about is let go of.
constexpr std::chrono::seconds kPause{10};
/// Of all copies together.
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 20U;
constexpr std::uint64_t kAllBranches = ~std::uint64_t{0};
constexpr std::uint32_t kDirectoryType = 4;  // DT_DIR
constexpr std::uint32_t kUnknownType = 0;    // DT_UNKNOWN

/// XFS that was made with -n version=ci.
bool xfs_ignores_case(Backing& backing, int directory) {
  // struct xfs_fsop_geom_v1, and what XFS_FSOP_GEOM_FLAGS_DIRV2CI is in its `flags`.
  constexpr std::uint32_t kGeometry = 0x80705864;
  constexpr std::size_t kFlags = 92;
  constexpr std::uint32_t kIgnoresCase = 1U << 13U;
  std::array<std::byte, 112> geometry{};
  if (!backing.control(directory, kGeometry, geometry)) return true;
  std::uint32_t flags = 0;
  std::memcpy(&flags, geometry.data() + kFlags, sizeof flags);
  return (flags & kIgnoresCase) != 0;
}

/// Whether a name in the directory is there exactly if it is listed, and nobody can make one
/// without this kernel.
bool lists_truly(Backing& backing, int directory) {
  constexpr std::uint32_t kBtrfs = 0x9123683e;
  constexpr std::uint32_t kF2fs = 0xf2f52010;
  constexpr std::uint32_t kCasefold = 0x40000000;   // FS_CASEFOLD_FL
  constexpr std::uint32_t kEncrypted = 0x00000800;  // FS_ENCRYPT_FL: other names with the key
  const auto fs = backing.statfs(directory);
  if (!fs) return false;
  if (fs->type == XFS_SUPER_MAGIC) return !xfs_ignores_case(backing, directory);
  if (fs->type != EXT4_SUPER_MAGIC && fs->type != kBtrfs && fs->type != kF2fs &&
      fs->type != TMPFS_MAGIC)
    return false;
  std::uint32_t flags = 0;
  const auto read =
      backing.control(directory, FS_IOC_GETFLAGS, std::as_writable_bytes(std::span(&flags, 1)));
  // tmpfs had no flags before it had directories that fold case.
  if (!read) return fs->type == TMPFS_MAGIC;
  return (flags & (kCasefold | kEncrypted)) == 0;
}

bool add_names(Backing& backing, int directory, std::uint64_t branch,
               std::vector<NameIndex::Seen>& into) {
  alignas(8) std::array<std::byte, 16384> buffer;
  for (;;) {
    const auto got = backing.list(directory, buffer);
    if (!got) return false;
    if (*got == 0) return true;
    RawDirents records{std::span(buffer).first(*got)};
    while (const auto entry = records.next()) {
      if (is_dot(entry->name)) continue;
      if (into.size() >= NameSet::kMost) return false;
      // A directory gets copies on other branches, which must show in its attributes at once.
      const bool maybe_directory = entry->type == kDirectoryType || entry->type == kUnknownType;
      into.push_back({hash_text(entry->name), maybe_directory ? kAllBranches : branch});
    }
    if (records.broken()) return false;
  }
}

}  // namespace

bool NameIndex::list_copy(Pool& pool, int path_fd, std::size_t branch, int watch, Copy& copy,
                          Listed& into) {
  const auto directory = pool.backing.open_at(path_fd, ".", O_RDONLY | O_DIRECTORY | O_NOATIME, 0);
  if (!directory || !lists_truly(pool.backing, directory->get())) return false;
  copy.watch = watch;
  if (watch != NameWatch::kNone) return true;
  {
    const std::lock_guard lock(mutex_);
    copy.watch = watch_.add(path_fd);
  }
  if (copy.watch == NameWatch::kNone) return false;
  return add_names(pool.backing, directory->get(), std::uint64_t{1} << branch, into.names);
}

bool NameIndex::list(Pool& pool, const BranchSet& set, std::string_view path,
                     const std::vector<Copy>& before, Listed& into) {
  into.copies.resize(set.size());
  for (std::size_t i = 0; i < set.size(); ++i) {
    Copy& copy = into.copies[i];
    const auto directory = recent_directory(pool, set[i], path);
    if (!directory && means_absent(directory.error())) continue;
    if (!directory) return false;
    const auto stat = pool.backing.stat(directory->fd());
    if (!stat) return false;
    copy.device = stat->id.device;
    copy.ino = stat->id.ino;
    into.bytes += stat->size;
    const bool same =
        i < before.size() && before[i].device == copy.device && before[i].ino == copy.ino;
    const int watch = same ? before[i].watch : NameWatch::kNone;
    if (watch == NameWatch::kNone && into.bytes > kMostBytes) return false;
    if (!list_copy(pool, directory->fd(), i, watch, copy, into)) return false;
  }
  return true;
}

std::uint64_t NameIndex::without(const Slot& slot, std::uint64_t hash) noexcept {
  std::uint64_t watched = 0;
  for (std::size_t i = 0; i < slot.copies.size(); ++i)
    if (slot.copies[i].watch != NameWatch::kNone) watched |= std::uint64_t{1} << i;
  return watched & ~slot.names.branches_with(hash);
}

void NameIndex::take_locked(const NameWatch::Event& event) {
  using What = NameWatch::Event::What;
  if (event.what == What::kLost) {
    for (Slot& slot : slots_) release_locked(slot);
    return;
  }
  const bool gone = event.what == What::kGone;
  const std::uint64_t hash = gone ? 0 : hash_text(event.name);
  for (Slot& slot : slots_) {
    if (slot.listing != 0 && gone) slot.gone.push_back(event.watch);
    // It may be of a copy that is being listed.
    if (slot.listing != 0 && !gone) slot.meanwhile.push_back({hash, kAllBranches});
    bool room = true;
    for (std::size_t i = 0; i < slot.copies.size(); ++i) {
      if (slot.copies[i].watch != event.watch) continue;
      const bool one = event.what == What::kName;
      if (gone)
        slot.copies[i].watch = NameWatch::kNone;
      else
        room = slot.names.add(hash, one ? std::uint64_t{1} << i : kAllBranches) && room;
    }
    if (!room) release_locked(slot);
  }
  // Moved, it would be watched on.
  if (gone) watch_.remove(event.watch);
}

void NameIndex::read_events_locked() {
  try {
    watch_.read([this](const NameWatch::Event& event) { take_locked(event); });
  } catch (const std::bad_alloc&) {
    take_locked({NameWatch::Event::What::kLost, NameWatch::kNone, {}});
  }
}

void NameIndex::unwatch_locked(const Copy& copy) noexcept {
  if (copy.watch == NameWatch::kNone) return;
  // One directory has one watch, by whatever way it was reached.
  const bool used = std::any_of(slots_.begin(), slots_.end(), [&](const Slot& slot) {
    return slot.listing != 0 ||
           std::any_of(slot.copies.begin(), slot.copies.end(),
                       [&](const Copy& other) { return other.watch == copy.watch; });
  });
  if (!used) watch_.remove(copy.watch);
}

void NameIndex::release_locked(Slot& slot) noexcept {
  std::vector<Copy> copies;
  copies.swap(slot.copies);
  slot.names.clear();
  slot.meanwhile = {};
  slot.gone = {};
  slot.listing = 0;
  for (const Copy& copy : copies) unwatch_locked(copy);
}

void NameIndex::release_old_locked(Clock::time_point now) noexcept {
  for (Slot& slot : slots_) {
    if (slot.listing != 0 || slot.directory == proto::kNoNode || now - slot.last < kPause) continue;
    release_locked(slot);
    slot = Slot{};
  }
}

void NameIndex::install_locked(Slot& slot, const Listed& listed) {
  std::vector<Copy> before;
  before.swap(slot.copies);
  slot.copies = listed.copies;
  for (Copy& copy : slot.copies)
    if (std::find(slot.gone.begin(), slot.gone.end(), copy.watch) != slot.gone.end())
      copy.watch = NameWatch::kNone;
  bool room = true;
  const auto add = [&](const Seen& each) {
    room = room && slot.names.add(each.hash, each.branches);
  };
  std::for_each(listed.names.begin(), listed.names.end(), add);
  std::for_each(slot.meanwhile.begin(), slot.meanwhile.end(), add);
  slot.meanwhile = {};
  slot.gone = {};
  slot.listing = 0;
  for (std::size_t i = 0; i < before.size(); ++i)
    if (before[i].watch != slot.copies[i].watch) unwatch_locked(before[i]);
  if (!room) release_locked(slot);
}

NameIndex::Answer NameIndex::ask(Pool& pool, const BranchSet& set, proto::NodeId directory,
                                 std::string_view path, std::string_view name) {
  constexpr std::chrono::seconds kLongest{1};
  const auto valid = std::min<std::chrono::nanoseconds>(pool.settings.entry_valid, kLongest);
  if (valid.count() == 0 || set.size() < 2 || set.size() > kMostBranches) return {};
  // Each look-up walks the link's way anew, and one branch is asked.
  if (is_followed(path)) return {};
  const auto now = Clock::now();
  const std::uint64_t hash = hash_text(name);
  Slot& slot = slots_[mix_hash(directory.value) % kSlots];
  std::vector<Copy> before;
  std::uint64_t listing = 0;
  {
    const std::lock_guard lock(mutex_);
    if (slot.directory != directory || slot.set != set.serial()) {
      const bool others = slot.directory != directory && now - slot.last < kWindow;
      if (slot.listing != 0 || others) return {};
      release_locked(slot);
      slot = Slot{};
      slot.directory = directory;
      slot.set = set.serial();
      slot.began = now;
    }
    slot.last = now;
    if (now - slot.began > kWindow) {
      slot.began = now;
      slot.asked = 0;
    }
    ++slot.asked;
    const bool good = !slot.copies.empty() && now - slot.checked < valid;
    if (good) read_events_locked();
    if (good && !slot.copies.empty()) return Answer(without(slot, hash));
    if (slot.listing != 0 || slot.asked < kWorthIt || now < slot.not_before) return {};
    release_old_locked(now);
    listing = slot.listing = ++last_listing_;
    before = slot.copies;
  }
  Listed listed;
  bool done = false;
  try {
    done = list(pool, set, path, before, listed);
  } catch (const std::bad_alloc&) {
    // It is only dearer without.
  }
  const std::lock_guard lock(mutex_);
  read_events_locked();
  if (slot.listing != listing) {
    for (const Copy& copy : listed.copies) unwatch_locked(copy);
    return {};
  }
  slot.asked = 0;
  slot.checked = now;
  if (done) {
    install_locked(slot, listed);
  } else {
    slot.not_before = now + kPause;
    release_locked(slot);
    for (const Copy& copy : listed.copies) unwatch_locked(copy);
  }
  return slot.copies.empty() ? Answer() : Answer(without(slot, hash));
}

void NameIndex::clear() noexcept {
  const std::lock_guard lock(mutex_);
  for (Slot& slot : slots_) slot = Slot{};
  watch_.close();
}

}  // namespace bough::ops
