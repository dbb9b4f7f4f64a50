#include "ops/move_record.hpp"

#include <fcntl.h>

#include <cstring>
#include <span>
#include <utility>

#include "ops/kept_times.hpp"
#include "ops/locate.hpp"
#include "ops/place.hpp"

namespace bough::ops {
namespace {

constexpr std::string_view kPrefix = ".boughfs-";

}  // namespace

HiddenName hidden_name(policy::Random& random, std::string_view suffix) noexcept {
  HiddenName name = hidden_name(random);
  const std::size_t size = std::strlen(name.data());
  static_assert(kPrefix.size() + 16 + kMovedSuffix.size() < std::tuple_size_v<HiddenName>);
  suffix.copy(name.data() + size, name.size() - size - 1);
  return name;
}

bool is_of_a_move(std::string_view name) noexcept {
  if (!name.starts_with(kPrefix)) return false;
  name.remove_prefix(kPrefix.size());
  for (const std::string_view suffix : {kRecordSuffix, kMovedSuffix, kPartSuffix}) {
    if (!name.ends_with(suffix)) continue;
    name.remove_suffix(suffix.size());
    return !name.empty() && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  }
  return false;
}

RecordFile::~RecordFile() {
  if (!kept_) remove();
}

void RecordFile::remove() noexcept {
  if (!file_) return;
  const KeptTimes kept(pool_.backing, root_.fd());
  (void)pool_.backing.unlink_at(root_.fd(), name_.data());
  file_.reset();
}

void mark_as_moved(Pool& pool, int root, std::string_view name) {
  if (!name.ends_with(kRecordSuffix)) return;
  const std::string old(name);
  const std::string moved = old.substr(0, old.size() - kRecordSuffix.size()).append(kMovedSuffix);
  const KeptTimes kept(pool.backing, root);
  const auto renamed = pool.backing.rename_at(root, old.c_str(), root, moved.c_str(), 0);
  if (renamed) (void)sync_directory(pool, root);
}

void RecordFile::keep_as_moved() {
  keep();
  mark_as_moved(pool_, root_.fd(), name_.data());
}

Result<void> RecordFile::write(const MoveRecord& record, bool synced) {
  remove();
  auto root = branch_.root();
  if (!root) return root.error();
  root_ = *std::move(root);
  name_ = hidden_name(pool_.random, kRecordSuffix);
  auto file = open_with_relief(pool_, [&] {
    const KeptTimes kept(pool_.backing, root_.fd());
    return pool_.backing.open_at(root_.fd(), name_.data(), O_WRONLY | O_CREAT | O_EXCL, 0600);
  });
  if (!file) return file.error();
  file_ = *std::move(file);
  if (const auto locked = pool_.backing.lock(file_.get()); !locked && !cannot_hold(locked.error()))
    return locked;
  const std::string text = text_of(record);
  const auto bytes = std::as_bytes(std::span(text));
  for (std::size_t at = 0; at < bytes.size();) {
    const auto written = pool_.backing.write(file_.get(), bytes.subspan(at), at, false);
    if (!written) return written.error();
    if (*written == 0) return Errno{EIO};
    at += *written;
  }
  if (synced) {
    if (const auto done = pool_.backing.sync(file_.get(), false); !done) return done;
    if (const auto done = sync_directory(pool_, root_.fd()); !done) return done;
  }
  // Before it was locked somebody may have taken it for one that a crash left.
  const auto mine = pool_.backing.stat(file_.get());
  const auto named = pool_.backing.stat_at(root_.fd(), name_.data());
  if (!mine) return mine.error();
  if (!named) return named.error();
  if (mine->id != named->id) return Errno{EBUSY};
  return {};
}

}  // namespace bough::ops
