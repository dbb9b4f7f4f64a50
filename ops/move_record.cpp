#include "ops/move_record.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <span>
#include <utility>

#include "ops/file_copy.hpp"
#include "ops/kept_times.hpp"
#include "ops/locate.hpp"
#include "ops/place.hpp"
#include "ops/raw_dirents.hpp"

namespace bough::ops {
namespace {

constexpr std::string_view kPrefix = ".boughfs-";
constexpr std::string_view kFirstLine = "boughfs move 1\n";
constexpr std::string_view kLastLine = "end\n";
/// More names than any file has that somebody moves.
constexpr std::size_t kLongest = 16U << 20U;

void add(std::string& text, std::initializer_list<std::int64_t> numbers) {
  for (const std::int64_t number : numbers) text.append(" ").append(std::to_string(number));
  text += '\n';
}

std::int64_t as_signed(std::uint64_t number) noexcept {
  return static_cast<std::int64_t>(number);
}

class Reader {
 public:
  explicit Reader(std::string_view text) noexcept : rest_(text) {}

  bool take(std::string_view word) noexcept {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  template <class T>
  bool number(T& into) noexcept {
    std::int64_t value = 0;
    if (!take(" ")) return false;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc{}) return false;
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    into = static_cast<T>(value);
    return true;
  }
  bool bytes(std::size_t size, std::string& into) {
    if (size > rest_.size()) return false;
    into = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }
  [[nodiscard]] bool done() const noexcept { return rest_.empty(); }

