#include "cli/config_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "cli/configuration.hpp"
#include "cli/exit_status.hpp"
#include "cli/mergerfs_options.hpp"
#include "ops/resolve.hpp"
#include "session/fd.hpp"

namespace bough::cli {

struct ConfigFile::Line {
  std::size_t number;
  OptionWord word;
};

namespace {

/// As many as mergerfs takes.
constexpr int kMostNested = 6;
/// Of options nobody has more; what is longer is another file.
constexpr off_t kMostBytes = 1 << 20;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\v\f";
  const auto first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) + 1 - first);
}

OptionWord to_word(std::string_view line) {
  const auto equals = line.find('=');
  if (equals == std::string_view::npos) return {std::string(line), std::nullopt};
  return {std::string(trimmed(line.substr(0, equals))),
          std::string(trimmed(line.substr(equals + 1)))};
}

/// 0, or why the file cannot be read.
int read_text(const std::string& path, std::string& into) {
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0) return errno;
  if (S_ISDIR(info.st_mode)) return EISDIR;
  if (!S_ISREG(info.st_mode)) return EINVAL;
  const session::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!file) return errno;
  if (::fstat(file.get(), &info) != 0) return errno;
  if (info.st_size > kMostBytes) return EFBIG;
  into.resize(static_cast<std::size_t>(info.st_size));
  std::size_t got = 0;
  while (got < into.size()) {
    const ssize_t more = ::read(file.get(), into.data() + got, into.size() - got);
    if (more < 0 && errno == EINTR) continue;
    if (more < 0) return errno;
    if (more == 0) break;
    got += static_cast<std::size_t>(more);
  }
  into.resize(got);
  return 0;
}

std::string without_flag(std::string_view complaint) {
  constexpr std::string_view kFlag = "-o ";
  if (complaint.starts_with(kFlag)) complaint.remove_prefix(kFlag.size());
  return std::string(complaint);
}

std::string working_directory() {
  std::error_code failed;
  const std::filesystem::path here = std::filesystem::current_path(failed);
  return failed ? "/" : here.string();
}

/// What the option would read back if it were set to `value`; nothing: it is refused.
std::optional<std::string> shown_as(const std::string& key, const std::string& value) {
  Configuration scratch;
  const proto::Setting* const row = scratch.table.find(key);
  if (row == nullptr || !row->set(value).empty()) return std::nullopt;
  return row->get();
}

}  // namespace

ConfigFile::ConfigFile(const OptionTable& table, MountWords& words,
                       std::vector<std::string>& warnings)
    : table_(table), words_(words), warnings_(warnings), start_directory_(working_directory()) {}

void ConfigFile::go_live(ops::LiveKeys keys, std::function<void(bool, const std::string&)> tell,
                         std::function<std::vector<std::string>()> places) {
  live_ = std::move(keys);
  tell_ = std::move(tell);
  places_ = std::move(places);
}

std::string ConfigFile::absolute(std::string_view path) const {
  return (std::filesystem::path(start_directory_) / path).lexically_normal().string();
}

void ConfigFile::bad(int error, const std::string& complaint) {
  if (error_ == 0) error_ = error;
  complaints_.push_back(complaint);
  if (live_.set) {
    tell_(true, complaint);
  } else if (unknown_ != OptionTable::Unknown::kRefuse) {
    warnings_.push_back(complaint);
  }
}

void ConfigFile::change(const std::string& place, const std::string& key,
                        const std::string& value) {
  const auto before = live_.get(key);
  std::string why;
  const auto done = live_.set(key, value, why);
  if (!done) {
    const auto taken = taken_.find(key);
    const bool fixed = done.error() == proto::Errno{EROFS};
    if (fixed && taken != taken_.end() && taken->second == value) return;
    if (fixed) why = "is fixed once mounted, and another value is in force";
    if (why.empty()) why = std::string("was refused: ") + std::strerror(done.error().value());
    return bad(EINVAL, place + ": " + key + "=" + value + ": " + key + " " + why);
  }
  const auto after = live_.get(key);
  if (!after || before == after) return;
  changed_ = true;
  tell_(false, place + ": " + key + " is " + *after + " now, and was " + before.value_or(""));
}

