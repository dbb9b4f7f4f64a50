#include "ops/directory_cache.hpp"

#include <utility>

#include "ops/hash.hpp"

namespace bough::ops {

DirectoryCache::Slot& DirectoryCache::slot(BranchId branch, std::string_view path) noexcept {
  // One directory's copies lie side by side, so that they do not take each other's place.
  return slots_[(hash_text(path) + branch) % kSlots];
}

std::shared_ptr<const Fd> DirectoryCache::find(BranchId branch, std::string_view path,
                                               Clock::duration valid) {
  const auto now = Clock::now();
  Slot& kept = slot(branch, path);
  const std::lock_guard lock(mutex_);
  const bool good = kept.directory && kept.branch == branch && kept.changes >= last_move_ &&
                    now - kept.since < valid && kept.path == path;
  return good ? kept.directory : nullptr;
}

void DirectoryCache::put(BranchId branch, std::string_view path,
                         std::shared_ptr<const Fd> directory, std::uint64_t changes) {
  if (path.size() > kLongestPath) return;
  const auto now = Clock::now();
  Slot& kept = slot(branch, path);
  std::string text(path);
  const std::lock_guard lock(mutex_);
  if (changes != changes_.load()) return;
  kept.branch = branch;
  // What goes is closed by the caller, outside of the lock.
  kept.path.swap(text);
  kept.directory.swap(directory);
  kept.changes = changes;
  kept.since = now;
}

void DirectoryCache::moved() noexcept {
  const std::lock_guard lock(mutex_);
  last_move_ = changes_.fetch_add(1) + 1;
  made();
}

std::uint64_t DirectoryCache::mark(BranchId branch, std::string_view path,
                                   Clock::duration valid) const noexcept {
  const auto turn = static_cast<std::uint64_t>(Clock::now().time_since_epoch() / valid);
  return combine_hash(combine_hash(hash_text(path), branch), combine_hash(made_.load(), turn));
}

bool DirectoryCache::absent(BranchId branch, std::string_view path,
                            Clock::duration valid) const noexcept {
  if (valid.count() == 0) return false;
  const std::uint64_t expected = mark(branch, path, valid);
  return absent_[(hash_text(path) + branch) % absent_.size()].load() == expected;
}

void DirectoryCache::note_absent(BranchId branch, std::string_view path,
                                 Clock::duration valid) noexcept {
  if (valid.count() == 0) return;
  absent_[(hash_text(path) + branch) % absent_.size()].store(mark(branch, path, valid));
}

void DirectoryCache::removed(BranchId branch, std::string_view path) noexcept {
  std::shared_ptr<const Fd> dropped;
  Slot& kept = slot(branch, path);
  const std::lock_guard lock(mutex_);
  changes_.fetch_add(1);
  if (kept.branch == branch && kept.path == path) dropped.swap(kept.directory);
}

void DirectoryCache::clear() noexcept {
  std::array<std::shared_ptr<const Fd>, kSlots> gone;
  const std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < kSlots; ++i) gone[i] = std::exchange(slots_[i].directory, nullptr);
}

}  // namespace bough::ops