 private:
  std::string_view rest_;
};

bool is_leftover(std::string_view name) noexcept {
  if (!name.starts_with(kPrefix)) return false;
  name.remove_prefix(kPrefix.size());
  for (const std::string_view suffix : {kRecordSuffix, kPartSuffix}) {
    if (!name.ends_with(suffix)) continue;
    name.remove_suffix(suffix.size());
    return !name.empty() && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  }
  return false;
}

}  // namespace

std::string text_of(const MoveRecord& record) {
  std::string text(kFirstLine);
  text += "from";
  add(text, {as_signed(record.from.ino), record.from.birth_ns, as_signed(record.size),
             record.mtime.seconds, record.mtime.nanoseconds});
  text += "to";
  add(text, {as_signed(record.to.ino), record.to.birth_ns});
  for (const auto& each : record.names) {
    text += "name";
    add(text, {as_signed(each.directory.size()), as_signed(each.name.size())});
    text.append(each.directory).append(each.name).append("\n");
  }
  text += kLastLine;
  return text;
}

std::optional<MoveRecord> parse_move_record(std::string_view text) {
  Reader in(text);
  MoveRecord record;
  const bool begins = in.take(kFirstLine) && in.take("from") && in.number(record.from.ino) &&
                      in.number(record.from.birth_ns) && in.number(record.size) &&
                      in.number(record.mtime.seconds) && in.number(record.mtime.nanoseconds) &&
                      in.take("\nto") && in.number(record.to.ino) &&
                      in.number(record.to.birth_ns) && in.take("\n");
  if (!begins) return std::nullopt;
  while (in.take("name")) {
    NodeTable::PlaceName name;
    std::size_t directory = 0;
    std::size_t size = 0;
    if (!in.number(directory) || !in.number(size) || !in.take("\n") ||
        !in.bytes(directory, name.directory) || !in.bytes(size, name.name) || !in.take("\n") ||
        name.name.empty())
      return std::nullopt;
    record.names.push_back(std::move(name));
  }
  if (!in.take(kLastLine) || !in.done() || record.names.empty()) return std::nullopt;
  return record;
}

HiddenName hidden_name(policy::Random& random, std::string_view suffix) noexcept {
  HiddenName name = hidden_name(random);
  const std::size_t size = std::strlen(name.data());
  static_assert(kPrefix.size() + 16 + 5 < std::tuple_size_v<HiddenName>);
  suffix.copy(name.data() + size, name.size() - size - 1);
  return name;
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

Result<void> RecordFile::write(const MoveRecord& record) {
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
  if (const auto synced = pool_.backing.sync(file_.get(), false); !synced) return synced;
  if (const auto synced = sync_directory(pool_, root_.fd()); !synced) return synced;
  // Before it was locked somebody may have taken it for one that a crash left.
  const auto mine = pool_.backing.stat(file_.get());
  const auto named = pool_.backing.stat_at(root_.fd(), name_.data());
  if (!mine) return mine.error();
  if (!named) return named.error();
  if (mine->id != named->id) return Errno{EBUSY};
  return {};
}

namespace {

/// What a crash left in the root of one branch.
class Leftovers {
 public:
  Leftovers(Pool& pool, const BranchSet& set, std::size_t index)
      : pool_(pool), set_(set), index_(index) {}

  void settle() {
    auto root = set_[index_].root();
    if (!root) return;
    root_ = *std::move(root);
    for (const std::string& name : names()) {
      const auto file = open_with_relief(pool_, [&] {
        return pool_.backing.open_at(root_.fd(), name.c_str(), O_RDONLY | O_NONBLOCK, 0);
      });
      if (!file) continue;
      const auto stat = pool_.backing.stat(file->get());
      if (!stat || !stat->is_regular() || !is_ours(*stat)) continue;
      // Somebody works with it.
      if (pool_.backing.lock(file->get()).error() == Errno{EWOULDBLOCK}) continue;
      if (!name.ends_with(kPartSuffix) && !settle_record(file->get(), stat->size)) continue;
      const KeptTimes kept(pool_.backing, root_.fd());
      (void)pool_.backing.unlink_at(root_.fd(), name.c_str());
    }
  }

 private:
  /// A name on a branch that the record is about.
  struct Found {
    std::size_t branch = 0;
    DirRef directory;
    const NodeTable::PlaceName* place = nullptr;
  };

  /// Who may write to the branch's root could have made it as well.
  [[nodiscard]] bool is_ours(const FileStat& stat) const noexcept {
    constexpr std::uint32_t kWritten = 022;
    return stat.uid == pool_.own.uid && stat.nlink == 1 && (stat.mode & kWritten) == 0;
  }

  [[nodiscard]] std::vector<std::string> names() {
    std::vector<std::string> found;
    const auto directory = set_[index_].readable_directory("");
    if (!directory) return found;
    alignas(8) std::array<std::byte, 16384> buffer;
    for (;;) {
      const auto got = pool_.backing.list(directory->get(), buffer);
      if (!got || *got == 0) return found;
      RawDirents records{std::span(buffer).first(*got)};
      while (const auto entry = records.next())
        if (is_leftover(entry->name)) found.emplace_back(entry->name);
    }
  }

  /// Whether the record is of no more use.
  bool settle_record(int file, std::uint64_t size) {
    if (size > kLongest) return false;
    std::string text(size, '\0');
    for (std::size_t at = 0; at < text.size();) {
      const auto got =
          pool_.backing.read(file, std::as_writable_bytes(std::span(text).subspan(at)), at);
      if (!got) return false;
      if (*got == 0) break;
      at += *got;
    }
    // Not whole: it did not come to names.
    const auto record = parse_move_record(text);
    if (!record) return true;
    record_ = &*record;
    look();
    const std::size_t all = record->names.size();
    if (fresh_.size() == all) {
      if (changed_)
        say("was changed on its old branch after a crash ended its move: both copies stay", index_);
      if (!old_.empty()) say("was on two branches after a crash; it is on this one now", index_);
      return remove(old_) && !unknown_;
    }
    if (unknown_) return false;
    if (old_.size() == all) {
      if (written_) {
        say("was changed after a crash ended its move: both copies stay", index_);
        return true;
      }
      if (!fresh_.empty()) say("stays here: a crash ended its move", old_.front().branch);
      return remove(fresh_);
    }
    if (!fresh_.empty())
      say("was changed after a crash ended its move: what is left of both copies stays", index_);
    return true;
  }

  void look() {
    fresh_.clear();
    old_.clear();
    unknown_ = false;
    changed_ = false;
    written_ = false;
    for (const auto& place : record_->names)
      for (std::size_t i = 0; i < set_.size(); ++i) look_at(place, i);
  }
  void look_at(const NodeTable::PlaceName& place, std::size_t branch) {
    auto directory = open_directory(pool_, set_[branch], place.directory);
    const auto stat = directory ? pool_.backing.stat_at(directory->fd(), place.name.c_str())
                                : Result<FileStat>(directory.error());
    if (!stat) {
      unknown_ = unknown_ || !means_absent(stat.error());
      return;
    }
    if (branch == index_) {
      if (!is_fresh(*stat)) return;
      written_ = written_ || !is_as_then(*stat);
      fresh_.push_back({branch, *std::move(directory), &place});
    } else if (is_old(*stat)) {
      old_.push_back({branch, *std::move(directory), &place});
    } else if (is(*stat, record_->from)) {
      changed_ = true;
    }
  }
  static bool is(const FileStat& stat, const FileId& file) noexcept {
    return stat.is_regular() && stat.id.ino == file.ino && stat.id.birth_ns == file.birth_ns;
  }
  bool is_as_then(const FileStat& stat) const noexcept {
    FileStat then;
    then.size = record_->size;
    then.mtime = record_->mtime;
    return same_content(stat, then);
  }
  bool is_old(const FileStat& stat) const noexcept {
    return is(stat, record_->from) && is_as_then(stat);
  }
  /// It may have been written to since, which shows where a number without a birth time may mean
  /// another file.
  bool is_fresh(const FileStat& stat) const noexcept {
    return is(stat, record_->to) && (record_->to.birth_ns != 0 || is_as_then(stat));
  }

  bool remove(const std::vector<Found>& names) {
    bool all = true;
    for (const Found& each : names) {
      if (set_.mode(each.branch) == BranchMode::kReadOnly) return false;
      const auto gone =
          pool_.backing.unlink_at(each.directory.fd(), each.place->name.c_str()).has_value();
      all = gone && sync_directory(pool_, each.directory.fd()).has_value() && all;
    }
    return all;
  }
  void say(const std::string& what, std::size_t branch) {
    const auto& place = record_->names.front();
    pool_.complain(set_[branch].path() + "/" + place.directory +
                   (place.directory.empty() ? "" : "/") + place.name + " " + what);
  }

  Pool& pool_;
  const BranchSet& set_;
  const std::size_t index_;
  DirRef root_;
  const MoveRecord* record_ = nullptr;
  std::vector<Found> fresh_;
  std::vector<Found> old_;
  /// A branch could not be asked.
  bool unknown_ = false;
  /// The old file was written to since.
  bool changed_ = false;
  /// The new file was.
  bool written_ = false;
};

}  // namespace

void finish_moves(Pool& pool) {
  const auto set = pool.branches.snapshot();
  for (std::size_t i = 0; i < set->size(); ++i)
    if (!(*set)[i].absent() && set->mode(i) != BranchMode::kReadOnly)
      Leftovers(pool, *set, i).settle();
}

}  // namespace bough::ops
