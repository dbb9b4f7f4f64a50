#include "cli/control_rows.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <string>

using namespace bough::cli;

TEST_CASE("every option can be read, and what is none") {
  Configuration config;
  config.mount.mountpoint = "as it was written";
  config.session.threads = 7;
  std::map<std::string, std::string> shown;
  for (const auto& row : control_rows(config, "/where/it/is")) shown[row.name] = row.get();
  for (const auto& row : config.table.rows()) CHECK(shown.count(row.name) == 1);
  CHECK(shown.size() == config.table.rows().size() + 2);
  CHECK(shown["mountpoint"] == "/where/it/is");
  CHECK(shown["threads"] == "7");
  CHECK(shown["pid"] == std::to_string(::getpid()));
  CHECK_FALSE(shown["version"].empty());
}

TEST_CASE("the place of a pool is spelt as mount tables do") {
  CHECK(place_of_pool("/proc/../proc/self/..") == "/proc");
  CHECK(place_of_pool("/dev/fd/7") == "/dev/fd/7");
  const std::string here = std::filesystem::current_path();
  CHECK(place_of_pool("there-is-no-such-directory") == here + "/there-is-no-such-directory");
}

TEST_CASE("mounts inside a place are found, beside it not") {
  CHECK(mounted_inside("/pro").empty());
  CHECK(mounted_inside("/proc/self").empty());
  CHECK(mounted_inside("").starts_with("/"));
}
