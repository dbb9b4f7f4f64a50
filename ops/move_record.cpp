#include "ops/move_record.hpp"

#include <fcntl.h>

#include <charconv>
#include <cstring>
#include <span>
#include <utility>

#include "ops/kept_times.hpp"
#include "ops/locate.hpp"
#include "ops/place.hpp"

namespace bough::ops {
namespace {

constexpr std::string_view kPrefix = ".boughfs-";
constexpr std::string_view kFirstLine = "boughfs move 2\n";
constexpr std::string_view kLastLine = "end\n";
void add(std::string& text, std::initializer_list<std::int64_t> numbers) {
  for (const std::int64_t number : numbers) text.append(" ").append(std::to_string(number));
  text += '\n';
}

std::int64_t as_signed(std::uint64_t number) noexcept {
  return static_cast<std::int64_t>(number);
}

bool same_time(const Time& a, const Time& b) noexcept {
  return a.seconds == b.seconds && a.nanoseconds == b.nanoseconds;
}

void add(std::string& text, const FileId& file, const FileLooks& looks) {
  add(text, {as_signed(file.ino), file.birth_ns, as_signed(looks.size), looks.mtime.seconds,
             looks.mtime.nanoseconds, looks.ctime.seconds, looks.ctime.nanoseconds, looks.mode,
             looks.uid, looks.gid});
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
  template <class... T>
  bool numbers(T&... into) noexcept {
    return (number(into) && ...);
  }
  bool file(FileId& id, FileLooks& looks) noexcept {
    return numbers(id.ino, id.birth_ns, looks.size, looks.mtime.seconds, looks.mtime.nanoseconds,
                   looks.ctime.seconds, looks.ctime.nanoseconds, looks.mode, looks.uid, looks.gid);
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

}  // namespace

FileLooks looks_of(const FileStat& stat) noexcept {
  return {stat.size, stat.mtime, stat.ctime, stat.mode, stat.uid, stat.gid};
}

bool same_looks(const FileLooks& one, const FileLooks& other) noexcept {
  return one.size == other.size && same_time(one.mtime, other.mtime) && one.mode == other.mode &&
         one.uid == other.uid && one.gid == other.gid;
}

std::string text_of(const MoveRecord& record) {
  std::string text(kFirstLine);
  text += "origin";
  add(text,
      {as_signed(record.origin.ino), record.origin.birth_ns, as_signed(record.origin_path.size())});
  text += record.origin_path + "\nfrom";
  add(text, record.from, record.from_looks);
  text += "to";
  add(text, record.to, record.to_looks);
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
  std::size_t path = 0;
  const bool begins = in.take(kFirstLine) && in.take("origin") &&
                      in.numbers(record.origin.ino, record.origin.birth_ns, path) &&
                      in.take("\n") && in.bytes(path, record.origin_path) && in.take("\nfrom") &&
                      in.file(record.from, record.from_looks) && in.take("\nto") &&
                      in.file(record.to, record.to_looks) && in.take("\n");
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
