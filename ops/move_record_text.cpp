#include <charconv>

#include "ops/move_record.hpp"

namespace bough::ops {
namespace {

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

}  // namespace bough::ops
