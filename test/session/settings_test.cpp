#include "session/settings.hpp"

#include <doctest/doctest.h>

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
  for (const char* bad : {"", "0", "-1", "7x", "99999999999", "1000"}) {
    CAPTURE(bad);
    CHECK_FALSE(row(rows, "threads").set(bad).empty());
    CHECK(settings.threads == 7);
  }
  CHECK(row(rows, "max-background").set("512").empty());
  CHECK(settings.max_background == 512);
  CHECK(row(rows, "congestion-threshold").set("100").empty());
  CHECK(settings.congestion_threshold == 100);
  CHECK(row(rows, "async-read").set("off").empty());
  CHECK_FALSE(settings.async_read);
  CHECK(row(rows, "debug").bare == "true");
  CHECK(row(rows, "debug").set("true").empty());
  CHECK(settings.debug);
  CHECK_FALSE(row(rows, "debug").set("maybe").empty());
  CHECK(row(rows, "trace").set("/tmp/x").empty());
  CHECK(settings.trace == "/tmp/x");
}
