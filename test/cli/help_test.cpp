#include "cli/help.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <sstream>

#include "cli/configuration.hpp"

using namespace bough;

TEST_CASE("--help names every generic word, exit status and subcommand") {
  const cli::Configuration config;
  const std::string help = cli::help_text(config.table);
  for (const cli::MountWord& word : cli::mount_words()) {
    CAPTURE(word.name);
    CHECK(help.find(" " + std::string(word.name)) != std::string::npos);
  }
  for (const std::string_view label : cli::label_words()) {
    CHECK(help.find(" " + std::string(label) + "=LABEL") != std::string::npos);
  }
  for (const char* status :
       {"\n   0 ", "\n   1 ", "\n   2 ", "\n   3 ", "\n   4 ", "\n   6 ", "\n   7 ", "\n   8 ", "\n  32 "}) {
    CHECK(help.find(status) != std::string::npos);
  }
  CHECK(help.find("status MOUNT [--json]") != std::string::npos);
  CHECK(help.find("\n  check ") != std::string::npos);
}

TEST_CASE("--help keeps each group of rows under one heading, and fits a terminal") {
  const cli::Configuration config;
  const std::string help = cli::help_text(config.table);
  for (const proto::Setting& row : config.table.rows()) {
    const std::string heading = "\n" + row.group + "\n";
    const auto at = help.find(heading);
    REQUIRE(at != std::string::npos);
    CHECK(help.find(heading, at + 1) == std::string::npos);
    CHECK(help.find("\n  " + row.name, at) < help.find("\n\n", at + 2));
  }
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) {
    // In characters: a byte 10xxxxxx goes on with one.
    const auto continued = std::count_if(line.begin(), line.end(), [](char c) {
      return (static_cast<unsigned char>(c) & 0xc0U) == 0x80;
    });
    CAPTURE(line);
    CHECK(line.size() - static_cast<std::size_t>(continued) <= 100);
  }
}

TEST_CASE(
    "--help says nothing twice: no other spelling of '-', no default where there is no choice") {
  const cli::Configuration config;
  const std::string help = cli::help_text(config.table);
  CHECK(help.find("max_background") == std::string::npos);
  CHECK(help.find("NAME_X is NAME-X") != std::string::npos);
  CHECK(config.table.find("max_background") == config.table.find("max-background"));
  for (const proto::Setting& row : config.table.rows()) {
    if (row.fallback != row.form) continue;
    const auto at = help.find("\n  " + row.name);
    CAPTURE(row.name);
    CHECK(help.substr(at, help.find("\n  ", at + 3) - at).find(" [" + row.fallback + "]") ==
          std::string::npos);
  }
  CHECK(help.find("[pfrd]") != std::string::npos);
}
