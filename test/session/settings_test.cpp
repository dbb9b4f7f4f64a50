#include "session/settings.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

using namespace bough;

namespace {

proto::Setting& row(std::vector<proto::Setting>& rows, const std::string& name) {
  for (proto::Setting& one : rows)
    if (one.name == name) return one;
  throw std::out_of_range(name);
}

}  // namespace

TEST_CASE("every row sets, shows and refuses") {
  session::Settings settings;
  auto rows = session::settings_table(settings);
  for (const proto::Setting& one : rows) {
    CAPTURE(one.name);
    CHECK_FALSE(one.help.empty());
    CHECK_FALSE(one.group.empty());
    CHECK(one.get() == one.fallback);
  }
  CHECK(row(rows, "threads").set("7").empty());
  CHECK(settings.threads == 7);
  for (const char* bad : {"", "-", "-1000", "7x", "99999999999", "1000"}) {
    CAPTURE(bad);
    CHECK_FALSE(row(rows, "threads").set(bad).empty());
    CHECK(settings.threads == 7);
  }
  const auto processors = static_cast<std::uint32_t>(::sysconf(_SC_NPROCESSORS_ONLN));
  CHECK(row(rows, "threads").set("-1").empty());
  CHECK(settings.threads == processors);
  CHECK(row(rows, "threads").set("-500").empty());
  CHECK(settings.threads == std::max(processors / 500, 1U));
  CHECK(row(rows, "threads").set("0").empty());
  CHECK(settings.threads == 32);
  CHECK(row(rows, "max-background").set("512").empty());
  CHECK(settings.max_background == 512);
  CHECK(row(rows, "congestion-threshold").set("100").empty());
  CHECK(settings.congestion_threshold == 100);
  CHECK(row(rows, "async-read").set("off").empty());
  CHECK_FALSE(settings.async_read);
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const proto::Setting& message = row(rows, "fuse-msg-size");
  CHECK(settings.message_pages * page == 1024 * 1024);
  CHECK(message.set("64").empty());
  CHECK(settings.message_pages == 64);
  CHECK(message.set("2m").empty());
  CHECK(settings.message_pages * page == 2 * 1024 * 1024);
  CHECK(message.set("1b").empty());
  CHECK(settings.message_pages == 1);
  CHECK(message.set(std::to_string(page + 1) + "B").empty());
  CHECK(settings.message_pages == 2);
  CHECK(message.get() == "2");
  for (const char* bad : {"", "0", "0k", "-1", "1x", "1.5M", " 1"}) {
    CAPTURE(bad);
    CHECK_FALSE(message.set(bad).empty());
    CHECK(settings.message_pages == 2);
  }
  const proto::Setting& ahead = row(rows, "readahead");
  CHECK(ahead.set("2k").empty());
  CHECK(settings.read_ahead == 2048);
  CHECK(ahead.get() == "2048");
  for (const char* bad : {"", "-1", "much", "5g"}) {
    CAPTURE(bad);
    CHECK_FALSE(ahead.set(bad).empty());
    CHECK(settings.read_ahead == 2048);
  }
  CHECK(ahead.set("auto").empty());
  CHECK(settings.read_ahead == session::kReadAheadByMessage);
  CHECK(row(rows, "debug").bare == "true");
  CHECK(row(rows, "debug").set("true").empty());
  CHECK(settings.debug);
  CHECK_FALSE(row(rows, "debug").set("maybe").empty());
  CHECK(row(rows, "trace").set("/tmp/x").empty());
  CHECK(settings.trace == "/tmp/x");
}
