#include "ops/process_names.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>

#include "proto/utf8.hpp"

namespace bough::ops {
namespace {

using proto::Errno;

/// TASK_COMM_LEN without its end.
constexpr std::size_t kKeptOfName = 15;

Result<Fd> open_in(int dir, const char* path, int flags) {
  const int fd = ::openat(dir, path, flags | O_CLOEXEC);
  if (fd < 0) return Errno{errno};
  return Fd(fd);
}

/// The whole of a short file below /proc, without the line's end.
Result<std::string_view> read_line(int fd, std::span<char> into) {
  const ssize_t got = ::pread(fd, into.data(), into.size(), 0);
  if (got < 0) return Errno{errno};
  std::string_view text(into.data(), static_cast<std::size_t>(got));
  if (text.ends_with('\n')) text.remove_suffix(1);
  return text;
}

/// The process of a thread; 0 if its status does not say.
std::uint32_t process_of(std::string_view status) {
  constexpr std::string_view kKey = "\nTgid:\t";
  const auto at = status.find(kKey);
  if (at == std::string_view::npos) return 0;
  return static_cast<std::uint32_t>(std::strtoul(status.data() + at + kKey.size(), nullptr, 10));
}

/// A name that the control file can show to tools, which read UTF-8 and lines.
bool presentable(std::string_view name) {
  if (name.empty() || name.size() > NAME_MAX) return false;
  for (std::size_t at = 0; at < name.size();) {
    const std::size_t length = proto::utf8_length(name, at);
    if (length == 0 || static_cast<unsigned char>(name[at]) < ' ' || name[at] == '\x7f')
      return false;
    at += length;
  }
  return true;
}

bool is_gone(Errno error) {
  return error == Errno{ENOENT} || error == Errno{ESRCH};
}

}  // namespace

ProcessNames::ProcessNames()
    : names_(std::make_shared<const Names>(Names{"qbittorrent-nox", "rtorrent"})) {}

std::string ProcessNames::set(std::string_view text) {
  Names names;
  for (std::size_t at = 0; at <= text.size();) {
    const auto end = std::min(text.find('|', at), text.size());
    if (!presentable(text.substr(at, end - at)))
      return "wants names of programs, with | between them, such as rtorrent|qbittorrent-nox";
    names.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  const std::lock_guard lock(mutex_);
  names_ = std::make_shared<const Names>(std::move(names));
  return {};
}

std::string ProcessNames::text() const {
  const std::lock_guard lock(mutex_);
  std::string text;
  for (const std::string& name : *names_) {
    if (!text.empty()) text += '|';
    text += name;
  }
  return text;
}

Result<bool> ProcessNames::listed(std::uint32_t tid) {
  if (tid == 0) return false;
  const std::lock_guard lock(mutex_);
  Caller& kept = callers_[tid % callers_.size()];
  char ignored = 0;
  const bool known = kept.tid == tid && ::pread(kept.thread.get(), &ignored, 1, 0) >= 0;
  if (!known) {
    auto found = find(tid);
    if (!found) {
      kept = Caller{};
      return is_gone(found.error()) ? Result<bool>(false) : found.error();
    }
    kept = *std::move(found);
  }
  auto result = bears(kept, *names_);
  if (!result && is_gone(result.error())) return false;
  return result;
}

Result<ProcessNames::Caller> ProcessNames::find(std::uint32_t tid) const {
  std::array<char, 32> path;
  const auto directory_of = [&](std::uint32_t task) {
    std::snprintf(path.data(), path.size(), "/proc/%u", task);
    return open_in(AT_FDCWD, path.data(), O_PATH | O_DIRECTORY);
  };
  Caller caller;
  caller.tid = tid;
  auto thread = directory_of(tid);
  if (!thread) return thread.error();
  auto thread_name = open_in(thread->get(), "comm", O_RDONLY);
  if (!thread_name) return thread_name.error();
  caller.thread = *std::move(thread_name);

  const auto status = open_in(thread->get(), "status", O_RDONLY);
  if (!status) return status.error();
  std::array<char, 512> text;
  const auto read = read_line(status->get(), std::span(text).first(text.size() - 1));
  if (!read) return read.error();
  text[read->size()] = '\0';
  const std::uint32_t process = process_of(*read);
  if (process == 0) return Errno{EIO};
  auto directory = process == tid ? std::move(thread) : directory_of(process);
  if (!directory) return directory.error();
  caller.process = *std::move(directory);
  auto name = open_in(caller.process.get(), "comm", O_RDONLY);
  if (!name) return name.error();
  caller.name = *std::move(name);
  // While the thread is there its process is, and nobody else can have that number.
  char ignored = 0;
  if (::pread(caller.thread.get(), &ignored, 1, 0) < 0) return Errno{errno};
  return caller;
}

Result<bool> ProcessNames::bears(const Caller& caller, const Names& names) {
  const auto named = [&](std::string_view name, std::size_t kept) {
    return std::any_of(names.begin(), names.end(), [&](const std::string& each) {
      return std::string_view(each).substr(0, kept) == name;
    });
  };
  std::array<char, PATH_MAX> text;
  const auto name = read_line(caller.name.get(), text);
  if (!name) return name.error();
  if (named(*name, kKeptOfName)) return true;
  const ssize_t length = ::readlinkat(caller.process.get(), "exe", text.data(), text.size());
  // A kernel thread has none, and not everybody may ask for it.
  if (length < 0) return false;
  std::string_view program(text.data(), static_cast<std::size_t>(length));
  constexpr std::string_view kRemoved = " (deleted)";
  if (program.ends_with(kRemoved)) program.remove_suffix(kRemoved.size());
  return named(program.substr(program.rfind('/') + 1), std::string_view::npos);
}

void ProcessNames::let_go() noexcept {
  const std::lock_guard lock(mutex_);
  callers_ = {};
}

}  // namespace bough::ops
