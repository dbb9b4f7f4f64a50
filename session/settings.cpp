#include "session/settings.hpp"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <limits>
#include <string_view>

#include "proto/bool_text.hpp"
#include "proto/size_text.hpp"

namespace bough::session {

namespace {

std::uint64_t page_size() {
  return static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

Settings::Settings()
    : message_pages(static_cast<std::uint32_t>((std::uint64_t{1} << 20) / page_size())) {}

namespace {

proto::Setting number(std::string name, std::vector<std::string> aliases, std::uint32_t& value,
                      std::uint32_t low, std::uint32_t high, std::string help) {
  proto::Setting row;
  row.name = std::move(name);
  row.aliases = std::move(aliases);
  row.group = "Connection";
  row.form = "N";
  row.fallback = std::to_string(value);
  row.help = std::move(help);
  row.set = [&value, low, high](std::string_view text) -> std::string {
    std::uint32_t parsed = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed);
    if (error != std::errc{} || end != text.data() + text.size() || parsed < low || parsed > high)
      return "wants a number from " + std::to_string(low) + " to " + std::to_string(high);
    value = parsed;
    return {};
  };
  row.get = [&value] { return std::to_string(value); };
  return row;
}

/// mergerfs counts like that: a negative number divides the processors.
proto::Setting thread_count(std::uint32_t& value) {
  constexpr std::int64_t kMost = 512;
  proto::Setting row = number("threads", {"max-threads"}, value, 1, 512,
                              "threads that may wait for a branch at once; -N: one for each N "
                              "processors; 0: as by default");
  row.form = "N|-N";
  row.set = [&value, usual = value, kMost](std::string_view text) -> std::string {
    std::int64_t parsed = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed);
    if (error != std::errc{} || end != text.data() + text.size() || parsed > kMost ||
        parsed < -kMost)
      return "wants a number up to " + std::to_string(kMost) +
             ", 0 for the default, or -N for one of each N processors";
    if (parsed < 0) parsed = std::max<std::int64_t>(1, ::sysconf(_SC_NPROCESSORS_ONLN) / -parsed);
    value = parsed == 0 ? usual : static_cast<std::uint32_t>(std::min(parsed, kMost));
    return {};
  };
  return row;
}

proto::Setting toggle(std::string name, std::vector<std::string> aliases, bool& value,
                      std::string help) {
  proto::Setting row;
  row.name = std::move(name);
  row.aliases = std::move(aliases);
  row.group = "Connection";
  row.form = "BOOL";
  row.fallback = proto::bool_text(value);
  row.help = std::move(help);
  row.bare = "true";
  row.set = [&value](std::string_view text) -> std::string {
    const auto parsed = proto::parse_bool(text);
    if (!parsed) return "wants true or false";
    value = *parsed;
    return {};
  };
  row.get = [&value] { return proto::bool_text(value); };
  return row;
}

proto::Setting file(std::string name, std::string& path, std::string help) {
  proto::Setting row;
  row.name = std::move(name);
  row.group = "Connection";
  row.form = "PATH";
  row.help = std::move(help);
  row.set = [&path](std::string_view text) -> std::string {
    if (text.empty()) return "wants the path of a file";
    path = text;
    return {};
  };
  row.get = [&path] { return path; };
  return row;
}

proto::Setting message_size(std::uint32_t& pages) {
  proto::Setting row;
  row.name = "fuse-msg-size";
  row.group = "Connection";
  row.form = "PAGES|SIZE";
  row.fallback = std::to_string(pages);
  row.help =
      "most that one request reads or writes: a number is pages, with a letter (1M) it is bytes; "
      "above the kernel's limit, root raises that, for the whole machine";
  row.set = [&pages](std::string_view text) -> std::string {
    const auto number = proto::parse_size(text);
    if (!number || *number == 0) return "wants a number of pages such as 256, or a size such as 1M";
    std::uint64_t wanted = *number;
    if (std::isdigit(static_cast<unsigned char>(text.back())) == 0)
      wanted = wanted / page_size() + (wanted % page_size() != 0 ? 1 : 0);
    pages = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(wanted, std::numeric_limits<std::uint32_t>::max()));
    return {};
  };
  row.get = [&pages] { return std::to_string(pages); };
  return row;
}

proto::Setting read_ahead(std::uint64_t& kib) {
  constexpr std::string_view kAuto = "auto";
  proto::Setting row;
  row.name = "readahead";
  row.group = "Connection";
  row.form = "KIB|auto";
  row.fallback = std::to_string(kib);
  row.help =
      "how far the kernel reads ahead, here and on the branches' disks; 0: leave all alone; auto: "
      "here at least one fuse-msg-size";
  row.set = [&kib, kAuto](std::string_view text) -> std::string {
    if (text == kAuto) {
      kib = kReadAheadByMessage;
      return {};
    }
    // A number of pages has to fit the kernel's 32 bits.
    constexpr std::uint64_t kMost = std::uint64_t{1} << 32;
    const auto number = proto::parse_size(text);
    if (!number || *number > kMost) return "wants a number of KiB such as 1024, 0 or auto";
    kib = *number;
    return {};
  };
  row.get = [&kib, kAuto] {
    return kib == kReadAheadByMessage ? std::string(kAuto) : std::to_string(kib);
  };
  return row;
}

}  // namespace

std::vector<proto::Setting> settings_table(Settings& settings) {
  std::vector<proto::Setting> rows;
  rows.push_back(thread_count(settings.threads));
  rows.push_back(number("max-background", {}, settings.max_background, 1, 65535,
                        "readahead, writeback and RELEASE requests before the kernel throttles"));
  rows.push_back(number("congestion-threshold", {}, settings.congestion_threshold, 0, 65535,
                        "background requests at which readahead is left out; 0: 3/4 of "
                        "max-background"));

  rows.push_back(message_size(settings.message_pages));
  rows.push_back(read_ahead(settings.read_ahead));
  rows.push_back(toggle("async-read", {}, settings.async_read,
                        "reading ahead, the kernel asks for several parts of a file at once"));
  rows.push_back(
      toggle("debug", {"d"}, settings.debug, "one line a request, to log.file or standard error"));
  rows.back().when = proto::Setting::When::kRuntime;
  rows.push_back(
      file("log.file", settings.log_file,
           "with debug: append its lines to this file, which must lie outside the pool"));
  rows.back().when = proto::Setting::When::kRuntime;
  rows.push_back(file("trace", settings.trace,
                      "append one line a request to this file, which must lie outside the pool"));
  return rows;
}

}  // namespace bough::session
