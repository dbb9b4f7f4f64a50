#include "cli/disks.hpp"

#include <doctest/doctest.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

using bough::cli::disks_below;
namespace fs = std::filesystem;

namespace {

struct Directory {
  Directory() {
    std::string pattern = (fs::temp_directory_path() / "bough-disks-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path = fs::canonical(pattern);
  }
  ~Directory() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  fs::path path;
};

}  // namespace

TEST_CASE("the disks below a device") {
  const Directory top;
  const fs::path& sys = top.path;
  const auto device = [&](const fs::path& place, unsigned minor_number) {
    fs::create_directories(sys / "devices" / place);
    fs::create_directories(sys / "dev" / "block");
    fs::create_directory_symlink(sys / "devices" / place,
                                 sys / "dev" / "block" / ("8:" + std::to_string(minor_number)));
    return makedev(8, minor_number);
  };
  const auto below = [&](const fs::path& place, const fs::path& slave) {
    fs::create_directories(sys / "devices" / place / "slaves");
    fs::create_directory_symlink(sys / "devices" / slave,
                                 sys / "devices" / place / "slaves" / slave.filename());
  };
  const dev_t whole = device("sda", 0);
  const dev_t part = device("sda/sda1", 1);
  std::ofstream(sys / "devices" / "sda" / "sda1" / "partition") << "1\n";
  const dev_t other = device("sdb", 16);
  const dev_t mapped = device("dm-0", 32);
  below("dm-0", "sda/sda1");
  below("dm-0", "sdb");
  const auto disks = [&](dev_t number) { return disks_below(number, sys); };
  CHECK(disks(whole) == std::set<std::string>{"sda"});
  CHECK(disks(part) == std::set<std::string>{"sda"});
  CHECK(disks(other) == std::set<std::string>{"sdb"});
  CHECK(disks(mapped) == std::set<std::string>{"sda", "sdb"});
  CHECK(disks(makedev(9, 9)).empty());
}
