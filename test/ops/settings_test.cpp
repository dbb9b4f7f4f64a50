#include "ops/settings.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "proto/size_text.hpp"

using namespace bough::ops;
using bough::proto::parse_size;
using bough::proto::Setting;
using bough::proto::size_text;
using namespace std::chrono_literals;

namespace {

const Setting& row(const std::vector<Setting>& table, std::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(),
                                  [&](const Setting& each) { return each.name == name; });
  REQUIRE(found != table.end());
  return *found;
}

}  // namespace

TEST_CASE("every row is complete, its default is what it reads at first, and can be set again") {
  Settings settings;
  const auto table = settings_table(settings);
  std::set<std::string> names;
  for (const Setting& each : table) {
    INFO(each.name);
    CHECK(names.insert(each.name).second);
    for (const auto& alias : each.aliases) CHECK(names.insert(alias).second);
    CHECK_FALSE(each.group.empty());
    CHECK_FALSE(each.form.empty());
    CHECK_FALSE(each.help.empty());
    CHECK(each.help.find('\n') == std::string::npos);
    CHECK(each.get() == each.fallback);
    if (each.name != "branches") {
      CHECK(each.set(each.fallback).empty());
      CHECK(each.get() == each.fallback);
    }
    const std::string before = each.get();
    CHECK_FALSE(each.set("").empty());
    CHECK(each.get() == before);
  }
}

TEST_CASE("the defaults") {
  const Settings settings;
  for (const auto& each : settings.create.all()) CHECK(each->name == "pfrd");
  for (const auto& each : settings.search.all()) CHECK(each->name == "ff");
  for (const auto& each : settings.action.all()) CHECK(each->name == "epall");
  CHECK(settings.min_free == kMinFreeBySize);
  CHECK(settings.attr_valid.get() == 1s);
  CHECK(settings.entry_valid.get() == 1s);
  CHECK(settings.negative_valid.get() == 0s);
}

TEST_CASE("moveonenospc: a switch as well as a policy") {
  Settings settings;
  const auto table = settings_table(settings);
  const Setting& move = row(table, "moveonenospc");
  CHECK(move.bare == "true");
  for (const char* on : {"true", "yes", "1", "pfrd"}) {
    CHECK(move.set(on).empty());
    CHECK(move.get() == "pfrd");
  }
  CHECK(move.set("eplfs").empty());
  CHECK(move.get() == "eplfs");
  CHECK(settings.move_when_full->name == "eplfs");
  for (const char* wrong : {"maybe", "PFRD", ""}) CHECK_FALSE(move.set(wrong).empty());
  CHECK(move.get() == "eplfs");
  CHECK(move.set("off").empty());
  CHECK(move.get() == "false");
  CHECK(settings.move_when_full.get() == nullptr);
}

TEST_CASE("values reach the settings, wrong ones change nothing") {
  Settings settings;
  const auto table = settings_table(settings);
  CHECK(row(table, "branches").set("/a=RO:/b").empty());
  CHECK(settings.branches == "/a=RO:/b");
  CHECK(row(table, "category.create").set("epmfs").empty());
  CHECK(settings.create[CreateFunction::kCreate].name == "epmfs");
  CHECK(row(table, "category.create").set("EPMFS") ==
        "wants one of: all, epall, epff, eplfs, eplus, epmfs, eppfrd, eprand, erofs, ff, lfs, lup, "
        "lus, mfs, msplfs, msplus, mspmfs, msppfrd, newest, pfrd, rand");
  CHECK(settings.create[CreateFunction::kCreate].name == "epmfs");
  CHECK(row(table, "minfreespace").set("20g").empty());
  CHECK(settings.min_free == std::uint64_t{20} << 30U);
  CHECK(row(table, "minfreespace").get() == "20G");
  CHECK_FALSE(row(table, "minfreespace").set("20 g").empty());
  CHECK(settings.min_free == std::uint64_t{20} << 30U);
  CHECK(row(table, "minfreespace").set("0").empty());
  CHECK(settings.min_free == 0);
  CHECK(row(table, "minfreespace").set("auto").empty());
  CHECK(settings.min_free == kMinFreeBySize);
}

TEST_CASE("times are seconds with fractions") {
  Settings settings;
  const auto table = settings_table(settings);
  const Setting& attr = row(table, "cache.attr");
  CHECK(attr.aliases == std::vector<std::string>{"attr-timeout"});
  const auto accepts = [&](const char* text, std::chrono::nanoseconds time, const char* shown) {
    INFO(text);
    CHECK(attr.set(text).empty());
    CHECK(settings.attr_valid.get() == time);
    CHECK(attr.get() == shown);
  };
  accepts("0", 0ns, "0");
  accepts("2.5", 2500ms, "2.5");
  accepts("0.000000001", 1ns, "0.000000001");
  accepts("00012.50", 12500ms, "12.5");
  accepts("31536000", 31536000s, "31536000");
  for (const char* text : {"", "-1", "1.", ".5", "1,5", "1e3", "1s", "nan", " 1", "1.0000000001",
                           "99999999999", "99999999999999999999999", "1.-5", "+1"}) {
    INFO(text);
    CHECK_FALSE(attr.set(text).empty());
    CHECK(settings.attr_valid.get() == 31536000s);
  }
  CHECK(row(table, "cache.entry").set("3").empty());
  CHECK(row(table, "cache.negative-entry").set("4").empty());
  CHECK(row(table, "cache.statfs").set("0.75").empty());
  CHECK(settings.statfs_valid.get() == 750ms);
  CHECK(settings.entry_valid.get() == 3s);
  CHECK(settings.negative_valid.get() == 4s);
}

TEST_CASE("sizes") {
  CHECK(parse_size("0") == 0);
  CHECK(parse_size("12b") == 12);
  CHECK(parse_size("1K") == 1024);
  CHECK(parse_size("3m") == std::uint64_t{3} << 20U);
  CHECK(parse_size("2T") == std::uint64_t{2} << 40U);
  CHECK(parse_size("18446744073709551615") == UINT64_MAX);
  CHECK(parse_size("16777215T") == std::uint64_t{16777215} << 40U);
  for (const char* text : {"", "k", "-1", "+1", " 1", "1 ", "1kb", "1p", "0x10", "1.5g", "\v1",
                           "1\v", "18446744073709551616", "16777216T", "1*", "1\x0b"}) {
    INFO(text);
    CHECK_FALSE(parse_size(text).has_value());
  }
  CHECK(size_text(0) == "0");
  CHECK(size_text(1000) == "1000");
  CHECK(size_text(1024) == "1K");
  CHECK(size_text(1536) == "1536");
  CHECK(size_text(std::uint64_t{4} << 30U) == "4G");
  CHECK(size_text(std::uint64_t{3} << 50U) == "3072T");
}