void ConfigFile::take_live(const std::string& place, const OptionWord& word) {
  MountWords words = words_;
  if (take_mount_word(word.key, word.value ? &*word.value : nullptr, words)) {
    if (words.flags != words_.flags)
      bad(EINVAL, place + ": " + word.key + " is fixed once mounted, and the opposite is in force");
    return;
  }
  if (means_nothing(word.key)) return;
  const OldOption* const old = old_option(word.key);
  if (old != nullptr && old->row.empty()) return;
  const proto::Setting* const row = table_.find(old != nullptr ? old->row : word.key);
  if (row == nullptr)
    return bad(EINVAL, place + ": " +
                           without_flag(table_.about_unknown(word, OptionTable::Unknown::kRefuse)));
  const bool fixed_value = old != nullptr && !old->value.empty();
  if (!word.value && !fixed_value && row->bare.empty())
    return bad(EINVAL, place + ": " + row->name + " wants a value: " + row->name + "=" + row->form);
  const std::string value = old != nullptr && !old->value.empty() ? std::string(old->value)
                                                                  : word.value.value_or(row->bare);
  const auto now = live_.get(row->name);
  if (now == value || (now && now == shown_as(row->name, value))) return;
  change(place, row->name, value);
}

void ConfigFile::take_before_mount(const std::string& place, const OptionWord& word) try {
  const std::string warning = table_.apply_word(word, words_, unknown_);
  if (const proto::Setting* const row = table_.find(word.key))
    taken_[row->name] = word.value.value_or(row->bare);
  if (!warning.empty()) warnings_.push_back(place + ": " + without_flag(warning));
} catch (const StartError& error) {
  bad(EINVAL, place + ": " + without_flag(error.what()));
}

void ConfigFile::take(const std::string& place, const Line& line) {
  if (canonical_key(line.word.key) == "config") {
    const std::string path = line.word.value.value_or("");
    if (path.empty()) return bad(EINVAL, place + ": config wants the path of a file");
    if (depth_ >= kMostNested)
      return bad(ELOOP, place + ": " + path + " would be config file number " +
                            std::to_string(kMostNested + 1) + " in each other");
    return read(absolute(path));
  }
  if (live_.set) return take_live(place, line.word);
  take_before_mount(place, line.word);
}

void ConfigFile::read(const std::string& path) {
  if (places_) {
    const auto there = ops::resolve(path, places_());
    if (!there && there.error() == proto::Errno{EDEADLK})
      return bad(EDEADLK, path + " lies in the pool itself: name a file outside of it");
  }
  std::string text;
  if (const int error = read_text(path, text); error != 0)
    return bad(error, path + " cannot be read: " + std::strerror(error));
  if (text.find('\0') != std::string::npos)
    return bad(EINVAL, path + " holds a zero byte: it is no file of options");
  ++depth_;
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = trimmed(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
    ++number;
    if (line.empty() || line.starts_with('#')) continue;
    take(path + ":" + std::to_string(number), {number, to_word(line)});
  }
  --depth_;
}

std::string ConfigFile::set(std::string_view path) {
  error_ = 0;
  changed_ = false;
  complaints_.clear();
  const bool no_path = path.find('\0') != std::string_view::npos;
  const bool relative = live_.set && !path.empty() && !path.starts_with('/');
  if (no_path || relative) {
    std::string why =
        no_path ? "wants the path of a file"
                : "wants an absolute path: the directory of who asks is not known to the pool";
    error_ = EINVAL;
    if (live_.set) tell_(true, "config: " + why);
    return why;
  }
  if (path.empty() && path_.empty()) return {};
  const std::string file = path.empty() ? path_ : absolute(path);
  read(file);
  if (complaints_.empty()) {
    path_ = file;
    if (live_.set && !changed_) tell_(false, file + ": nothing changed");
    return {};
  }
  // A file that is not there says nothing of the pool that was wanted; a bad line says much.
  const bool readable = complaints_.front().find(file + " cannot be read") != 0;
  if (readable && !live_.set && unknown_ != OptionTable::Unknown::kRefuse) {
    path_ = file;
    return {};
  }
  std::string all;
  for (const std::string& each : complaints_) all += (all.empty() ? "" : "; ") + each;
  return "has a mistake: " + all;
}

void ConfigFile::reload() {
  std::string told;
  (void)live_.set("config", "", told);
}

proto::Setting ConfigFile::row() {
  proto::Setting row;
  row.name = "config";
  row.group = "Mount";
  row.form = "PATH";
  row.when = proto::Setting::When::kRuntime;
  row.help =
      "a file of options, KEY=VALUE or KEY a line, # begins a comment; SIGHUP, or setting it, "
      "reads "
      "it again";
  row.set = [this](std::string_view value) { return set(value); };
  row.get = [this] { return path_; };
  row.refusal = [this] { return error_; };
  row.tells_log = true;
  return row;
}

}  // namespace bough::cli
